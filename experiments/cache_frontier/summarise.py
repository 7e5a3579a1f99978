"""What is left of fronts after a longer training: table and figure over validated runs.

    python experiments/cache_frontier/summarise.py runs/front/0 runs/front/1 runs/front/2
    python experiments/cache_frontier/summarise.py --of former runs/former/0 runs/former/1 ...

Each run is one of `star.evolve` that `star.validate` has trained longer. Writes, beside this file,
validated_<of>_<seed>.csv and summary_<of>.csv, and for the first call front.png. Every loss and
recall in the summary is a validated one.
"""

import argparse
import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from star.runs.run import Run

HERE = Path(__file__).parent
LOSS, RECALL, CACHE = "validation_loss", "recall_error", "cache_bytes"
DEFAULT = "default"


def validated(run: Run) -> pd.DataFrame:
    """The designs that could be validated, with their seed of the search."""
    table = run.validated
    if table is None:
        raise SystemExit(f"{run.path}: not validated; star.validate run={run.path} does it")
    return table[table["status"] == "ok"].assign(search_seed=run.settings["seed"])


def beside_baselines(table: pd.DataFrame) -> list[dict[str, object]]:
    """For each baseline, the design of the front with the smallest cache among those at or below
    its loss, and its recall error where that was measured."""
    front = table[table["role"] == "front"]
    rows: list[dict[str, object]] = []
    for _, baseline in table[table["origin"] == "baseline"].iterrows():
        good = front[LOSS] <= baseline[LOSS]
        if RECALL in table:
            good &= front[RECALL] <= baseline[RECALL]
        fits = front[good & (front["origin"] != "baseline")].sort_values([CACHE, LOSS])
        row = {
            "search_seed": baseline["search_seed"],
            "baseline": baseline["name"],
            "baseline_loss": baseline[LOSS],
            "baseline_recall": baseline.get(RECALL),
        }
        if len(fits):
            best = fits.iloc[0]
            row |= {
                "genome_id": best["genome_id"],
                "loss": best[LOSS],
                "recall": best.get(RECALL),
                "cache_share": best[CACHE] / baseline[CACHE],
                "parameter_share": best["parameters"] / baseline["parameters"],
            }
        rows.append(row)
    return rows


def kept(table: pd.DataFrame) -> dict[str, object]:
    """How much of a search's front no validated design of that run dominates: of what it found,
    without known designs that are on the front."""
    front = table[(table["role"] == "front") & (table["origin"] != "baseline")]
    return {
        "search_seed": front["search_seed"].iloc[0],
        "front": len(front),
        "kept": int(front["on_front"].sum()),
        "validated": len(table),
        "spearman": table[f"search_{LOSS}"].corr(table[LOSS], method="spearman"),
    }


def draw(tables: list[pd.DataFrame], path: Path) -> None:
    """Validated loss against cache: fronts of all seeds, and the baselines."""
    figure, axes = plt.subplots(figsize=(7.2, 4.4), layout="constrained")
    for number, table in enumerate(tables):
        front = table[(table["role"] == "front") & (table["origin"] != "baseline")]
        front = front.sort_values(CACHE)
        color = f"C{number}"
        label = f"search, seed {front['search_seed'].iloc[0]}"
        axes.plot(front[CACHE] / 1e3, front[LOSS], "o-", color=color, lw=0.8, label=label)
        out = front[~front["on_front"].astype(bool)]
        axes.plot(out[CACHE] / 1e3, out[LOSS], "o", color="white", ms=3)
    everyone = pd.concat(tables)
    baselines = everyone[everyone["origin"] == "baseline"]
    for name, rows in baselines.groupby("name", sort=False):
        cache, loss = rows[CACHE].iloc[0] / 1e3, rows[LOSS].mean()
        forgets = RECALL in rows and rows[RECALL].mean() >= 0.9
        inside = "white" if forgets else "crimson"
        axes.scatter(cache, loss, c=inside, marker="s", s=28, edgecolors="crimson")
        text = f"{name} (recalls nothing)" if forgets else str(name)
        axes.annotate(
            text,
            (cache, loss),
            textcoords="offset points",
            xytext=(6, 3),
            fontsize=8,
            color="crimson",
        )
    axes.set(xscale="log", xlabel="generation cache at 4,096 positions, kB (batch 1)")
    steps = int(everyone["steps"].iloc[0])
    axes.set_ylabel(f"validated loss after {steps:,} steps, nats per byte")
    axes.legend()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    """Summarise the given run folders."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--of", default=DEFAULT, help="name of the settings they share")
    options = parser.parse_args()
    runs = [Run.open(folder) for folder in options.runs]
    tables = [validated(run) for run in runs]
    for run, table in zip(runs, tables, strict=True):
        seed = table["search_seed"].iloc[0]
        shutil.copy(run.path / "validated.csv", HERE / f"validated_{options.of}_{seed}.csv")
    if options.of == DEFAULT:
        draw(tables, HERE / "front.png")
    shares = pd.DataFrame([kept(table) for table in tables])
    print(shares.to_string(index=False))
    print(f"kept: {shares['kept'].sum()} of {shares['front'].sum()}\n")
    summary = pd.DataFrame([row for table in tables for row in beside_baselines(table)])
    summary.to_csv(HERE / f"summary_{options.of}.csv", index=False, float_format="%.5f")
    if "genome_id" not in summary:
        print("no design of a front is at or below any baseline")
        return
    summary["found"] = summary["genome_id"].notna()
    columns = ["found", "baseline_loss", "loss", "baseline_recall", "recall", "cache_share"]
    means = summary.groupby("baseline", sort=False)[columns].mean()
    means["largest_share"] = summary.groupby("baseline")["cache_share"].max()
    print(means.round(4).to_string())


if __name__ == "__main__":
    main()
