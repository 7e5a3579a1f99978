"""What evaluates candidates: the interface of worker processes, of a table, and of a cluster."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

from star.evaluation.limits import LimitsConfig
from star.evaluation.objectives import COSTLY
from star.evaluation.recipe import Recipe
from star.evaluation.result import Evaluation
from star.evaluation.states import StateStore
from star.genomes import Genome


@dataclass(frozen=True)
class Task:
    """One candidate to evaluate, and its rung: the optimiser steps after which it is measured."""

    genome: Genome
    steps: int
    # which objectives are measured beside static ones; without TRAINED nothing is trained on text
    costs: tuple[str, ...] = COSTLY
    seed: int | None = None  # of weights and batches; None is the recipe's


class Executor(Protocol):
    """Evaluates tasks while its context is entered; every failure of a candidate is a result.

    `star.testing.executors` holds the tests that every executor must pass.
    """

    def __enter__(self) -> Self:
        """Start what evaluates."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """End it, at once; nothing is left running."""
        ...

    def evaluate(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Evaluation]]:
        """Yield (index, evaluation) once for each task, as they finish.

        Raises `UserError` for what no candidate would escape, such as unreadable data.
        """
        ...


def never() -> None:
    """The default check: nobody ends the search."""


@dataclass(frozen=True)
class Setup:
    """What an executor is made for."""

    recipe: Recipe
    limits: LimitsConfig = field(default_factory=LimitsConfig)  # of one evaluation
    states: StateStore | None = None  # of trainings between rungs; None keeps none
    check: Callable[[], None] = never  # called while candidates train; may raise to end the search
    plugins: Sequence[str] = ()  # modules to import before the first candidate
    fingerprint: str = ""  # of the text that workers must find; empty for any
    sources: Mapping[str, str] | None = None  # as `Measured.sources`, likewise; None for any


def text_fingerprint(recipe: Recipe) -> str:
    """Fingerprint of the text that candidates are trained on.

    Raises `UserError` where it does not suit the training or the model.
    """
    return recipe.open_corpus().fingerprint


@dataclass
class ExecutorConfig:
    """Base of the settings of executors; each knows how to make its own."""

    states: str | None = None  # folder or fsspec URL of training states; null: in the run folder

    def fingerprint(self, recipe: Recipe, space: dict[str, Any], rungs: Sequence[int]) -> str:
        """Fingerprint of the data behind the results. Raises `UserError` where they do not suit.

        Args:
            recipe: of every evaluation.
            space: depth, alphabet and classes of the genomes.
            rungs: steps after which candidates are measured.
        """
        raise NotImplementedError

    def check(self, recipe: Recipe) -> None:
        """Raise `UserError` naming the key, its value and what was expected."""

    def at_once(self, recipe: Recipe) -> int:
        """How many candidates train at the same time, as far as it is known beforehand."""
        return 1

    def make(self, setup: Setup) -> Executor:
        """The executor, not started yet."""
        raise NotImplementedError
