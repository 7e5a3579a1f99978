"""What the sweep says: which tasks separate families, what scores agree with, what they cost.

    python experiments/recall/analyse.py [experiments/recall/slow_rate.csv]

Reads sweep.csv or the given file, and the designs and long trainings of proxy_validity; prints the
tables of the README, and draws a figure beside it.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import bootstrap, spearmanr

from star.evaluation.probing import read_task

HERE = Path(__file__).parent
VALIDITY = HERE.parent / "proxy_validity"
FORMS = {
    "pairs": ["pairs_4", "pairs_8", "pairs_16"],
    "adjacent": ["adjacent_8_32", "adjacent_16_32"],
}
TASKS = [task for tasks in FORMS.values() for task in tasks]
STEPS = (10, 25, 50, 75)
MEASURED_AT = [25, 50, 75]  # as RecallError
HOPELESS = 0.9  # error after which larger sizes of a form are not tried
TRUTH_STEP, LEAST = 4000, 10  # of long trainings, and designs that a correlation needs
TRUTHS = ("loss", "loss_hit_8")


def trainings(sweep: pd.DataFrame) -> pd.DataFrame:
    """One row a training: its error at the end and on average over MEASURED_AT, from 0 to 1."""
    rows = []
    for (design, name), table in sweep.groupby(["design", "task"], sort=False):
        task = read_task(str(name))
        chance = task.guessed(task.instances(256))
        accuracies = table.set_index("step")["accuracy"].reindex(STEPS).ffill()[MEASURED_AT]
        errors = [task.error(accuracy, chance) for accuracy in accuracies]
        rows.append(
            {
                "design": design,
                "task": name,
                "final": errors[-1],
                "area": np.mean(errors),
                "core_seconds": table.loc[table["step"] <= STEPS[-1], "core_seconds"].max(),
            }
        )
    return pd.DataFrame(rows)


def gated(errors: pd.DataFrame, instead: float) -> pd.DataFrame:
    """Columns of tasks, with `instead` where an easier task of the form was hopeless."""
    result = errors.copy()
    for tasks in FORMS.values():
        hopeless = errors[tasks].gt(HOPELESS).T.cummax().T.shift(axis=1, fill_value=False)
        result[tasks] = result[tasks].mask(hopeless.astype(bool), instead)
    return result


def by_form(errors: pd.DataFrame) -> pd.DataFrame:
    """Mean error of each form, (design, form)."""
    return pd.DataFrame({form: errors[tasks].mean(axis=1) for form, tasks in FORMS.items()})


def scores_of(table: pd.DataFrame) -> pd.DataFrame:
    """Scores of every design that has all tasks, or failed at a smaller size; and core-seconds."""
    wide = {
        name: table.pivot(index="design", columns="task", values=name).reindex(columns=TASKS)
        for name in ("final", "area", "core_seconds")
    }
    area, final = (gated(wide[name], 1.0).dropna() for name in ("area", "final"))
    return pd.DataFrame(
        {
            "recall_error": by_form(area).mean(axis=1),
            "final_only": by_form(final).mean(axis=1),
            "mean_of_tasks": area.mean(axis=1),
            "better_form": by_form(area).min(axis=1),
            **{task: area[task] for task in TASKS},
            "core_seconds": wide["core_seconds"]
            .where(gated(wide["area"], np.nan).notna())
            .sum(axis=1),
        }
    ).dropna()


def rank_correlation(scores: pd.Series, truth: pd.Series) -> str:
    """Spearman's, with the 95% interval of a bootstrap over designs."""
    both = pd.concat([scores, truth], axis=1).dropna().to_numpy()
    if len(both) < LEAST or np.ptp(both[:, 0]) == 0:
        return f"n={len(both)}"
    found = bootstrap(
        (both[:, 0], both[:, 1]),
        lambda a, b: spearmanr(a, b)[0],
        paired=True, vectorized=False, n_resamples=2000, method="percentile", rng=0,
    )  # fmt: skip
    low, high = found.confidence_interval
    return f"{spearmanr(both[:, 0], both[:, 1])[0]:.2f} [{low:.2f}, {high:.2f}]"


def against_truth(scores: pd.DataFrame) -> pd.DataFrame:
    """Rank correlations with the long trainings, over all designs and those with attention."""
    truth = pd.read_csv(VALIDITY / "truth.csv").query(f"step == {TRUTH_STEP}")
    mean = truth.groupby("design")[list(TRUTHS)].mean().reindex(scores.index)
    attention = pd.read_csv(VALIDITY / "designs.csv").set_index("design")["attention"]
    some = scores.index[attention[scores.index] > 0]
    columns = [name for name in scores.columns if not name.startswith("core_seconds")]
    print(f"{mean['loss'].notna().sum()} of {len(scores)} designs have a long training")
    return pd.DataFrame(
        {
            f"{name}, {which}": {
                c: rank_correlation(scores.loc[index, c], mean.loc[index, name]) for c in columns
            }
            for name in TRUTHS
            for which, index in (("all", scores.index), ("with attention", some))
        }
    )


def draw(scores: pd.DataFrame, families: pd.Series, path: Path) -> None:
    """Errors of every design by task, one panel a score, families side by side."""
    names = ["recall_error", *TASKS]
    figure, axes = plt.subplots(1, len(names), figsize=(13, 3.4), sharey=True)
    order = list(dict.fromkeys(families))
    rng = np.random.default_rng(0)
    for axis, name in zip(axes, names, strict=True):
        places = families.map(order.index) + rng.uniform(-0.25, 0.25, len(scores))
        axis.scatter(places, scores[name], s=14, c=[f"C{order.index(f)}" for f in families])
        axis.set_xticks(range(len(order)), order, rotation=90, fontsize=8)
        axis.set_title(name, fontsize=9)
        axis.set_ylim(-0.04, 1.04)
    axes[0].set_ylabel("error: 0 solved, 1 guesses")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def shown(table: pd.DataFrame | pd.Series) -> str:
    """As text with two decimals."""
    return str(table.round(2).to_string())


def main(path: Path) -> None:
    """Print the tables, and draw the figure."""
    scores = scores_of(trainings(pd.read_csv(path)))
    designs = pd.read_csv(VALIDITY / "designs.csv").set_index("design")
    scores = scores.loc[[name for name in designs.index if name in scores.index]]
    families = designs["family"][scores.index]
    means = scores.groupby(families).mean()
    print(shown(means.assign(designs=families.value_counts())))
    print(shown(scores.assign(classes=designs["classes"])))
    print("\nSpearman between tasks\n" + shown(scores[TASKS].corr("spearman")))
    spread = {"deviation": scores.std(), "guesses": scores.ge(0.9).mean()}
    spread |= {"below_0.3": scores.le(0.3).mean(), "levels": scores.round(2).nunique()}
    print("\nspread\n" + shown(pd.DataFrame(spread)))
    print("\nSpearman with the truth\n" + shown(against_truth(scores)))
    draw(scores, families, path.with_suffix(".png"))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else HERE / "sweep.csv")
