"""An executor without training: the result of a task is a function of it, made up by a test."""

import random
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

from star.data import DataConfig
from star.evaluation import Evaluation, Measured, Recipe
from star.evaluation.executors import Task
from star.evaluation.result import infeasible
from star.genomes import CacheSetting, Genome, ModelConfig, former_id
from star.training import TrainingConfig

RECIPE = Recipe(ModelConfig(), CacheSetting(), TrainingConfig(), DataConfig(), seed=0)


def static_costs(genome: Genome, recipe: Recipe = RECIPE) -> dict[str, float]:
    """Parameters and cache of a genome, at the default sizes unless a recipe says otherwise."""
    return Measured.of(()).measure_static(genome, recipe)


def has_long_convolution(genome: Genome) -> bool:
    """What the made-up trainings here cannot measure."""
    return any(liv_class.name.startswith("GConv-2") for liv_class in genome.classes())


def hashed(task: Task) -> Evaluation:
    """A loss from the genome's hash; every architecture with a long convolution diverges."""
    if has_long_convolution(task.genome):
        return infeasible("diverged", "loss is nan at step 3")
    loss = 2.0 + int(former_id(task.genome.id), 16) / 16**12
    quality = {"validation_loss": loss, "bits_per_byte": loss, "perplexity": loss}
    return Evaluation("ok", "", {**static_costs(task.genome), **quality}, 0.1)


class MadeUp:
    """An executor that remembers what it was asked.

    Args:
        result: of a task.
        order: seed of the order in which tasks finish; None is the order of asking.
    """

    def __init__(
        self, result: Callable[[Task], Evaluation] = hashed, order: int | None = None
    ) -> None:
        self.result = result
        self.asked: list[Task] = []
        self.is_running = False
        self._order = None if order is None else random.Random(order)

    def __enter__(self) -> Self:
        assert not self.is_running
        self.is_running = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.is_running = False

    def evaluate(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Evaluation]]:
        """As the interface says; only while the context is entered."""
        assert self.is_running
        self.asked += tasks
        indices = list(range(len(tasks)))
        if self._order is not None:
            self._order.shuffle(indices)
        for index in indices:
            yield index, self.result(tasks[index])

    @property
    def genomes(self) -> list[Genome]:
        """What was evaluated, in order."""
        return [task.genome for task in self.asked]
