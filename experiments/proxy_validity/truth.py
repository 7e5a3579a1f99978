"""The truth of the study: every design trained long enough that attention has learned to recall.

    nice -n 19 python experiments/proxy_validity/truth.py --work <folder> --workers 1

4,000 steps of 8 x 256 tokens, AdamW 3e-3 with a cosine, width 64, two seeds; designs.csv says of
what. Rows go to truth.csv beside this file as they are measured, on the held-out text. An
interrupted study goes on where it was: the folder keeps a state of every training, and at its end
the weights; trainings that truth.csv has to their end are not repeated.
"""

import argparse
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from star.data import Corpus, DataConfig, load_corpus
from star.data.repeats import repeats
from star.genomes import Genome, ModelConfig, cache_bytes, parameter_count
from star.models import LanguageModel, decode
from star.training import Diverged, Trainer, TrainingConfig, load_state, save_state

HERE = Path(__file__).parent
DESIGNS, TRUTH = HERE / "designs.csv", HERE / "truth.csv"
SEEDS = (0, 1)
MEASURED_AT = (250, 500, 1000, 2000, 3000, 4000)
MODEL = ModelConfig(width=64, window=64)
TRAINING = TrainingConfig(
    steps=MEASURED_AT[-1],
    batch_size=8,
    length=256,
    learning_rate=3e-3,
    warmup_steps=100,
    schedule="cosine",
    validation_batches=16,
    validation_batch_size=16,
    device="cpu",
)
HIT_LENGTHS = (4, 8)  # bytes of the n-grams whose last byte is a recall hit
SAVE_EVERY = 100  # steps


@dataclass(frozen=True)
class Job:
    """One training."""

    design: str
    genome: str
    alphabet: str
    seed: int
    folder: Path


@torch.no_grad()
def measure(
    model: LanguageModel, corpus: Corpus, training: TrainingConfig = TRAINING
) -> dict[str, float]:
    """Held-out losses in nats a byte: mean, of quarters of the window, and of recall hits."""
    model.eval()
    losses, hits = [], {length: [] for length in HIT_LENGTHS}
    sample = (training.validation_batches, training.validation_batch_size, training.length)
    for tokens in corpus.validation_batches(*sample):
        logits = model(tokens[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
        losses.append(loss.view(tokens.shape[0], -1).numpy())
        for length in HIT_LENGTHS:
            hits[length].append(repeats(tokens.numpy(), length)[:, 1:])
    model.train()
    loss = np.concatenate(losses)
    result = {"loss": float(loss.mean())}
    for number, quarter in enumerate(np.split(loss, 4, axis=1), start=1):
        result[f"loss_quarter_{number}"] = float(quarter.mean())
    for length in HIT_LENGTHS:
        is_hit = np.concatenate(hits[length])
        result[f"loss_hit_{length}"] = float(loss[is_hit].mean())
        result[f"loss_other_{length}"] = float(loss[~is_hit].mean())
    return result


def train(job: Job) -> Iterator[dict[str, Any]]:
    """Train one design, giving a row at every checkpoint that is new."""
    torch.set_num_threads(1)
    corpus = load_corpus(DataConfig())
    genome = Genome.from_text(job.genome, job.alphabet)
    torch.manual_seed(job.seed)
    model = decode(genome, MODEL)
    trainer = Trainer(model, corpus, TRAINING, job.seed)
    state = job.folder / f"{job.design}_{job.seed}.safetensors"
    if state.exists():
        load_state(state, trainer)
    fixed = {
        "design": job.design,
        "seed": job.seed,
        "parameters": parameter_count(genome, MODEL).non_embedding,
        "cache_bytes": cache_bytes(genome, MODEL),
    }
    start, before = time.process_time(), trainer.step
    while trainer.step < TRAINING.steps:
        try:
            trainer.advance()
        except Diverged:
            yield {**fixed, "step": trainer.step, "loss": float("nan")}
            return
        if trainer.step % SAVE_EVERY == 0:
            save_state(state, trainer)
        if trainer.step in MEASURED_AT:
            seconds = (time.process_time() - start) / (trainer.step - before)
            yield {**fixed, "step": trainer.step, "seconds_per_step": seconds} | measure(
                model, corpus
            )


def run(job: Job) -> list[dict[Any, Any]]:
    """All rows of one training; they are also kept in the folder as they come."""
    kept = job.folder / f"{job.design}_{job.seed}.csv"
    if not kept.exists() and TRUTH.exists():
        table = pd.read_csv(TRUTH)
        write(table[(table["design"] == job.design) & (table["seed"] == job.seed)], kept)
    there = pd.read_csv(kept).to_dict("records") if kept.exists() else []
    rows: list[dict[Any, Any]] = [dict(row) for row in there]
    done = {row["step"] for row in rows}
    if TRAINING.steps in done:
        return rows
    for row in train(job):
        if row["step"] not in done:
            rows.append(row)
            write(pd.DataFrame(rows), kept)
    return rows


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a whole table at once, since others read it meanwhile."""
    part = path.with_suffix(".part")
    table.to_csv(part, index=False, float_format="%.6g")
    part.replace(path)


def collect(folder: Path) -> pd.DataFrame:
    """Everything measured so far, in the order of the designs: what TRUTH has already, and what is
    in the folder, which counts where both have a training; written to TRUTH."""
    paths = sorted(folder.glob("*.csv"))
    tables = [pd.read_csv(path) for path in [TRUTH, *paths] if path.exists()]
    if not tables:
        return pd.DataFrame()
    table = pd.concat(tables).drop_duplicates(["design", "seed", "step"], keep="last")
    order = {name: number for number, name in enumerate(pd.read_csv(DESIGNS)["design"])}
    table["place"] = table["design"].map(order)
    table = table.sort_values(["seed", "place", "step"]).drop(columns="place")
    write(table, TRUTH)
    return table


def main() -> None:
    """Train what is missing, one job after the other on every worker."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of states and weights")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    designs = pd.read_csv(DESIGNS, dtype=str)
    jobs = [
        Job(row["design"], row["genome"], row["alphabet"], seed, options.work)
        for seed, (_, row) in product(SEEDS, designs.iterrows())
    ]
    start = time.monotonic()
    context = get_context("spawn")
    with ProcessPoolExecutor(options.workers, mp_context=context) as pool:
        futures = {pool.submit(run, job): job for job in jobs}
        for number, future in enumerate(as_completed(futures), start=1):
            job, last = futures[future], future.result()[-1]
            collect(options.work)
            left = (time.monotonic() - start) / number * (len(jobs) - number)
            print(
                f"{number}/{len(jobs)} {job.design} seed {job.seed}: loss {last['loss']:.4f}, "
                f"{left / 3600:.1f} h left",
                flush=True,
            )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
