"""Seconds that proposals take once a search has measured a thousand candidates.

python experiments/bayes/thousand.py
"""

import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "tabular"))
from methods import load_config  # pyright: ignore

from star.search import Search
from star.search.algorithms.bayesian import Bayesian
from star.search.bayesian.guide import Guide

MEASURED = (100, 300, 1000)
OBJECTIVES = "search.objectives=[validation_loss,parameters,cache_bytes]"


def main() -> None:
    """Measure random candidates, then time one batch."""
    torch.set_num_threads(1)
    print("| measured candidates | batch of | seconds a batch | seconds a proposal |")
    print("|---|---|---|---|")
    for count in MEASURED:
        shape = (f"search.population={count}", "search.generations=1", OBJECTIVES)
        random = Search.from_config(load_config("search=random", *shape))
        for _ in random.generations():
            pass
        search = Search.from_config(load_config("search=bayes", OBJECTIVES))
        guide, algorithm = search.guide, search.built.algorithm
        assert isinstance(guide, Guide) and isinstance(algorithm, Bayesian)
        measured = [e.candidate.genome for e in random.archive.all]
        guide.prepare(1, random.archive, None)  # pyright: ignore
        begun = time.process_time()
        acquisition = guide.acquisition(0)
        assert acquisition is not None
        pool = measured[: algorithm.pool]
        for _ in range(algorithm.rounds):
            acquisition.values(pool)
        chosen = acquisition.batch(pool, algorithm.pop_size)
        seconds = time.process_time() - begun
        print(f"| {count:,} | {len(chosen)} | {seconds:.1f} | {seconds / len(chosen):.2f} |")


if __name__ == "__main__":
    main()
