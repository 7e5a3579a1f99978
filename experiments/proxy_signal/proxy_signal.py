"""Is a short training's loss a signal? Six library designs, several seeds, several budgets.

    python experiments/proxy_signal/proxy_signal.py

Each (design, seed) is trained once under `scale=cpu`; with its constant learning rate a shorter
budget is a prefix of a longer one, so the held-out loss is measured on the way. Writes losses.csv
and summary.csv beside this file.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.progress import track
from scipy.stats import spearmanr

from star.base.command_line import compose_config
from star.data import load_corpus
from star.genomes import load_genome
from star.models import decode
from star.search import EvolveConfig
from star.training import Trainer, validate

HERE = Path(__file__).parent
DESIGNS = ("transformer_pp", "striped_mamba", "gqa_transformer", "lfm2", "mamba", "hyena")
SEEDS = (0, 1, 2)
BUDGETS = (40, 80, 160, 320)  # steps; the last is the reference for fidelity


def losses(job: tuple[str, int, EvolveConfig]) -> list[dict[str, object]]:
    """Held-out loss (nats per token) of one design and seed at every budget."""
    design, seed, config = job
    torch.set_num_threads(1)
    corpus = load_corpus(config.data)
    torch.manual_seed(seed)
    model = decode(load_genome(design, config.depth)[0], config.model)
    training = replace(config.training, steps=max(BUDGETS))
    trainer = Trainer(model, corpus, training, seed)
    rows: list[dict[str, object]] = []
    for steps in BUDGETS:
        while trainer.step < steps:
            trainer.advance()
        quality = validate(model, corpus, training)
        rows.append(
            {"design": design, "seed": seed, "steps": steps, "loss": quality.validation_loss}
        )
    return rows


def spearman(a: pd.Series, b: pd.Series) -> float:
    """Rank correlation of two columns of losses."""
    return float(spearmanr(a, b)[0])  # type: ignore[arg-type]


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Per budget: Spearman between pairs of seeds, and of each seed against the others' mean at the
    longest."""
    rows = []
    longest = table[table["steps"] == max(BUDGETS)].pivot(
        index="design", columns="seed", values="loss"
    )
    for steps, part in table.groupby("steps"):
        by_seed = part.pivot(index="design", columns="seed", values="loss")
        pairs = [spearman(by_seed[a], by_seed[b]) for a, b in combinations(SEEDS, 2)]
        fidelity = [spearman(by_seed[s], longest.drop(columns=s).mean(axis=1)) for s in SEEDS]
        rows.append(
            {
                "steps": steps,
                "spearman_between_seeds_mean": np.mean(pairs),
                "spearman_between_seeds_min": np.min(pairs),
                f"spearman_against_{max(BUDGETS)}_steps": np.mean(fidelity),
                "seed_spread": by_seed.std(axis=1, ddof=1).mean(),
                "design_spread": by_seed.mean(axis=1).std(ddof=1),
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    """Train everything, write and print both tables."""
    former = ["training.length=128", "training.validation_batches=8"]  # of scale=cpu then
    config = compose_config("evolve", ["scale=cpu", *former])
    load_corpus(config.data)
    jobs = [(design, seed, config) for design in DESIGNS for seed in SEEDS]
    rows: list[dict[str, object]] = []
    workers = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for result in track(pool.map(losses, jobs), total=len(jobs), description="trainings"):
            rows += result
    table = pd.DataFrame(rows)
    table.to_csv(HERE / "losses.csv", index=False, float_format="%.5f")
    summary = summarise(table)
    summary.to_csv(HERE / "summary.csv", index=False, float_format="%.4f")
    spread = table.groupby(["steps", "design"])["loss"].agg(["mean", "std"]).unstack("steps")
    print(spread.round(4).to_string())
    print(summary.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
