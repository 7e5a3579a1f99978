"""Settings of the making of a hybrid, as `star.hybridize` takes them."""

import json
import math
import sys
from dataclasses import dataclass, field
from typing import ClassVar

from star.base.errors import UserError, shown
from star.base.ranges import Range, expect_ranges
from star.base.settings import expect, expect_one_of, expect_seed, expect_utf8, parse_quantity
from star.data import DataConfig
from star.evaluation.mad import TASKS
from star.genomes import CacheSetting
from star.genomes.hybrids import PROJECTORS
from star.genomes.hybrids.hybrid import LEAST, MOST, MOST_PARTS, TOLERANCE
from star.training import TrainingConfig
from star.training_runs.config import check_run

from .mixtures import METHODS

UNIFORM, GIVEN, MAD = "uniform", "given", "mad"
ALL_METHODS = (*METHODS, MAD, UNIFORM, GIVEN)
NONE, ONE_HOT, PARTS = "none", "one_hot", "parts"
DISCRETISATIONS = (NONE, ONE_HOT, PARTS)
CACHE_BYTES, FLOPS = "cache_bytes", "flops"
COSTS = (CACHE_BYTES, FLOPS)
RANGES = {
    "blocks": Range(1, 10**4),
    "parts": Range(1, MOST_PARTS),
    "projector_steps": Range(0, 10**9),
    "search_steps": Range(1, 10**9),
    "learning_rate": Range(0, sys.float_info.max, above=True),
    "cost_weight": Range(0, 10**9),
}
PROGRAMMING = {
    "steps": Range(1, 10**9),
    "batch_size": Range(1, 10**5),
    "width": Range(1, 2**16),
    "depth": Range(1, 10**4),
    "learning_rate": Range(0, sys.float_info.max, above=True),
    "mixture_learning_rate": Range(0, sys.float_info.max, above=True),
}


@dataclass
class ProgrammingConfig:
    """The small hybrids of `hybrid.method=mad`. Manticore trained 200 epochs of 800 instances, at
    5e-4 and in batches of 128."""

    tasks: list[str] = field(default_factory=list)  # of MAD; []: all six
    seeds: list[int] = field(default_factory=lambda: [0])  # of instances and weights
    steps: int = 60  # of weights, and as many of the mixture
    batch_size: int = 32  # instances a step
    width: int = 64  # of each component
    depth: int = 4  # LIVs of each component, the first ones of its genome
    learning_rate: float = 3e-3  # of weights, down a cosine
    mixture_learning_rate: float = 0.01

    def check(self, blocks: int) -> None:
        """Raise `UserError` for the first value that cannot be used. blocks: of the hybrid."""
        prefix = "hybrid.programming."
        expect_ranges(prefix, self, PROGRAMMING)
        for task in self.tasks:
            expect_one_of(f"{prefix}tasks", task, tuple(TASKS))
        expect(f"{prefix}seeds", self.seeds, len(self.seeds) > 0, "one seed or more")
        for seed in self.seeds:
            expect_seed(seed, f"{prefix}seeds")
        expected = f"at least hybrid.blocks={blocks}"
        expect(f"{prefix}depth", self.depth, self.depth >= blocks, expected)

    @property
    def chosen(self) -> tuple[str, ...]:
        """The tasks, in the order of published tables."""
        return tuple(task for task in TASKS if task in (self.tasks or TASKS))


