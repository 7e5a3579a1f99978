"""Bayesian optimisation for genomes: children of what was measured, chosen by what measuring them
would be worth.

Each generation makes children by the variation operators in a few rounds: the first of what was
measured, each later one of the most valuable children so far as well (a memetic search). Of all of
them a batch is chosen one by one, with those chosen before as pending (BoTorch's
`optimize_acqf_discrete`). Composer (arXiv 2510.00379) searches by the same acquisition over strings
of two primitives.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from pymoo.core.algorithm import Algorithm
from pymoo.core.crossover import Crossover
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.individual import Individual
from pymoo.core.mating import Mating
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.repair import Repair
from pymoo.operators.selection.rnd import RandomSelection

from star.base.ranges import Range
from star.evaluation.pareto import Values, pareto_ranks
from star.genomes import Genome
from star.search.algorithms.random import FreshGenomes
from star.search.algorithms.scalarised import matrix, take
from star.search.bayesian.process import KERNELS
from star.search.space.ids import ids
from star.search.space.problem import GenomeProblem
from star.search.variation.history import ROUNDS, VARIATION, from_words, variation
from star.search.variation.sampling import GenomeSampling

RANGES = {"rounds": Range(1, 20), "pool": Range(2, 10**4), "most_rows": Range(10, 10**4)}
KEPT = 0.25  # share of a round's children that are parents in the next, and of those measured
ATTEMPTS = 10  # of mating, to fill a pool with new genomes


class Acquisition(Protocol):
    """What measuring genomes would be worth."""

    def values(self, genomes: Sequence[Genome]) -> Values:
        """(genomes,): of each alone."""
        ...

    def batch(self, genomes: Sequence[Genome], count: int) -> list[int]:
        """Indices of a batch."""
        ...


class Guide(Protocol):
    """What the algorithm asks of the search that it is part of."""

    def acquisition(self, seed: int) -> Acquisition | None:
        """The value of genomes; None while too little is known."""
        ...

    def affordable(self, genome: Genome) -> bool:
        """Whether its costs can be counted, and keep the limits."""
        ...

    def recall(self, generation: int, length: int) -> list[dict[str, Any]] | None:
        """What was proposed in this generation before an interruption, vectors of that length."""
        ...

    def remember(self, generation: int, proposals: list[dict[str, Any]]) -> None:
        """Keep what is proposed now."""
        ...


class Bayesian(Algorithm):
    """Bayesian optimisation of a `GenomeProblem`; proposes `pop_size` new genomes a generation.

    Without a guide, as in a rehearsal, it proposes children of what was measured as they come.
    """

    guide: Guide | None = None

    def __init__(
        self,
        pop_size: int,
        sampling: GenomeSampling,
        crossover: Crossover,
        mutation: Mutation,
        repair: Repair | None = None,
        eliminate_duplicates: DuplicateElimination | None = None,
        kernel: str = KERNELS[0],
        rounds: int = 3,
        pool: int = 256,
        most_rows: int = 500,
        **kwargs: Any,
    ) -> None:
        """Build it; raises `ValueError` for arguments out of range.

        Args:
            pop_size: genomes of a batch.
            sampling: of the first batch, and of genomes that stand in.
            crossover: of pairs of parents.
            mutation: of children.
            repair: of genomes that have become invalid.
            eliminate_duplicates: keeps out what was proposed before.
            kernel: `rbf` or `categorical`, see `star.search.bayesian.process`.
            rounds: of making children.
            pool: children of a round.
            most_rows: measured genomes that a process learns from.
            kwargs: of pymoo's `Algorithm`.
        """
        super().__init__(**kwargs)
        if kernel not in KERNELS:
            raise ValueError(f"kernel={kernel}: expected one of {', '.join(KERNELS)}")
        for name, value in {"rounds": rounds, "pool": pool, "most_rows": most_rows}.items():
            is_whole = isinstance(value, int) and not isinstance(value, bool)
            expected = RANGES[name].expected(value) if is_whole else "a whole number"
            if expected:
                raise ValueError(f"{name}={value}: expected {expected}")
        self.pop_size, self.kernel, self.most_rows = pop_size, kernel, most_rows
        self.rounds, self.pool = rounds, pool
        self.fresh = FreshGenomes(sampling, repair, eliminate_duplicates)
        self.breeding = Mating(
            RandomSelection(), crossover, mutation, repair=self.fresh.repair,
            eliminate_duplicates=self.fresh.eliminate_duplicates, n_max_iterations=ATTEMPTS,
        )  # fmt: skip

    def _initialize_infill(self) -> Population:
        assert isinstance(self.problem, GenomeProblem) and self.random_state is not None
        none = Population.empty()
        return self.fresh.draw(self.problem, self.pop_size, none, self.random_state)

    def _advance(self, infills: Population | None = None, **kwargs: Any) -> None:
        self.pop = Population.merge(self.pop, infills)

    def _infill(self) -> Population:
        """The next batch: that of before an interruption, or one that is chosen now.

        Random numbers are those of the search's seed and the generation, so that a generation that
        was recalled leaves the later ones as they are.
        """
        assert isinstance(self.problem, GenomeProblem) and self.n_iter is not None
        generation = self.n_iter - 1  # pymoo counts from 1
        if self.guide is not None:
            known = self.guide.recall(generation, self.problem.n_var)
            if known is not None:
                return Population.create(*map(_recalled, known))
        rng = np.random.default_rng([self.seed or 0, generation])
        chosen = self._chosen(rng)
        if len(chosen) < self.pop_size:
            known = Population.merge(self.pop, chosen)
            missing = self.pop_size - len(chosen)
            chosen = Population.merge(chosen, self.fresh.draw(self.problem, missing, known, rng))
        if self.guide is not None:
            self.guide.remember(generation, [_proposal(individual) for individual in chosen])
        return chosen

    def _chosen(self, rng: np.random.Generator) -> Population:
        """A batch from all rounds; smaller where there are no more new genomes."""
        assert isinstance(self.problem, GenomeProblem)
        seed = int(rng.integers(2**31))
        acquisition = None if self.guide is None else self.guide.acquisition(seed)
        parents = self._best_measured()
        if not len(parents):
            return Population.empty()
        if acquisition is None:
            return self._bred(parents, Population.empty(), Population.empty(), self.pop_size, rng)
        everyone = Population.empty()
        values: Values = np.zeros(0)
        for _ in range(self.rounds):
            kept = np.argsort(-values, kind="stable")[: int(KEPT * self.pool)]
            children = self._bred(parents, take(everyone, kept), everyone, self.pool, rng)
            children = self._affordable(children)
            if not len(children):
                break
            everyone = Population.merge(everyone, children)
            values = np.concatenate([values, acquisition.values(self._genomes(children))])
        if not len(everyone):
            return everyone
        best = np.sort(np.argsort(-values, kind="stable")[: max(self.pool, self.pop_size)])
        pool = take(everyone, best)
        count = min(self.pop_size, len(pool))
        return take(pool, np.array(acquisition.batch(self._genomes(pool), count)))

    def _affordable(self, children: Population) -> Population:
        assert self.guide is not None
        fits = [self.guide.affordable(genome) for genome in self._genomes(children)]
        return take(children, np.flatnonzero(fits))

    def _genomes(self, population: Population) -> list[Genome]:
        assert isinstance(self.problem, GenomeProblem)
        return [self.problem.genome(individual.X).canonical() for individual in population]

    def _best_measured(self) -> Population:
        """Of those that were measured the best by rank, at least two where there are."""
        assert self.pop is not None
        measured = np.flatnonzero(matrix(self.pop, "CV")[:, 0] <= 0)
        if not len(measured):
            return Population.empty()
        ranks = pareto_ranks(matrix(self.pop, "F")[measured])
        least = max(2, int(KEPT * len(measured)))
        kept = max(least, int((ranks == 0).sum()))
        return take(self.pop, measured[np.argsort(ranks, kind="stable")[:kept]])

    def _bred(
        self, measured: Population, made: Population, known: Population, count: int,
        rng: np.random.Generator,
    ) -> Population:  # fmt: skip
        """New children, whose `parents` are ids of measured genomes, whatever came between.

        Args:
            measured: parents.
            made: parents too, children of earlier rounds.
            known: all children of earlier rounds, which are not made again.
            count: of children.
            rng: random numbers.
        """
        assert isinstance(self.problem, GenomeProblem)
        mates = Population.merge(measured, made)
        children: Any = self.breeding.do(self.problem, mates, count, random_state=rng)
        children = self.fresh.eliminate_duplicates.do(children, known)
        names = ids(mates, self.problem.alphabet, self.problem.full_depth)
        origins: dict[str, Any] = {name: [name] for name in names[: len(measured)]}
        rounds = dict.fromkeys(origins, 0)
        for name, mate in zip(names[len(measured) :], made, strict=True):
            origins[name], rounds[name] = mate.get("parents"), mate.get(ROUNDS)
        for child in children:
            own = child.get("parents")
            number = 1 + max(rounds.get(parent, 0) for parent in own)
            child.set(ROUNDS, number)
            child.set("parents", list(dict.fromkeys(n for p in own for n in origins.get(p, [p]))))
            if number > 1:  # genes changed before that nothing can show
                child.data[VARIATION] = {ROUNDS: [number]}
        return children


def _proposal(individual: Individual) -> dict[str, Any]:
    """What makes the individual again, ready for JSON."""
    parents: Any = individual.get("parents") or ()
    return {
        "genes": individual.X.tolist(),
        "parents": list(parents),
        VARIATION: variation(individual),
    }


def _recalled(proposal: dict[str, Any]) -> Individual:
    individual = Individual(X=np.array(proposal["genes"], dtype=np.int64))
    if proposal["parents"]:
        individual.set("parents", proposal["parents"])
    individual.data[VARIATION] = from_words(proposal[VARIATION])
    return individual
