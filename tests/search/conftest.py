"""A search whose objectives are functions of the genome, by the same way that a real one takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from pymoo.core.algorithm import Algorithm

from star.evaluation import Evaluation
from star.evaluation.executors import Task
from star.evaluation.result import infeasible
from star.genomes import Genome
from star.search import EvolveConfig, Search, SearchConfig
from star.search.archive import Archive
from tests.search.made_up import MadeUp

NAMES = ("validation_loss", "cache_bytes")
Objectives = Sequence[Callable[[Genome], float | None]]


@dataclass
class Outcome:
    """A finished search: every candidate, and the algorithm in its last state."""

    search: Search
    executor: MadeUp

    @property
    def archive(self) -> Archive:
        return self.search.archive

    @property
    def algorithm(self) -> Algorithm:
        return self.search.built.algorithm

    def ids(self, generation: int | None = None) -> list[str]:
        """Genomes in order of proposal."""
        chosen = [e for e in self.archive.all if generation in (None, e.candidate.generation)]
        return [evaluated.genome_id for evaluated in chosen]

    def values(self, generation: int | None = None) -> np.ndarray:
        """Objectives of the measured candidates, (candidates, objectives)."""
        chosen = [e for e in self.archive.feasible if generation in (None, e.candidate.generation)]
        return self.archive.values(chosen)


@pytest.fixture
def evolve() -> Callable[..., Outcome]:
    """Search in memory, by `Search.from_config`.

    The function takes the settings of the search, functions of a genome as its objectives (None
    where it cannot be measured), a seed, a depth and seed genomes.
    """

    def run(
        config: SearchConfig,
        objectives: Objectives,
        seed: int = 0,
        depth: int = 6,
        seeds: Sequence[Genome] = (),
    ) -> Outcome:
        names = NAMES[: len(objectives)]

        def measure(task: Task) -> Evaluation:
            values = zip(names, (objective(task.genome) for objective in objectives), strict=True)
            metrics = {name: value for name, value in values if value is not None}
            if len(metrics) < len(names):
                return infeasible("diverged", "made up")
            return Evaluation("ok", "", metrics, 0.1)

        texts = [genome.to_text() for genome in seeds]
        search = replace(config, objectives=list(names), seeds=texts, baselines=[])
        executor = MadeUp(measure)
        made = Search.from_config(EvolveConfig(seed=seed, depth=depth, search=search), executor)
        for _ in made.generations():
            pass
        return Outcome(made, executor)

    return run
