"""Trains every architecture of a small space once for each seed, and keeps its held-out loss at
several rungs.

    nice -n 5 python experiments/tabular/build.py [folder]

Space and recipe are those of conf/experiment/tabular.yaml. Writes table.csv.gz and recipe.yaml to
the folder; without one to star/evaluation/tables, where the packaged table lies. A build that was
stopped goes on where it was: what is finished lies in runs/tabular.
"""

import csv
import gzip
import io
import itertools
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from rich.progress import track

from star.base import files
from star.base.command_line import compose_config
from star.base.errors import UserError
from star.base.settings import differences
from star.data import Corpus, load_corpus
from star.evaluation.executors.table import LOSS_COLUMN, PACKAGED, RECIPE, recipe_settings
from star.evaluation.recipe import EVALUATION_VERSION
from star.genomes import NOT_SHARED, Alphabet, Genome, arrays
from star.models import decode
from star.runs.provenance import describe_environment
from star.search import EvolveConfig
from star.search.recipe import make_recipe
from star.training import Trainer, validate

WORK = Path(__file__).parents[2] / "runs" / "tabular"
PARTIAL = "partial.csv"
SEEDS = (0, 1)
RUNGS = (10, 20, 40, 80)  # steps of one training at which it is measured
COLUMNS = ("genome", "seed", *(f"{LOSS_COLUMN}{steps}" for steps in RUNGS))

_corpus: Corpus | None = None


def load_config() -> EvolveConfig:
    """The configuration of the tabular experiment."""
    return compose_config("evolve", ["scale=cpu", "+experiment=tabular"])


