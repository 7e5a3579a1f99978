"""Compares search algorithms on the tabular benchmark, 30 seeds each, against the true Pareto
front.

    python experiments/tabular/compare.py

Searches see the losses of the table's seed `seed % 2`, as a real search sees one training; what
they evaluated is then measured by the mean of both seeds. Writes curves.csv, summary.csv and
comparison.png beside this file and prints the tables of the README.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
from methods import HALVING, METHODS, load_config, run_search
from pymoo.indicators.hv import HV
from rich.progress import track
from scipy.stats import bootstrap
from valid_share import print_valid_shares

from star.evaluation.executors import TableConfig
from star.evaluation.pareto import Values, pareto_ranks
from star.genomes import Genome
from star.search.recipe import make_recipe

HERE = Path(__file__).parent
OBJECTIVES = ("validation_loss", "parameters", "cache_bytes")
SEEDS = range(300, 330)  # others than those with which settings were chosen
GENERATIONS, POPULATION = 25, 16
# Evaluations at which searches are compared.
GRID = np.arange(POPULATION, GENERATIONS * POPULATION + 1, POPULATION)
# Of the hypervolume, with 0 the best and 1 the worst of the table in each objective.
REFERENCE = 1.1
RANDOM, PLAIN = "random", "nsga2"
RESAMPLES = 2000


@lru_cache(maxsize=1)
def truth() -> dict[str, Values]:
    """Objectives of every architecture, scaled to 0..1, by genome id: the loss is the mean of the
    table's seeds."""
    table, (measured, recipe) = TableConfig().read(), make_recipe(load_config())
    genomes = [Genome.from_text(text) for text in table.rows["genome"].unique()]
    rows = []
    for genome in genomes:
        steps, seeds = recipe.training.steps, table.recipe["seeds"]
        loss = float(np.mean([table.losses[genome.id, seed][steps] for seed in seeds]))
        metrics = {**measured.measure_static(genome, recipe), "validation_loss": loss}
        rows.append([metrics[name] for name in OBJECTIVES])
    values = np.array(rows)
    scaled = (values - values.min(axis=0)) / np.ptp(values, axis=0)
    return dict(zip((genome.id for genome in genomes), scaled, strict=True))


def hypervolume(values: Values) -> float:
    """Of rows of scaled objectives, in the units of the scaled box."""
    indicator = HV(ref_point=np.full(len(OBJECTIVES), REFERENCE))
    return float(indicator(values[pareto_ranks(values) == 0])) if len(values) else 0.0  # type: ignore[arg-type]


@lru_cache(maxsize=1)
def true_hypervolume() -> float:
    return hypervolume(np.stack(list(truth().values())))


def search_curve(job: tuple[str, int]) -> pd.DataFrame:
    """One search: share of the true front's hypervolume and training tokens, after the evaluations
    of `GRID`."""
    name, seed = job
    rows = []
    found: list[Values] = []
    evaluations = tokens = 0
    for generation in run_search({**METHODS, **HALVING}[name], OBJECTIVES, GENERATIONS, seed):
        evaluations += len(generation)
        tokens += sum(evaluated.tokens for evaluated in generation)
        found += [truth()[evaluated.genome_id] for evaluated in generation if evaluated.genome_id]
        share = hypervolume(np.array(found)) / true_hypervolume()
        rows.append({"evaluations": evaluations, "tokens": tokens, "share": share})
    # Generations may be smaller than the population, when an algorithm finds no more.
    curve = pd.DataFrame(rows)
    last = np.searchsorted(curve["evaluations"], GRID, side="right") - 1
    on_grid = curve.iloc[np.maximum(last, 0)].reset_index(drop=True).assign(evaluations=GRID)
    on_grid.loc[last < 0, ["tokens", "share"]] = 0
    return on_grid.assign(method=name, seed=seed)


def run_all(names: Sequence[str]) -> pd.DataFrame:
    """All searches, a row for each generation of each."""
    jobs = [(name, seed) for name in names for seed in SEEDS]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("spawn")) as pool:
        curves = pool.map(search_curve, jobs)
        return pd.concat(track(curves, "searches", total=len(jobs)), ignore_index=True)