@dataclass
class HybridConfig:
    """What is mixed, and how the mixture is found."""

    blocks: int = 2  # that each component's layers are cut into
    parts: int = 4  # of the letters: quarters
    projector: str = "identity"  # linear ones that begin as that; or linear, two_layer, skip
    ends: str = "mixed"  # embedding and head: mixed, averaged, shared, or a component's number
    # darts, gaea, dash: searched on the text; mad: on synthetic tasks; uniform; given
    method: str = "darts"
    mixture: str | None = None  # for given: [[0.5,0.5],[1,0]], a row a block
    projector_steps: int = 100  # of projectors alone, components frozen; 0: none
    search_steps: int = 200  # of weights, and as many of the mixture
    learning_rate: float = 0.01  # of the mixture
    discretise: str = "none"  # one_hot, parts: to letters, which keep the budget
    cost: str | None = None  # expected cost in the loss: cache_bytes or flops; null: none
    cost_weight: float = 1.0  # nats for as much as the dearest mixture costs, or over the budget
    budget: str | None = None  # of the cost, such as 4MB: only what is above it counts
    programming: ProgrammingConfig = field(default_factory=ProgrammingConfig)

    def check(self) -> None:
        """Raise `UserError` for the first value that cannot be used."""
        expect_ranges("hybrid.", self, RANGES)
        expect_one_of("hybrid.projector", self.projector, tuple(PROJECTORS))
        expect_one_of("hybrid.method", self.method, ALL_METHODS)
        expect_one_of("hybrid.discretise", self.discretise, DISCRETISATIONS)
        self._check_cost()
        self.programming.check(self.blocks if self.method == MAD else 1)
        if self.method == GIVEN:
            self.given_mixture()
        else:
            expected = f"null, since only hybrid.method={GIVEN} takes it"
            expect("hybrid.mixture", self.mixture, self.mixture is None, expected)

    def _check_cost(self) -> None:
        if self.cost is not None:
            expect_one_of("hybrid.cost", self.cost, COSTS)
        if self.budget is not None:
            has_cost = self.cost is not None
            expect("hybrid.budget", self.budget, has_cost, "null, since hybrid.cost=null has none")
            number = self.budget_number or 0
            expect("hybrid.budget", self.budget, number > 0, "more than 0")

    @property
    def budget_number(self) -> float | None:
        """The budget in bytes or FLOPs; None where there is none. Raises `UserError` for text that
        is no quantity."""
        return None if self.budget is None else parse_quantity("hybrid.budget", self.budget)

    def given_mixture(self) -> tuple[tuple[float, ...], ...]:
        """`mixture` as numbers, (blocks, components). Raises `UserError` for anything else."""
        expected = "a row of numbers for each block, such as [[0.5,0.5],[1,0]]"
        expect("hybrid.mixture", self.mixture, self.mixture is not None, expected)
        try:
            rows = json.loads(self.mixture or "")
        except (ValueError, RecursionError):
            rows = None
        is_table = isinstance(rows, list) and all(isinstance(row, list) and row for row in rows)
        numbers = [x for row in rows for x in row] if is_table and rows else []
        fits = bool(numbers) and all(map(_is_weight, numbers))
        expect("hybrid.mixture", self.mixture, fits, expected)
        assert rows is not None
        return tuple(tuple(map(float, row)) for row in rows)


def _is_weight(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


@dataclass
class HybridizeConfig:
    """Mix pretrained models block for block, and leave a hybrid that is trained on."""

    models: list[str] = field(default_factory=list)  # two or more: checkpoints, Hugging Face
    steps: int = 500  # optimiser steps of the training at the end: training.steps
    context: int = 4096  # positions that caches and FLOPs are counted at: cache.context
    seed: int = 0  # of new weights, batches and noise
    run_dir: str | None = None  # the folder; null: runs/hybridize/<date_time>
    checkpoint_every: int = 100  # steps
    validate_every: int = 100  # steps
    tensorboard: str = "auto"  # events where it is installed; always demands it, never writes none
    loggers: list[str] = field(default_factory=list)  # that get log.csv too: wandb, mlflow
    plugins: list[str] = field(default_factory=list)  # modules or .py files that add operators
    library: list[str] = field(default_factory=list)  # folders of designs, known by file name
    hybrid: HybridConfig = field(default_factory=HybridConfig)
    cache: CacheSetting = field(default_factory=CacheSetting)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    data: DataConfig = field(default_factory=DataConfig)

    CHOICES: ClassVar[tuple[str, ...]] = ("data",)

    def check(self) -> None:
        """Raise `UserError` or `GenomeError` for the first setting that cannot be used."""
        fits = LEAST <= len(self.models) <= MOST
        expected = f"{LEAST} to {MOST} checkpoint folders, such as [first,second]"
        expect("models", f"[{','.join(self.models)}]", fits, expected)
        for given in self.models:
            expect_utf8("models", given)
        self.hybrid.check()
        self.cache.check()
        self.training.check()
        check_run(self)


def expect_mixture(rows: tuple[tuple[float, ...], ...], blocks: int, components: int) -> None:
    """Raise `UserError` unless rows are weights of that many components, for that many blocks."""
    key = "hybrid.mixture"
    expect(key, list(map(list, rows)), len(rows) == blocks, f"{blocks} rows, one for each block")
    for block, row in enumerate(rows):
        if len(row) != components or min(row) < 0 or not abs(sum(row) - 1) <= TOLERANCE:
            raise UserError(
                f"{key}: the weights of block {block} are {shown(str(list(row)))}, expected "
                f"{components} numbers, none below 0, with a sum of 1"
            )
