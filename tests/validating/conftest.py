"""Runs of made-up trainings, and validations of them by longer made-up ones."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from star.evaluation import Evaluation
from star.evaluation.executors import Task
from star.genomes import Genome
from star.runs.run import Run
from star.search import EvolveConfig, Search, SearchConfig
from star.training import TrainingConfig
from star.validating import ValidateConfig, Validation, ValidationConfig
from tests.search.made_up import MadeUp, static_costs

STEPS = TrainingConfig().steps


def number(*parts: object) -> float:
    """From -1 to 1, another for other parts."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**47 - 1


def true_loss(genome: Genome) -> float:
    """What long trainings come to, on average."""
    return 2.0 + 0.5 * number(genome.id)


def trained(task: Task) -> Evaluation:
    """Short trainings see the true loss through noise, longer ones less so."""
    noise = 0.4 if task.steps == STEPS else 0.05
    loss = true_loss(task.genome) + noise * number(task.genome.id, task.seed)
    quality = {"validation_loss": loss, "bits_per_byte": 2 * loss, "perplexity": loss**2}
    return Evaluation("ok", "", {**static_costs(task.genome), **quality}, 0.1)


@pytest.fixture
def searched(tmp_path: Path) -> Callable[..., Run]:
    """A finished search; settings are those of `search`, or of the whole configuration."""

    def make(
        executor: MadeUp | None = None, folder: Path | None = None, whole: Any = None, **given: Any
    ) -> Run:
        settings = {
            "objectives": ["validation_loss", "cache_bytes"],
            "population": 8,
            "generations": 3,
            "baselines": ["transformer_pp", "mamba"],
            **given,
        }
        config = EvolveConfig(
            depth=4, seed=3, run_dir=str(folder or tmp_path / "run"),
            search=SearchConfig(**settings), **(whole or {}),
        )  # fmt: skip
        return Search.from_config(config, executor or MadeUp(trained)).run()

    return make


@pytest.fixture
def validation(tmp_path: Path) -> Callable[..., Validation]:
    """The validation of the run in `run`, twice as long as its search."""

    def make(
        executor: MadeUp | None = None, seeds: int = 3, sample: int = 4, **training: Any
    ) -> Validation:
        config = ValidateConfig(
            run=str(tmp_path / "run"),
            validation=ValidationConfig(seeds, sample),
            training=replace(TrainingConfig(steps=2 * STEPS), **training),
        )
        return Validation.from_config(config, executor or MadeUp(trained))

    return make
