"""The tables of README.md, from `results.csv` and `mixtures.csv`."""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr, t

HERE = Path(__file__).parent


def interval(values: pd.Series) -> str:
    """Mean and its 95% interval over seeds (Student's t)."""
    mean = values.mean()
    if len(values) < 2:
        return f"{mean:.3f}"
    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{mean:.3f} ± {half:.3f}"


def print_losses(results: pd.DataFrame) -> None:
    """Each design's loss, and its difference from the best component of the same seed."""
    plain = results[results["design"].isin(["attention", "recurrence"])]
    best = plain.groupby("seed")["validation_loss"].min()
    results = results.assign(against=results["validation_loss"] - results["seed"].map(best))
    heads = ("design", "held-out loss", "against the better component", "MFLOPs a token")
    heads += ("TFLOPs spent", "parameters", "cache")
    print(f"| {' | '.join(heads)} |")
    print("|---|---|---|---|---|---|---|")
    order = results.groupby("design")["validation_loss"].mean().sort_values().index
    for design in order:
        rows = results[results["design"] == design]
        one = rows.iloc[0]
        print(
            f"| {design} | {interval(rows['validation_loss'])} | {interval(rows['against'])} "
            f"| {rows['flops_per_token'].mean() / 1e6:.2f} "
            f"| {rows['training_flops'].mean() / 1e12:.2f} | {one['parameters'] / 1e3:.0f}k "
            f"| {one['cache_bytes'] / 1e3:.0f}kB |"
        )


def print_mixtures(mixtures: pd.DataFrame) -> None:
    """Weights of attention by block, and how methods agree over blocks and seeds."""
    table = mixtures.pivot_table(index="method", columns="block", values="attention")
    print("\n| method | " + " | ".join(f"block {b}" for b in table.columns) + " |")
    print("|---" * (len(table.columns) + 1) + "|")
    for method, values in table.iterrows():
        print(f"| {method} | " + " | ".join(f"{value:.2f}" for value in values) + " |")
    searched = [m for m in table.index if m != "uniform"]
    wide = mixtures.pivot_table(index=["seed", "block"], columns="method", values="attention")
    print("\n| methods | Spearman over blocks and seeds | p |")
    print("|---|---|---|")
    for one, other in combinations(searched, 2):
        found: Any = spearmanr(wide[one], wide[other])
        print(f"| {one}, {other} | {found.statistic:.2f} | {found.pvalue:.2f} |")


if __name__ == "__main__":
    print_losses(pd.read_csv(HERE / "results.csv"))
    print_mixtures(pd.read_csv(HERE / "mixtures.csv"))
