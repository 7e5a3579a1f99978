"""How well each cheap evaluator orders the designs as the long trainings do: validity.csv and .png.

    python experiments/proxy_validity/analyse.py

The truth is the loss after 4,000 steps, the mean over the seeds that are there (truth.csv). For
every evaluator: its core-seconds a design in the median, Spearman's and Kendall's correlation with
the truth over all designs and over those with attention, with 95% intervals by bootstrap over
designs; the same over those that the default search lets through, whose recall error is within its
limit; and what the front of loss against cache is worth that it picks: how many of its points are
on the true front, and the share of the true front's hypervolume that they have in the truth.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd

from star.evaluation.pareto import hypervolume, pareto_ranks, reference_point
from star.evaluation.statistics import rank_correlations

HERE = Path(__file__).parent
DESIGNS, TRUTH, TRAININGS = (HERE / f"{n}.csv" for n in ("designs", "truth", "trainings"))
PROBES = HERE / "probes.csv"  # recall, MAD and proxies: design, evaluator, value, seconds
VALIDITY, FIGURE = HERE / "validity.csv", HERE / "validity.png"
LAST_STEP = 4000
LEAST = 10  # designs that a correlation is computed over
RECALL, LIMIT = "recall_error", 0.75  # of conf/experiment/cache_frontier.yaml
QUANTITIES = ("loss", "loss_quarter_4", "loss_hit_4", "loss_hit_8")

Vector = npt.NDArray[np.float64]


def truth() -> pd.DataFrame:
    """Loss, costs and family by design, of those that were trained to the end."""
    table = pd.read_csv(TRUTH)
    table = table[table["step"] == LAST_STEP]
    means = table.groupby("design")[["loss", "loss_hit_8", "parameters", "cache_bytes"]].mean()
    probes = pd.read_csv(PROBES)
    recall = probes[probes["evaluator"] == RECALL].set_index("design")["value"].rename("recall")
    designs = pd.read_csv(DESIGNS).set_index("design")[["family", "attention"]]
    return means.join(designs).join(recall)


def evaluators(known: pd.DataFrame) -> pd.DataFrame:
    """Values (design, evaluator), lower is better; a row `seconds` has the costs."""
    columns: dict[str, pd.Series] = {}
    seconds: dict[str, float] = {"parameters": 0.0}
    columns["parameters"] = -known["parameters"]
    if TRAININGS.exists():
        table = pd.read_csv(TRAININGS)
        table["name"] = table["kind"] + " " + table["step"].astype(str)
        for name_of_training, part in table.groupby("name"):
            part = part.set_index("design")
            for quantity in QUANTITIES:
                name = f"{name_of_training} {quantity}"
                columns[name] = part[quantity]
                seconds[name] = part["seconds"].median()
    if PROBES.exists():
        for name, part in pd.read_csv(PROBES).groupby("evaluator"):
            part = part.set_index("design")
            columns[str(name)], seconds[str(name)] = part["value"], part["seconds"].median()
    values = pd.DataFrame(columns)
    values.loc["seconds"] = pd.Series(seconds)
    return values


def picked_front(values: Vector, known: pd.DataFrame) -> dict[str, float]:
    """What the front of these values against the cache is worth in the truth."""
    cache, true = np.log2(known["cache_bytes"].to_numpy()), known["loss"].to_numpy()
    true_points = np.column_stack([true, cache])
    true_front = pareto_ranks(true_points) == 0
    chosen = pareto_ranks(np.column_stack([values, cache])) == 0
    reference = reference_point(true_points)
    share = hypervolume(true_points[chosen], reference) / hypervolume(true_points, reference)
    among_chosen = pareto_ranks(true_points[chosen]) == 0
    return {
        "front": int(chosen.sum()),
        "true": float(true_front[chosen].mean()),
        "ordered": float(among_chosen.mean()),
        "hypervolume": share,
    }


def judge(values: pd.Series, known: pd.DataFrame) -> dict[str, float]:
    """All figures of one evaluator."""
    both = known.join(values.rename("value")).dropna(subset=["value"])
    result: dict[str, float] = {"designs": len(both)}
    parts = {
        "": both,
        "_attention": both[both["attention"] > 0],
        "_recalling": both[both["recall"] <= LIMIT],
    }
    for part, rows in parts.items():
        if len(rows) < LEAST:
            continue
        found = rank_correlations(rows["value"].to_numpy(), rows["loss"].to_numpy())
        for name, correlation in zip(("spearman", "kendall"), found, strict=True):
            for key, value in vars(correlation).items():
                result[f"{name}{part}_{key}".removesuffix("_value")] = value
    return result | picked_front(both["value"].to_numpy(), both)


def draw(table: pd.DataFrame) -> None:
    """Spearman's correlation of losses with the truth against the cost, a line a kind of training;
    bars are 95% intervals."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    losses = table[[str(name).endswith(" loss") for name in table.index]]
    kinds = [str(name).split()[0] for name in losses.index]
    for number, (kind, part) in enumerate(losses.groupby(kinds)):
        part = part.sort_values("seconds")
        below = part["spearman"] - part["spearman_low"]
        above = part["spearman_high"] - part["spearman"]
        seconds = part["seconds"] * 1.02**number  # so that bars do not cover each other
        axes.errorbar(seconds, part["spearman"], [below, above], marker="o", capsize=3, label=kind)
    axes.set(
        xscale="log", xlabel="core-seconds a design", ylabel="Spearman with the long trainings"
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(FIGURE, dpi=120)


def main() -> None:
    """Write the table, print it in short, and draw it."""
    known = truth()
    values = evaluators(known)
    seconds = values.loc["seconds"]
    found = {
        name: {"seconds": seconds[name]} | judge(values[name].drop("seconds"), known)
        for name in map(str, values)
        if values[name].drop("seconds").reindex(known.index).notna().sum() >= LEAST
    }
    table = pd.DataFrame(found).T.rename_axis("evaluator")
    table.to_csv(VALIDITY, float_format="%.4g")
    draw(table)
    short = ["seconds", "designs", "spearman", "spearman_low", "spearman_high"]
    parts = ("spearman_attention", "spearman_recalling", "true", "ordered", "hypervolume")
    short += [name for name in parts if name in table]
    print(table[short].round(3).to_string())


if __name__ == "__main__":
    main()
