"""Evaluators that train on no text: recall, MAD, proxies of untrained models, FLOPs; probes.csv.

    nice -n 12 python experiments/proxy_validity/probes.py

A row a design and evaluator, with its core-seconds; lower values are better, so what is maximised
has its sign changed. An interrupted study goes on where it was. Seeds are others than the truth's.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd
import torch
from evaluators import MUON, SEED
from truth import DESIGNS, HERE, MODEL

from star.data import Corpus, DataConfig, load_corpus
from star.evaluation import Context, Recipe
from star.evaluation.objectives import load_objective
from star.evaluation.proxies import PROXIES, ProxyScores
from star.genomes import CacheSetting, Genome

PROBES = HERE / "probes.csv"
RECIPE = Recipe(MODEL, CacheSetting(), MUON, DataConfig(), SEED)


def objective(name: str) -> Callable[[Genome, Corpus], Mapping[str, float]]:
    """The objective of a name, with what it measures beside."""
    found = load_objective(name)

    def measure(genome: Genome, corpus: Corpus) -> Mapping[str, float]:
        metrics = found.measure(Context(genome, RECIPE, corpus))
        return {key: found.sign * value for key, value in metrics.items()}

    return measure


def proxy(name: str) -> Callable[[Genome, Corpus], Mapping[str, float]]:
    """The proxy of a name, on one batch of text."""
    return lambda genome, corpus: {name: -ProxyScores(name, RECIPE, corpus)(genome)}


GROUPS: dict[str, Callable[[Genome, Corpus], Mapping[str, float]]] = {
    "flops": objective("flops_per_token"),
    **{name: proxy(name) for name in PROXIES},
    "recall": objective("recall_error"),
    "mad": objective("mad_score"),
}


def rows(design: Any, group: str, corpus: Corpus) -> Iterator[dict[str, Any]]:
    """What one group of evaluators gives for a design."""
    genome = Genome.from_text(design.genome, design.alphabet)
    start = time.process_time()
    metrics = GROUPS[group](genome, corpus)
    seconds = time.process_time() - start
    for evaluator, value in metrics.items():
        fixed = {"design": design.design, "group": group, "evaluator": evaluator}
        yield {**fixed, "value": value, "seconds": seconds}


def main() -> None:
    """Measure what is missing, one group after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", nargs="*", default=list(GROUPS), choices=list(GROUPS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    corpus = load_corpus(DataConfig())
    found: list[Any] = pd.read_csv(PROBES).to_dict("records") if PROBES.exists() else []
    done = {(row["design"], row["group"]) for row in found}
    for group in options.groups:
        for design in pd.read_csv(DESIGNS, dtype=str).itertuples(index=False):
            if (design.design, group) in done:
                continue
            found += rows(design, group, corpus)
            table = PROBES.with_suffix(".part")
            pd.DataFrame(found).to_csv(table, index=False, float_format="%.6g")
            table.replace(PROBES)
            print(group, design.design, f"{found[-1]['seconds']:.1f} s", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
