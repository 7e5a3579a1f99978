"""What every search algorithm must do: propose valid genomes, each once, and learn from answers.

    from star.testing.algorithms import AlgorithmSuite

    class TestMine(AlgorithmSuite):
        def make(self):
            return {"_target_": "my_package.algorithms.Mine"}

pytest then runs the tests of `AlgorithmSuite` on it: searches whose objectives are made up.
"""

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, ClassVar, Self

import numpy as np

from star.evaluation import Evaluation
from star.evaluation.executors import Task
from star.evaluation.result import OK, infeasible
from star.genomes import Genome
from star.search import EvolveConfig, Search, SearchConfig

RANDOM = {"_target_": "star.search.algorithms.random.RandomSearch"}
# What is looked for, by the first objective: genes that differ from it.
TARGET = Genome.from_text("11111-31111-91111-51111-71111-91111")
MARGIN = 1.0  # of genes, by which selection beats chance on average over the seeds
Measure = Callable[[Genome], Sequence[float] | None]


def unlikeness(genome: Genome) -> float:
    """Genes in which a genome differs from `TARGET`."""
    return float((genome.to_array() != TARGET.to_array()).sum())


def repetition(genome: Genome) -> float:
    """LIVs beyond the first of each class."""
    return float(genome.depth - len({liv_class.id for liv_class in genome.classes()}))


def measure(genome: Genome) -> tuple[float, float]:
    """The two objectives."""
    return unlikeness(genome), repetition(genome)


def measure_some(genome: Genome) -> tuple[float, float] | None:
    """The same, where a third of all genomes cannot be measured."""
    return None if int(genome.id, 16) % 3 == 0 else measure(genome)


class MadeUp:
    """An executor without training; it keeps what it was asked."""

    def __init__(self, measure: Measure, names: Sequence[str]) -> None:
        """measure: objective values of a genome by `names`, None where it fails."""
        self.asked: list[Genome] = []
        self._measure, self._names = measure, names

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def evaluate(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Evaluation]]:
        """Each task in turn."""
        for index, task in enumerate(tasks):
            self.asked.append(task.genome)
            values = self._measure(task.genome)
            if values is None:
                yield index, infeasible("diverged", "made up")
            else:
                yield index, Evaluation(OK, "", dict(zip(self._names, values, strict=False)))


class AlgorithmSuite:
    """Override `make`; `objectives` for one that minimises a single one, `learns` for chance."""

    objectives: ClassVar[Sequence[str]] = ("validation_loss", "cache_bytes")
    learns: ClassVar[bool] = True  # False: it does not use what was measured, as random search
    population: ClassVar[int] = 16
    generations: ClassVar[int] = 16
    seeds: ClassVar[Sequence[int]] = range(8)

    def make(self) -> dict[str, Any]:
        """`search.algorithm`: `_target_` and arguments of its own."""
        raise NotImplementedError

    def search(
        self,
        seed: int,
        measure: Measure = measure,
        algorithm: dict[str, Any] | None = None,
        names: Sequence[str] = (),
    ) -> tuple[list[Genome], Search]:
        """A whole search in memory: what was evaluated, in order, and the search.

        Args:
            seed: of the search.
            measure: objective values of a genome, None where it fails.
            algorithm: None is the one under test.
            names: objectives; those of the suite when empty.
        """
        objectives = list(names or self.objectives)
        config = SearchConfig(
            objectives=objectives,
            population=self.population,
            generations=self.generations,
            baselines=[],
            algorithm=self.make() if algorithm is None else algorithm,
        )
        executor = MadeUp(measure, objectives)
        settings = EvolveConfig(seed=seed, depth=TARGET.depth, search=config)
        search = Search.from_config(settings, executor)
        for _ in search.generations():
            pass
        return executor.asked, search

    def test_proposals_are_valid_and_come_once(self) -> None:
        """As many in every generation as were asked for."""
        asked, search = self.search(seed=0)
        assert all(genome.validate() == [] for genome in asked)
        assert len({genome.id for genome in asked}) == len(asked)
        generations = [evaluated.candidate.generation for evaluated in search.archive.all]
        sizes = np.bincount(generations, minlength=self.generations)
        assert sizes.tolist() == [self.population] * self.generations

    def test_the_seed_decides_the_search(self) -> None:
        """And nothing else does."""
        first, again, other = ([genome.id for genome in self.search(seed)[0]] for seed in (3, 3, 4))
        assert first == again != other

    def test_failed_candidates_do_not_stop_it(self) -> None:
        """Neither some nor all; and the failed ones are not of the front."""
        total = self.population * self.generations
        some, search = self.search(1, measure_some)
        assert len(some) == total > len(search.archive.feasible) > 0
        assert all(e.evaluation.feasible for e in search.archive.front())
        none, search = self.search(1, lambda genome: None)
        assert len(none) == total and search.archive.front() == []

    def test_it_learns_from_what_was_measured(self) -> None:
        """With as many evaluations it comes closer to what is looked for than chance does."""
        if not self.learns:
            return
        own = [self._unlikenesses(seed) for seed in self.seeds]
        chance = [self._unlikenesses(seed, RANDOM) for seed in self.seeds]
        best = np.mean([min(found) for found in own])
        assert best < np.mean([min(found) for found in chance]) - MARGIN
        assert best < np.mean([min(found[: self.population]) for found in own]) - MARGIN

    def _unlikenesses(self, seed: int, algorithm: dict[str, Any] | None = None) -> list[float]:
        """The first objective alone, of everything that was evaluated, in order."""
        asked, _ = self.search(seed, algorithm=algorithm, names=self.objectives[:1])
        return [unlikeness(genome) for genome in asked]
