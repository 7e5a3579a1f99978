"""What is left of fronts after a longer training: table and figure over validated runs.

    python experiments/cache_frontier/summarise.py runs/front/0 runs/front/1 runs/front/2
    python experiments/cache_frontier/summarise.py --of former runs/former/0 runs/former/1 ...

Each run is one of `star.evolve` that `star.validate` has trained longer. Their tables are kept
beside this file, validated_<of>_<seed>.csv and population_<of>_<seed>.csv; all that are there are
summarised in summary_<of>.csv, and for the first call in front.png. Every loss and recall in the
summary is a validated one.
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


def keep(run: Run, of: str) -> None:
    """Copy the tables of a run to here."""
    if run.validated is None:
        raise SystemExit(f"{run.path}: not validated; star.validate run={run.path} does it")
    for name in ("validated", "population"):
        shutil.copy(run.path / f"{name}.csv", HERE / f"{name}_{of}_{run.settings['seed']}.csv")


def kept_tables(of: str) -> list[pd.DataFrame]:
    """The designs that could be validated, a table a seed of the search."""
    tables = []
    for path in sorted(HERE.glob(f"validated_{of}_*.csv")):
        table = pd.read_csv(path)
        seed = int(path.stem.rpartition("_")[2])
        tables.append(table[table["status"] == "ok"].assign(search_seed=seed))
    return tables


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
        "spearman_loss": table[f"search_{LOSS}"].corr(table[LOSS], method="spearman"),
        "spearman_recall": table[f"search_{RECALL}"].corr(table[RECALL], method="spearman")
        if f"search_{RECALL}" in table
        else float("nan"),
    }


def draw(tables: list[pd.DataFrame], path: Path) -> None:
    """Validated loss against cache, coloured by recall error: what the fronts hold, a marker a
    seed, and the known designs by name. A cross is on what a validated design dominates."""
    everyone = pd.concat(tables)
    figure, axes = plt.subplots(figsize=(7.6, 4.6), layout="constrained")
    colours = {"vmin": 0.0, "vmax": 1.0, "cmap": "viridis"}
    for table, marker in zip(tables, "oDv", strict=False):
        front = table[(table["role"] == "front") & (table["origin"] != "baseline")]
        label = f"on the front of a search, seed {front['search_seed'].iloc[0]}"
        cache, loss = front[CACHE] / 1e3, front[LOSS]
        axes.scatter(cache, loss, c=front[RECALL], marker=marker, s=52, label=label, **colours)
        out = ~front["on_front"].astype(bool)
        axes.scatter(cache[out], loss[out], marker="x", color="red", s=30)
    known = everyone[everyone["origin"] == "baseline"].groupby("name", sort=False)
    known = known[[CACHE, LOSS, RECALL]].mean()
    points = axes.scatter(
        known[CACHE] / 1e3,
        known[LOSS],
        c=known[RECALL],
        marker="s",
        s=52,
        edgecolors="crimson",
        label="known designs",
        **colours,
    )
    for name, row in known.iterrows():
        axes.annotate(
            str(name),
            (row[CACHE] / 1e3, row[LOSS]),
            textcoords="offset points",
            xytext=(-6, 5),
            ha="right",
            fontsize=8,
            color="crimson",
        )
    figure.colorbar(points, label="recall error: 0 learns to look up, 1 guesses")
    axes.set(xscale="log", xlabel="generation cache at 4,096 positions, kB (batch 1)")
    steps = int(everyone["steps"].iloc[0])
    axes.set_ylabel(f"validated loss after {steps:,} steps, nats per byte")
    axes.legend(fontsize=8, loc="upper left")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    """Summarise the given run folders."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--of", default=DEFAULT, help="name of the settings they share")
    options = parser.parse_args()
    for folder in options.runs:
        keep(Run.open(folder), options.of)
    tables = kept_tables(options.of)
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
