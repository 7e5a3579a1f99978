"""Accuracy on recall tasks of several forms and sizes, over the designs of proxy_validity.

    nice -n 12 python experiments/recall/sweep.py

Every design is trained from scratch on every task, on the answers only, with Muon; rows go to
sweep.csv beside this file, and a training whose rows are there is not repeated. Designs come in an
order whose every prefix holds all families. Larger sizes of a form are not tried where a smaller
one ended at what guessing gets; `--all` tries them.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from star.evaluation.probing import RecallTask, accuracy, read_task, train_on_instances
from star.genomes import Genome, ModelConfig
from star.models import decode
from star.training import Diverged, TrainingConfig
from star.training.optimizers import make_optimizer

HERE = Path(__file__).parent
DESIGNS = HERE.parent / "proxy_validity" / "designs.csv"
MEASURED_AT = (25, 50, 75, 100)
BATCH_SIZE = 16  # sequences
HELD_OUT = 128  # instances; training begins behind them
KEYS = ["design", "task", "seed", "learning_rate"]
SOLVED = 0.99  # accuracy after which a training stops
HOPELESS = 0.9  # error above which larger sizes of a form are not tried
TASKS = ("pairs_4", "pairs_8", "pairs_16", "adjacent_8_32", "adjacent_16_32")


def train(
    genome: Genome, task: RecallTask, seed: int, learning_rate: float
) -> Iterator[dict[str, Any]]:
    """Rows of one training: accuracy at each checkpoint, and the CPU seconds of training so far."""
    torch.manual_seed(seed)
    model = decode(genome, ModelConfig(width=64, window=64, vocabulary=task.vocabulary))
    held_out = task.instances(HELD_OUT)
    batches = (
        task.instances(BATCH_SIZE, HELD_OUT + step * BATCH_SIZE) for step in range(MEASURED_AT[-1])
    )
    config = TrainingConfig(optimizer="muon", learning_rate=learning_rate, weight_decay=0.0)
    optimizer = make_optimizer(model, config)
    spent, start = 0.0, time.process_time()
    try:
        for step, loss in enumerate(train_on_instances(model, batches, optimizer), 1):
            if step not in MEASURED_AT:
                continue
            spent += time.process_time() - start
            found = accuracy(model, held_out)
            yield {"step": step, "accuracy": found, "loss": loss, "core_seconds": spent}
            if found >= SOLVED:
                return
            start = time.process_time()
    except Diverged:
        yield {
            "step": MEASURED_AT[-1],
            "accuracy": 0.0,
            "loss": float("nan"),
            "core_seconds": spent,
        }


def is_hopeless(rows: pd.DataFrame, task: RecallTask) -> bool:
    """Whether a training ended at what guessing gets, or close to it."""
    chance = task.guessed(task.instances(HELD_OUT))
    return task.error(rows["accuracy"].iloc[-1], chance) > HOPELESS


def main() -> None:
    """Train what is missing, one design after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=HERE / "sweep.csv")
    parser.add_argument("--designs", nargs="*", help="some of them")
    parser.add_argument("--tasks", nargs="*", default=TASKS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.01, help="AdamW's; Muon's is 0.02")
    parser.add_argument("--all", action="store_true", help="also where a smaller size failed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    designs = pd.read_csv(DESIGNS, dtype=str).set_index("design")
    next(train(Genome.from_text("11111"), read_task("pairs_4"), 0, 0.01))  # first calls are slow
    for design in options.designs or designs.index:
        genome = Genome.from_text(designs.genome[design], designs.alphabet[design])
        hopeless = set()
        for task in map(read_task, options.tasks):
            if task.form in hopeless and not options.all:
                continue
            rows = trained(options, design, genome, task)
            if is_hopeless(rows, task):
                hopeless.add(task.form)


def trained(
    options: argparse.Namespace, design: str, genome: Genome, task: RecallTask
) -> pd.DataFrame:
    """The rows of a training: those of the file, or new ones that are appended to it."""
    key = (design, task.name, options.seed, options.rate)
    if options.output.exists():
        table = pd.read_csv(options.output)
        rows = table[(table[KEYS] == pd.Series(key, KEYS)).all(axis=1)]
        if len(rows):
            return rows
    found = train(genome, task, options.seed, options.rate)
    rows = pd.DataFrame([dict(zip(KEYS, key, strict=True)) | row for row in found])
    header = not options.output.exists()
    rows.to_csv(options.output, mode="a", header=header, index=False, float_format="%.5g")
    last = rows.iloc[-1]
    print(
        f"{design} {task.name}: {last.accuracy:.3f} after {last.step} steps, "
        f"{last.core_seconds:.1f} core-seconds",
        flush=True,
    )
    return rows


if __name__ == "__main__":
    main()
