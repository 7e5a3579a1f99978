"""What every search algorithm must do with our genomes and operators.

    from star.testing.algorithms import AlgorithmSuite

    class TestMine(AlgorithmSuite):
        algorithm = {"_target_": "my_package.Mine", "own_argument": 3}

pytest then runs the tests of `AlgorithmSuite` on it, by whole searches on made-up objectives.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

import numpy as np

from star.evaluation import Evaluation
from star.evaluation.executors import Task
from star.evaluation.pareto import Values, hypervolume, pareto_ranks
from star.evaluation.result import infeasible
from star.genomes import Genome
from star.search import EvolveConfig, Search, SearchConfig
from star.search.config import SpaceConfig

DEPTH, POPULATION, GENERATIONS, SEEDS = 6, 12, 10, range(4)
PARAMETERS = 90_000  # three quarters of the random genomes have more
# The objectives are the distances to these two: no LIV of theirs agrees.
ONE = Genome.from_text("11111-31111-91111-51111-71111-91111")
OTHER = Genome.from_text("51111-91111-11111-91111-31111-71111")
RANDOM = {"_target_": "star.search.algorithms.random.RandomSearch"}
REFERENCE = np.array([DEPTH + 1.0, DEPTH + 1.0])


def distance(genome: Genome, target: Genome) -> float:
    """LIVs whose class is not that of the target, 0 to the depth."""
    pairs = zip(genome.livs, target.livs, strict=False)
    return float(sum(liv.liv_class != wanted.liv_class for liv, wanted in pairs))


def made_up(genome: Genome) -> Evaluation:
    """Two objectives that cost nothing; a genome with a GConv-2 cannot be measured."""
    if any(liv_class.name == "GConv-2" for liv_class in genome.classes()):
        return infeasible("diverged", "made up")
    losses = {"validation_loss": distance(genome, ONE), "cache_bytes": distance(genome, OTHER)}
    return Evaluation("ok", "", losses)


class MadeUp:
    """An executor that trains nothing."""

    def __init__(self, evaluate: Callable[[Genome], Evaluation] = made_up) -> None:
        self._evaluate = evaluate

    def __enter__(self) -> "MadeUp":
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def evaluate(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Evaluation]]:
        """The last first, as if the executor had been slow with the others."""
        for index in reversed(range(len(tasks))):
            yield index, self._evaluate(tasks[index].genome)


class AlgorithmSuite:
    """Derive from it and set `algorithm`, and what else the search needs."""

    algorithm: ClassVar[Mapping[str, Any]]
    objectives: ClassVar[Sequence[str]] = ("validation_loss", "cache_bytes")
    improves: ClassVar[bool] = True  # False for what searches at random

    def search(
        self,
        seed: int,
        algorithm: Mapping[str, Any] | None = None,
        constraints: Mapping[str, Any] | None = None,
        **space: Any,
    ) -> Search:
        """A finished search in memory.

        Args:
            seed: of the search.
            algorithm: None is that of the suite.
            constraints: largest values by objective; None for no constraint.
            space: settings of `search.space`.
        """
        settings = SearchConfig(
            objectives=list(self.objectives),
            population=POPULATION,
            generations=GENERATIONS,
            baselines=[],
            algorithm=dict(algorithm or self.algorithm),
            space=SpaceConfig(**space),
        )
        limits = dict(constraints or {})
        config = EvolveConfig(seed=seed, depth=DEPTH, search=settings, constraints=limits)
        search = Search.from_config(config, MadeUp())
        for _ in search.generations():
            pass
        return search

    def front(self, search: Search) -> Values:
        """Both made-up objectives of the non-dominated candidates, whichever were minimised."""
        names = ("validation_loss", "cache_bytes")
        rows = [[e.evaluation.metrics[n] for n in names] for e in search.archive.feasible]
        values = np.array(rows)
        return values[pareto_ranks(values) == 0]

    def test_it_proposes_valid_genomes_and_none_twice(self) -> None:
        """Every one of a full search."""
        search = self.search(0)
        genomes = [evaluated.candidate.genome for evaluated in search.archive.all]
        assert len(genomes) >= POPULATION * GENERATIONS / 2
        assert not any(genome.validate() for genome in genomes)
        assert len({genome.id for genome in genomes}) == len(genomes)

    def test_a_seed_decides_the_search(self) -> None:
        """Twice the same, and another for another seed."""
        first, again, other = (
            [evaluated.genome_id for evaluated in self.search(seed).archive.all]
            for seed in (0, 0, 1)
        )
        assert first == again != other

    def test_candidates_that_fail_do_not_stop_it(self) -> None:
        """They are in the space, and what is measured goes on beside them."""
        search = self.search(2)
        assert search.archive.failures()["diverged"] > 0
        last = [e for e in search.archive.feasible if e.candidate.generation == GENERATIONS - 1]
        assert last

    def test_static_constraints_use_nothing_up(self) -> None:
        """Its proposals go through the repair, which keeps them within the constraints."""
        search = self.search(3, constraints={"parameters": PARAMETERS})
        assert not search.archive.failures()["over_budget"]
        assert len(search.archive) >= POPULATION * GENERATIONS / 2
        costs = [search.budget.static_metrics(e.candidate.genome) for e in search.archive.all]
        assert max(cost["parameters"] for cost in costs) <= PARAMETERS

    def test_it_works_on_blocks_and_on_varying_depths(self) -> None:
        """The other shapes that vectors of genomes have."""
        assert {e.candidate.genome.depth for e in self.search(0, motif=3).archive.all} == {DEPTH}
        depths = {e.candidate.genome.depth for e in self.search(0, depths=[2, 6]).archive.all}
        assert min(depths) >= 2 and max(depths) <= 6 and len(depths) > 2

    def test_it_varies_the_genes_of_the_backbone(self) -> None:
        """Norms and residuals, which no made-up objective depends on: all values are proposed."""
        found = {
            e.candidate.genome.backbone for e in self.search(0, backbone_genes=True).archive.all
        }
        assert {genes.norms for genes in found} == {1, 3, 4}  # 2 is what the sizes say
        assert {genes.residual_scale for genes in found} == {1, 3, 4}

    def test_it_finds_more_than_random_search(self) -> None:
        """In the mean of some seeds, at equal evaluations, by the hypervolume of its front."""
        if not self.improves:
            return
        mine = np.mean([hypervolume(self.front(self.search(seed)), REFERENCE) for seed in SEEDS])
        assert mine > _random_hypervolume(tuple(self.objectives))


@cache
def _random_hypervolume(objectives: tuple[str, ...]) -> float:
    suite = type("Random", (AlgorithmSuite,), {"algorithm": RANDOM, "objectives": objectives})()
    return float(np.mean([hypervolume(suite.front(suite.search(s)), REFERENCE) for s in SEEDS]))