def interval(
    values: npt.ArrayLike, statistic: Callable[..., Any] = np.mean
) -> tuple[float, float, float]:
    """A statistic with its 95% bootstrap interval."""
    sample = np.asarray(values, dtype=float)
    if np.ptp(sample) == 0:
        return sample[0], sample[0], sample[0]
    result = bootstrap(
        (sample,),
        statistic,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(statistic(sample)), float(result.low), float(result.high)


def first_reached(curve: pd.DataFrame, target: float) -> float:
    """Evaluations until a search's share is at least the target; infinity when it never is."""
    reached = curve[curve["share"] >= target]
    return float(reached["evaluations"].iloc[0]) if len(reached) else np.inf


def summarise(curves: pd.DataFrame) -> pd.DataFrame:
    """Per method: final share, and evaluations until random search's mean final share."""
    last = curves.groupby(["method", "seed"]).tail(1)
    target = last.loc[last["method"] == RANDOM, "share"].mean()
    budget = GRID[-1]
    rows = []
    for name in METHODS:
        own = curves[curves["method"] == name]
        final, low, high = interval(last.loc[last["method"] == name, "share"])
        reached = np.array([first_reached(curve, target) for _, curve in own.groupby("seed")])
        # Searches that never reach it count as more than the budget: the median does not mind.
        median, median_low, median_high = interval(np.minimum(reached, budget + 1), np.median)
        mean_curve = own.groupby("evaluations")["share"].mean().reset_index()
        rows.append({
            "method": name, "final": final, "final_low": low, "final_high": high,
            "reached_by": int(np.isfinite(reached).sum()),
            "evaluations": median, "evaluations_low": median_low, "evaluations_high": median_high,
            "mean_reaches": first_reached(mean_curve, target),
            "tokens": last.loc[last["method"] == name, "tokens"].mean(),
        })  # fmt: skip
    return pd.DataFrame(rows)


def print_summary(summary: pd.DataFrame) -> None:
    """The table of the README."""

    def count(value: float) -> str:
        return f"{value:.0f}" if value <= GRID[-1] else f">{GRID[-1]}"

    print(
        "| algorithm | share of the true front's hypervolume | evaluations to random's | searches "
        "that reach it |"
    )
    print("|---|---|---|---|")
    for row in summary.to_dict("records"):
        print(
            f"| {METHODS[row['method']].label} "
            f"| {row['final']:.4f} ({row['final_low']:.4f} to {row['final_high']:.4f}) "
            f"| {count(row['evaluations'])} ({count(row['evaluations_low'])} to "
            f"{count(row['evaluations_high'])}) "
            f"| {row['reached_by']} |"
        )


def print_halving(curves: pd.DataFrame) -> None:
    """Successive halving beside training everything to the end, over the same number of
    generations."""
    last = curves.groupby(["method", "seed"]).tail(1).set_index("seed")
    plain = last[last["method"] == PLAIN]
    print(
        "\n| successive halving | training tokens | fewer | share of the true front's hypervolume "
        "| against plain |"
    )
    print("|---|---|---|---|---|")
    for name in (PLAIN, *HALVING):
        own = last[last["method"] == name]
        share, low, high = interval(own["share"])
        loss, *bounds = interval(100 * (own["share"] / plain["share"] - 1))
        label = HALVING[name].label if name in HALVING else "none"
        tokens = own["tokens"].mean()
        print(
            f"| {label} | {tokens / 1e6:.2f}M | {plain['tokens'].mean() / tokens:.2f}x | "
            f"{share:.4f} ({low:.4f} to "
            f"{high:.4f}) | {loss:+.2f}% ({bounds[0]:+.2f} to {bounds[1]:+.2f}) |"
        )


def plot(curves: pd.DataFrame, path: Path) -> None:
    """Mean share against evaluations, with 95% intervals."""
    figure, axes = plt.subplots(figsize=(11, 5.5), layout="constrained")
    for number, name in enumerate(METHODS):
        own = curves[curves["method"] == name]
        bands = [(n, *interval(part["share"].to_numpy())) for n, part in own.groupby("evaluations")]
        x, mean, low, high = np.array(bands).T
        color, style = f"C{number % 10}", "--" if METHODS[name].stock else "-"
        axes.plot(x, 1 - mean, label=METHODS[name].label, color=color, linestyle=style)
        axes.fill_between(x, 1 - high, 1 - low, color=color, alpha=0.15, linewidth=0)
    axes.set(
        xlabel="evaluations",
        ylabel="share of the true front's hypervolume that is missing",
        yscale="log",
        title=f"Tabular benchmark, mean of {len(SEEDS)} seeds with 95% intervals",
    )
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run every search, write and print the results."""
    values = np.stack(list(truth().values()))
    print(
        f"{len(values)} architectures, {(pareto_ranks(values) == 0).sum()} of them on the true "
        f"front"
    )
    everything = run_all([*METHODS, *HALVING])
    curves = everything[everything["method"].isin(METHODS)]
    wide = everything.pivot(index=["method", "evaluations"], columns="seed", values="share")
    wide.round(5).to_csv(HERE / "curves.csv", lineterminator="\n")
    summary = summarise(curves)
    summary.to_csv(HERE / "summary.csv", index=False, float_format="%.5f", lineterminator="\n")
    print_summary(summary)
    plot(curves, HERE / "comparison.png")
    print_halving(everything)
    print_valid_shares()


if __name__ == "__main__":
    main()