def every_genome(letters: Alphabet, depth: int) -> list[Genome]:
    """All architectures, in canonical form: every class with every sharing, a group number for each
    possible group.

    A group needs two members to be one, so that half as many group numbers as LIVs reach every
    architecture.
    """
    numbers = range(1, max(1, depth // 2) + 1)
    weights = [(1, NOT_SHARED), *((number, 2) for number in numbers)]
    strategies = range(NOT_SHARED + 1, arrays.STRATEGIES)
    features = [(1, NOT_SHARED), *itertools.product(numbers, strategies)]
    livs = [(c, *w, *f) for c, w, f in itertools.product(letters.ids, weights, features)]
    choices = np.array(list(itertools.product(range(len(livs)), repeat=depth)))
    genes = np.array(livs)[choices]
    genes = genes[arrays.valid(genes, letters)]
    canonical = np.unique(arrays.canonical(genes, letters), axis=0)
    return [Genome.from_genes(row.tolist(), letters) for row in canonical]


def start_worker() -> None:
    """Runs once in each process."""
    global _corpus
    torch.set_num_threads(1)
    _corpus = load_corpus(load_config().data)


def losses(job: tuple[str, int, EvolveConfig]) -> list[object]:
    """One row of the table: a genome's loss (nats per token) at every rung of its training with one
    seed."""
    text, seed, config = job
    assert _corpus is not None
    torch.manual_seed(seed)
    model = decode(Genome.from_text(text), config.model)
    trainer = Trainer(model, _corpus, config.training, seed)
    measured: list[str] = []
    for steps in RUNGS:
        while trainer.step < steps:
            trainer.advance()
        measured.append(f"{validate(model, _corpus, config.training).validation_loss:.6f}")
    return [text, seed, *measured]


def describe_recipe(config: EvolveConfig, fingerprint: str) -> dict[str, Any]:
    """Everything that decides the table's numbers."""
    _, recipe = make_recipe(config)
    space = config.search.space
    genomes = {"depth": config.depth, "alphabet": space.alphabet, "classes": space.classes}
    return {
        **recipe_settings(recipe, genomes),
        "seeds": list(SEEDS),
        "steps": list(RUNGS),
        "data_fingerprint": fingerprint,
        "evaluation_version": EVALUATION_VERSION,
    }


def finished_rows(recipe: dict[str, Any]) -> list[list[str]]:
    """The rows of a build that was stopped, cut where it was; none of them when there was no build.

    Raises `UserError` when they were made by another recipe.
    """
    WORK.mkdir(parents=True, exist_ok=True)
    if not (WORK / RECIPE).exists():
        files.write_text(WORK / RECIPE, yaml.safe_dump(recipe, sort_keys=False))
    different = list(differences(yaml.safe_load((WORK / RECIPE).read_text()), recipe))
    if different:
        raise UserError(
            f"{WORK}: holds a build of another recipe ({'; '.join(different)}); move it away"
        )
    if not (WORK / PARTIAL).exists():
        return []
    text = (WORK / PARTIAL).read_text()
    text = text[: text.rfind("\n") + 1]
    files.write_text(WORK / PARTIAL, text)
    return list(csv.reader(text.splitlines()))


def train_missing(
    config: EvolveConfig, texts: list[str], finished: list[list[str]]
) -> Iterator[list[Any]]:
    """Train what is not finished, on all cores; rows are on disk as soon as they are there."""
    known = {(text, int(seed)) for text, seed, *_ in finished}
    jobs = [(text, seed, config) for seed in SEEDS for text in texts if (text, seed) not in known]
    workers = len(os.sched_getaffinity(0))
    with (
        ProcessPoolExecutor(workers, get_context("spawn"), start_worker) as pool,
        (WORK / PARTIAL).open("a", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        for row in track(pool.map(losses, jobs), "trainings", total=len(jobs)):
            writer.writerow(row)
            stream.flush()
            yield row


def write_table(rows: list[list[Any]], folder: Path) -> pd.DataFrame:
    """Write the table, the same bytes for the same rows; returns it."""
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table = table.astype({"seed": int, **dict.fromkeys(COLUMNS[2:], float)})
    table = table.sort_values(["seed", "genome"]).reset_index(drop=True)
    content = io.BytesIO()
    with gzip.GzipFile(fileobj=content, mode="wb", mtime=0, filename="") as stream:
        stream.write(table.to_csv(index=False, float_format="%.6f", lineterminator="\n").encode())
    files.write_bytes(folder / PACKAGED.name, content.getvalue())
    return table


def print_reproducibility(table: pd.DataFrame) -> None:
    """How well the seeds agree on the ranks at each rung, and each rung with the last one."""
    first, second = (table[table["seed"] == seed].set_index("genome") for seed in SEEDS)
    print(
        "| steps | Spearman between seeds | against the other seed at the end | best | median | "
        "worst |"
    )
    print("|---|---|---|---|---|---|")
    last = COLUMNS[-1]
    for steps, column in zip(RUNGS, COLUMNS[2:], strict=True):
        between = first[column].corr(second[column], method="spearman")
        orders = ((first, second), (second, first))
        to_end = [a[column].corr(b[last], method="spearman") for a, b in orders]
        low, middle, high = table[column].quantile([0, 0.5, 1])
        print(
            f"| {steps} | {between:.3f} | {np.mean(to_end):.3f} | {low:.3f} | {middle:.3f} | "
            f"{high:.3f} |"
        )


def main(folder: Path = PACKAGED.parent) -> None:
    """Train what is missing, write the table and its recipe, print how reproducible it is."""
    config = load_config()
    fingerprint = load_corpus(config.data).fingerprint
    recipe = describe_recipe(config, fingerprint)
    genomes = every_genome(config.search.alphabet(), config.depth)
    texts = [genome.to_text() for genome in genomes]
    print(f"{len(texts)} architectures, {len(SEEDS)} seeds")
    rows: list[list[Any]] = list(finished_rows(recipe))
    rows += train_missing(config, texts, rows)
    folder.mkdir(parents=True, exist_ok=True)
    table = write_table(rows, folder)
    described = {**recipe, "environment": describe_environment()}
    files.write_text(folder / RECIPE, yaml.safe_dump(described, sort_keys=False))
    print_reproducibility(table)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
