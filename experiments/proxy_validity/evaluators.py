"""The cheap evaluators of the study: short trainings of every design, measured on the way.

    nice -n 12 python experiments/proxy_validity/evaluators.py

A row a design, training and number of steps goes to trainings.csv beside this file, with the
core-seconds until then; an interrupted study goes on where it was. Seeds are others than the
truth's (truth.py).
"""

import argparse
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd
import torch
from truth import DESIGNS, HERE, MODEL, measure

from star.data import Corpus, DataConfig, load_corpus
from star.genomes import Genome
from star.models import decode
from star.training import Diverged, Trainer, TrainingConfig

TRAININGS = HERE / "trainings.csv"
SEED = 10
ADAMW = TrainingConfig(
    steps=320,
    batch_size=8,
    length=128,
    learning_rate=3e-3,
    warmup_steps=10,
    schedule="constant",
    validation_batches=8,
    validation_batch_size=16,
    device="cpu",
)
MUON = replace(ADAMW, optimizer="muon")
# Where each is measured. The first is the default that the study began with.
KINDS: dict[str, tuple[TrainingConfig, tuple[int, ...]]] = {
    "adamw_128": (ADAMW, (40, 80, 160, 320)),
    "muon_256": (replace(MUON, length=256), (20, 40, 80, 160, 320)),
    "muon_256_decayed": (
        replace(MUON, length=256, steps=160, schedule="cosine", final_fraction=0.0),
        (160,),
    ),
    "adamw_256": (replace(ADAMW, length=256), (20, 40, 80, 160)),
    "adamw_256_small": (
        replace(ADAMW, length=256, batch_size=4, steps=640),
        (20, 40, 80, 160, 320, 640),
    ),
    "muon_256_low": (
        replace(MUON, length=256, steps=80, learning_rate=1e-3, matrix_learning_rate=7e-3),
        (80,),
    ),
    "muon_512": (replace(MUON, length=512, batch_size=4, steps=160), (40, 80, 160)),
}


def rows(design: Any, kind: str, corpus: Corpus) -> Iterator[dict[str, Any]]:
    """Train one design in one way, giving a row at every number of steps."""
    training, measured_at = KINDS[kind]
    torch.manual_seed(SEED)
    model = decode(Genome.from_text(design.genome, design.alphabet), MODEL)
    trainer = Trainer(model, corpus, training, SEED)
    fixed = {"design": design.design, "kind": kind}
    seconds = 0.0
    for steps in measured_at:
        start = time.process_time()
        try:
            while trainer.step < steps:
                trainer.advance()
        except Diverged:
            yield {**fixed, "step": steps, "seconds": seconds, "loss": float("nan")}
            return
        seconds += time.process_time() - start
        found = measure(model, corpus, training)
        yield {**fixed, "step": steps, "seconds": seconds, **found}


def main() -> None:
    """Measure what is missing: every kind over all designs, one kind after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    corpus = load_corpus(DataConfig())
    found: list[Any] = pd.read_csv(TRAININGS).to_dict("records") if TRAININGS.exists() else []
    done = {(row["design"], row["kind"]) for row in found}
    for kind in options.kinds:
        for design in pd.read_csv(DESIGNS, dtype=str).itertuples(index=False):
            if (design.design, kind) in done:
                continue
            found += rows(design, kind, corpus)
            table = TRAININGS.with_suffix(".part")
            pd.DataFrame(found).to_csv(table, index=False, float_format="%.6g")
            table.replace(TRAININGS)
            last = found[-1]
            print(kind, design.design, f"{last['loss']:.4f} {last['seconds']:.1f} s", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
