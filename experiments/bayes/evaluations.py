"""Evaluations that a Bayesian search needs on the tabular benchmark, beside those of the others.

    nice -n 15 python experiments/bayes/evaluations.py --work <folder>     # goes on where it was

Each search ends when it has 95% of the true front's hypervolume, and goes on to at most `MOST`
evaluations for the curve. Objectives, scaling and truth are those of experiments/tabular.
`searches.csv` has a row for each search, `curves.csv` its share after every eight evaluations.
"""

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tabular"))
from compare import OBJECTIVES, hypervolume, interval, true_hypervolume, truth  # noqa: E402 # pyright: ignore
from methods import Method, run_search  # noqa: E402 # pyright: ignore

TARGET, STEP = 0.95, 8
BATCH = "search.population=8"
SCREENED = "search.prescreen.kind=surrogate"
# Name, search, most evaluations: where the target is far off, more are cheap.
METHODS: dict[str, tuple[str, Method, int]] = {
    "random": ("random search", Method("", ("search=random",)), 800),
    "nsga2": ("NSGA-II, the default", Method(""), 400),
    "nsga2_8": ("NSGA-II, population 8", Method("", (BATCH,)), 400),
    "prescreen": ("NSGA-II with pre-screening", Method("", (SCREENED,)), 400),
    "prescreen_8": ("the same, population 8", Method("", (SCREENED, BATCH)), 400),
    "bayes": ("Bayesian, batches of 8", Method("", ("search=bayes",)), 40),
    "bayes_16": (
        "the same, batches of 16", Method("", ("search=bayes", "search.population=16")), 64,
    ),
    "bayes_one_round": (
        "the same, one round of children",
        Method("", ("search=bayes", "search.algorithm.rounds=1")), 64,
    ),
    "bayes_categorical": (
        "the same, categorical kernel",
        Method("", ("search=bayes", "search.algorithm.kernel=categorical")), 64,
    ),
}  # fmt: skip
FEW = ("bayes_16", "bayes_one_round", "bayes_categorical")
SEEDS = {name: range(300, 307 if name in FEW else 330) for name in METHODS}


def search(job: tuple[str, int]) -> dict[str, object]:
    """One search: evaluations to the target (infinite where it has not reached it), seconds that
    proposing took, and its shares."""
    torch.set_num_threads(1)
    name, seed = job
    _, method, most = METHODS[name]
    shares: list[float] = []
    found: list[np.ndarray] = []
    evaluations, reached, begun = 0, np.inf, time.process_time()
    for generation in run_search(method, OBJECTIVES, most, seed):
        evaluations += len(generation)
        found += [truth()[e.genome_id] for e in generation if e.genome_id]
        share = hypervolume(np.array(found)) / true_hypervolume()
        shares += [share] * (evaluations // STEP - len(shares))
        if share >= TARGET and reached == np.inf:
            reached = evaluations
        if evaluations >= most:
            break
    seconds = time.process_time() - begun
    return {
        "method": name, "seed": seed, "reached": reached, "evaluations": evaluations,
        "seconds": seconds, "shares": shares,
    }  # fmt: skip


def median_text(values: np.ndarray) -> str:
    """The median with its 95% bootstrap interval, evaluations that were never reached as more than
    the rest."""
    finite = np.where(np.isfinite(values), values, 10**6)
    middle, low, high = interval(finite, np.median)
    return f"{middle:.0f}" if np.ptp(finite) == 0 else f"{middle:.0f} ({low:.0f} to {high:.0f})"


def print_table(searches: pd.DataFrame) -> None:
    """The table of the README."""
    base = searches[searches["method"] == "nsga2"]["reached"].median()
    columns = ("search", "searches", "reach it", "median evaluations to 95%")
    columns += ("against NSGA-II's", "seconds a proposal")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for name, own in searches.groupby("method", sort=False):
        reached = own["reached"].to_numpy()
        each = own["seconds"].sum() / own["evaluations"].sum()
        print(
            f"| {METHODS[str(name)][0]} | {len(own)} | {np.isfinite(reached).sum()} "
            f"| {median_text(reached)} | {np.median(reached) / base:.2f} | {each:.3f} |"
        )


def main() -> None:
    """Run what is missing, print and write what is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--work", type=Path, required=True, help="where finished searches are kept")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    kept = arguments.work / "searches.jsonl"
    lines = kept.read_text().splitlines() if kept.exists() else []
    rows = [json.loads(line) for line in lines]
    done = {(row["method"], row["seed"]) for row in rows}
    # Seed by seed, so that what there is when time runs out is about all methods alike.
    jobs = sorted(
        ((name, seed) for name in METHODS for seed in SEEDS[name]), key=lambda job: job[1]
    )
    with ProcessPoolExecutor(arguments.workers, get_context("spawn")) as pool:
        for row in pool.map(search, [job for job in jobs if job not in done]):
            rows.append(row)
            with kept.open("a") as file:
                file.write(json.dumps(row) + "\n")
    order = list(METHODS)
    frame = pd.DataFrame(rows).sort_values(
        ["method", "seed"], key=lambda c: c.map(order.index) if c.name == "method" else c
    )
    curves = frame.explode("shares").rename(columns={"shares": "share"})
    curves["evaluated"] = STEP * (curves.groupby(["method", "seed"]).cumcount() + 1)
    wide = curves.pivot(index=["method", "evaluated"], columns="seed", values="share")
    wide.astype(float).round(5).to_csv(HERE / "curves.csv", lineterminator="\n")
    searches = frame.drop(columns="shares").reset_index(drop=True)
    searches.round(2).to_csv(HERE / "searches.csv", index=False, lineterminator="\n")
    print_table(searches)


if __name__ == "__main__":
    main()
