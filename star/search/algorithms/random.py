"""Random search: the baseline of every search, with the same sampling as the first generation of
the others."""

from typing import Any

import numpy as np
from pymoo.algorithms.soo.nonconvex.random_search import RandomSearch as PymooRandomSearch
from pymoo.core.duplicate import DefaultDuplicateElimination, DuplicateElimination
from pymoo.core.population import Population
from pymoo.core.repair import NoRepair, Repair

from star.search.space.problem import GenomeProblem
from star.search.variation.sampling import GenomeSampling

MOST_ATTEMPTS = 100  # to find genomes that were not proposed before


class FreshGenomes:
    """Draws random genomes that were not proposed before, seeds first as long as they are new."""

    def __init__(
        self,
        sampling: GenomeSampling,
        repair: Repair | None,
        eliminate_duplicates: DuplicateElimination | None,
    ) -> None:
        self.sampling = sampling
        self.repair = repair or NoRepair()
        self.eliminate_duplicates = eliminate_duplicates or DefaultDuplicateElimination()

    def repaired(
        self, problem: Any, population: Any, random_state: np.random.Generator
    ) -> Population:
        """The same individuals with valid genomes."""
        repaired = self.repair(problem, population, random_state=random_state)
        assert isinstance(repaired, Population)
        return repaired

    def draw(
        self,
        problem: GenomeProblem,
        count: int,
        known: Population,
        random_state: np.random.Generator,
    ) -> Population:
        """`count` new genomes that are not in `known`; fewer only when there seem to be no more."""
        found = Population.empty()
        for _ in range(MOST_ATTEMPTS):
            if len(found) >= count:
                break
            # Every sample begins with the seeds, which are known after the first one.
            asked = count - len(found) + len(self.sampling.seeds)
            drawn = self.sampling(problem, asked, random_state=random_state)
            exhausted = len(drawn) < asked
            drawn = self.repaired(problem, drawn, random_state)
            drawn = self.eliminate_duplicates.do(drawn, known, found)
            found = Population.merge(found, drawn[: count - len(found)])
            if exhausted:
                break
        return found


class RandomSearch(PymooRandomSearch):
    """Every generation pop_size random genomes that were never proposed before; ends when there are
    no more."""

    def __init__(
        self,
        pop_size: int,
        sampling: GenomeSampling,
        repair: Repair | None = None,
        eliminate_duplicates: DuplicateElimination | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            n_points_per_iteration=pop_size,
            sampling=sampling,  # type: ignore[arg-type]
            **kwargs,
        )
        self.fresh = FreshGenomes(sampling, repair, eliminate_duplicates)

    def _infill(self) -> Population:
        assert (
            isinstance(self.problem, GenomeProblem)
            and self.pop is not None
            and self.random_state is not None
        )
        return self.fresh.draw(
            self.problem, self.n_points_per_iteration, self.pop, self.random_state
        )
