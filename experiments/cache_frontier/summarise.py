"""What the default search finds: table and figure over several finished runs.

    for s in 0 1 2; do
      python -m star.evolve +experiment=cache_frontier seed=$s run_dir=runs/front/$s
    done
    python experiments/cache_frontier/summarise.py runs/front/0 runs/front/1 runs/front/2

Writes summary.csv, pareto_<seed>.csv and front.png beside this file.
"""

import shutil
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from star.genomes import load_genome
from star.runs.folder import PARETO
from star.runs.run import Run

HERE = Path(__file__).parent


def baseline_rows(run: Run) -> pd.DataFrame:
    """The baselines of a run, indexed by name."""
    population, depth = run.population, run.settings["depth"]
    by_id = population[population["origin"] == "baseline"].set_index("genome_id")
    ids = {name: load_genome(name, depth)[0].id for name in run.settings["search"]["baselines"]}
    return pd.DataFrame({name: by_id.loc[genome_id] for name, genome_id in ids.items()}).T


def measured(run: Run) -> pd.DataFrame:
    """What was trained to the end, without the baselines."""
    population = run.population
    return population[(population["origin"] != "baseline") & (population["status"] == "ok")]


def compare(run: Run) -> list[dict[str, object]]:
    """For each baseline, the evolved genome of smallest cache at or below its loss."""
    evolved = measured(run)
    rows: list[dict[str, object]] = []
    for name, baseline in baseline_rows(run).iterrows():
        better = evolved[evolved["validation_loss"] <= baseline["validation_loss"]]
        row: dict[str, object] = {
            "seed": run.settings["seed"],
            "baseline": name,
            "baseline_loss": baseline["validation_loss"],
            "baseline_cache_bytes": baseline["cache_bytes"],
        }
        if len(better):
            best = better.sort_values(["cache_bytes", "validation_loss"]).iloc[0]
            row |= {
                "genome_id": best["genome_id"],
                "genome": best["genome"],
                "loss": best["validation_loss"],
                "cache_share": best["cache_bytes"] / baseline["cache_bytes"],
                "parameter_share": best["parameters"] / baseline["parameters"],
            }
        rows.append(row)
    return rows


def draw(run: Run, path: Path) -> None:
    """Every candidate, the front and the baselines of a run."""
    figure, axes = plt.subplots(figsize=(7.2, 4.4), layout="constrained")
    evolved, pareto = measured(run), run.front
    points = axes.scatter(
        evolved["cache_bytes"] / 1e3,
        evolved["validation_loss"],
        c=evolved["generation"],
        s=18,
        cmap="viridis",
    )
    cache, loss = pareto["cache_bytes"] / 1e3, pareto["validation_loss"]
    axes.step(cache, loss, where="post", color="black", lw=1)
    axes.scatter(cache, loss, s=60, facecolors="none", edgecolors="black", label="Pareto front")
    for name, row in baseline_rows(run).iterrows():
        axes.scatter(
            row["cache_bytes"] / 1e3, row["validation_loss"], marker="s", color="crimson", s=28
        )
        axes.annotate(
            str(name),
            (row["cache_bytes"] / 1e3, row["validation_loss"]),
            textcoords="offset points",
            xytext=(6, 3),
            fontsize=8,
            color="crimson",
        )
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlabel("generation cache at 4,096 positions, kB (bfloat16)")
    axes.set_ylabel("validation loss, nats per byte")
    figure.colorbar(points, label="generation")
    axes.legend(loc="upper left")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main(folders: list[str]) -> None:
    """Summarise the given run folders."""
    rows: list[dict[str, object]] = []
    for number, run in enumerate(map(Run.open, folders)):
        rows += compare(run)
        shutil.copy(run.path / PARETO, HERE / f"pareto_{run.settings['seed']}.csv")
        if number == 0:
            draw(run, HERE / "front.png")
    summary = pd.DataFrame(rows)
    summary.to_csv(HERE / "summary.csv", index=False, float_format="%.5f")
    summary["found"] = summary["genome_id"].notna()
    means = summary.groupby("baseline", sort=False).agg(
        seeds_found=("found", "sum"),
        baseline_loss=("baseline_loss", "mean"),
        loss=("loss", "mean"),
        cache_share=("cache_share", "mean"),
        largest_share=("cache_share", "max"),
        parameter_share=("parameter_share", "mean"),
    )
    print(means.round(4).to_string())


if __name__ == "__main__":
    main(sys.argv[1:])
