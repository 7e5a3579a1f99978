"""Searches of the tabular benchmark with and without pre-screening, and halving by predicted ends.

    python experiments/prescreening/measure.py                  # all methods
    python experiments/prescreening/measure.py surrogate_8      # some of them

30 seeds each, against the true front, as experiments/tabular/compare.py measures it. Writes
evaluations.csv, a row a search, beside this file, keeps the rows of methods that it is not told to
run, and prints the tables of the README.
"""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tabular"))

from compare import OBJECTIVES, hypervolume, interval, true_hypervolume, truth  # noqa: E402  # pyright: ignore
from methods import load_config  # noqa: E402  # pyright: ignore

from star.search import Search  # noqa: E402

RESULTS = HERE / "evaluations.csv"
SEEDS = range(300, 330)
TARGET = 0.95  # of the true front's hypervolume
AT = (32, 64, 128)  # evaluations at which shares are noted
PLAIN = "plain"
SURROGATE = "search.prescreen.kind=surrogate"
RUNGS = "search.halving.rungs=[10,20,40]"
# Overrides, and generations of 16.
METHODS: dict[str, tuple[tuple[str, ...], int]] = {
    PLAIN: ((), 16),
    **{
        f"surrogate_{surplus}": ((SURROGATE, f"search.prescreen.surplus={surplus}"), 8)
        for surplus in (4, 8, 16)
    },
    **{
        f"halving_{promote}": ((RUNGS, f"search.halving.promote={promote}"), 25)
        for promote in ("rank", "predicted")
    },
}


def search(method: str, seed: int) -> dict[str, Any]:
    """One search: evaluations until `TARGET`, shares on the way and at the end, and its cost."""
    overrides, generations = METHODS[method]
    settings = (f"search.objectives=[{','.join(OBJECTIVES)}]", f"seed={seed}")
    began = time.process_time()
    config = load_config(*overrides, *settings, f"search.generations={generations}")
    found = Search.from_config(config)
    for _ in found.generations():
        pass
    seconds = time.process_time() - began
    whole = [truth()[e.genome_id] for e in found.archive.all if e.evaluation.feasible]
    values = np.array(whole)
    rounds = found.prescreen.rounds if found.prescreen else []
    return {
        "method": method,
        "seed": seed,
        "evaluations": until(values),
        **{f"share_{n}": share(values[:n]) if len(values) >= n else np.nan for n in AT},
        "share": share(values),
        "tokens": found.archive.train_tokens(),
        "acted": np.mean([r.acts for r in rounds]) if rounds else np.nan,
        "spearman": np.mean([r.spearman for r in rounds]) if rounds else np.nan,
        "spearman_of_parameters": (
            np.mean([r.spearman_of_parameters for r in rounds]) if rounds else np.nan
        ),
        "seconds": seconds,
    }


def share(values: np.ndarray) -> float:
    """Of the true front's hypervolume. values: (candidates, objectives), scaled."""
    return hypervolume(values) / true_hypervolume()


def until(values: np.ndarray) -> float:
    """Evaluations, in order of proposal, until `TARGET`: bisection, as the share only grows."""
    if share(values) < TARGET:
        return np.inf
    low, high = 0, len(values)  # below at low, reached at high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if share(values[:middle]) >= TARGET else (middle, high)
    return high


def report(results: pd.DataFrame) -> None:
    """The tables of the README."""
    plain = results[results["method"] == PLAIN].set_index("seed")["evaluations"]
    print(
        "| pre-screening | evaluations to 95% | times fewer | share after 32 | 64 | 128 | acts "
        "| Spearman (parameters') | core-seconds |\n|---|---|---|---|---|---|---|---|---|"
    )
    for method, own in results.groupby("method", sort=False):
        if str(method).startswith("halving"):
            continue
        middle, low, high = interval(np.minimum(own["evaluations"], 999), np.median)
        here = own.set_index("seed")["evaluations"]
        ratios = (plain[here.index] / here).to_numpy()
        times, least, most = interval(ratios, np.median)
        shares = " | ".join(f"{own[f'share_{n}'].mean():.4f}" for n in AT)
        said = f"{own['spearman'].mean():.2f} ({own['spearman_of_parameters'].mean():.2f})"
        print(
            f"| {method} | {middle:.0f} ({low:.0f} to {high:.0f}) | {times:.2f} ({least:.2f} to "
            f"{most:.2f}) | {shares} | {own['acted'].mean():.0%} | {said} | "
            f"{own['seconds'].mean():.1f} |"
        )
    print("\n| halving | training tokens | share of the true front's hypervolume |\n|---|---|---|")
    for method, own in results.groupby("method", sort=False):
        if str(method).startswith("halving"):
            middle, low, high = interval(own["share"])
            tokens = own["tokens"].mean() / 1e6
            print(f"| {method} | {tokens:.2f}M | {middle:.4f} ({low:.4f} to {high:.4f}) |")


def main() -> None:
    """Run the methods that are named, or all, and print the tables of everything known."""
    chosen = sys.argv[1:] or list(METHODS)
    known = pd.read_csv(RESULTS) if RESULTS.exists() else pd.DataFrame(columns=["method"])
    for method in chosen:
        rows = [search(method, seed) for seed in SEEDS]
        known = pd.concat([known[known["method"] != method], pd.DataFrame(rows)])
        known["order"] = known["method"].map({name: n for n, name in enumerate(METHODS)})
        known = known.sort_values(["order", "seed"]).drop(columns="order")
        known.round(5).to_csv(RESULTS, index=False, lineterminator="\n")
        print(f"{method}: done", file=sys.stderr, flush=True)
    report(pd.read_csv(RESULTS))


if __name__ == "__main__":
    main()
