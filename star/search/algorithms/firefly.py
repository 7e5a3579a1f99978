"""The firefly algorithm (Yang 2009, "Firefly algorithms for multimodal optimization") for genomes.

In its continuous form firefly i moves towards every brighter one j by `beta0 exp(-gamma r^2) (x_j -
x_i)`, r being their distance, and then takes a random step of size alpha. Genes have no direction
to move in, so here firefly i takes each LIV of j with probability

    beta(r) = beta0 exp(-gamma r^2),

r being the share of genes in which the canonical forms of i and j differ, 0 to 1, before anyone
moves; the random step changes each gene with probability `alpha decay^t` in the t-th movement, t
from 0. A firefly is the brighter the smaller the scalarisation of its objectives
(`scalarisation.py`), and dark when it was not measured. Those that none outshines take the random
step alone.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pymoo.core.algorithm import Algorithm
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.initialization import Initialization
from pymoo.core.population import Population
from pymoo.core.repair import Repair

from star.genomes import BACKBONE_GENE_NAMES
from star.genomes.arrays import canonical
from star.genomes.genes import Genes
from star.search.algorithms.random import FreshGenomes
from star.search.algorithms.scalarised import Scalarisation, matrix, take
from star.search.space.backbones import backbones_of, with_backbones
from star.search.space.depths import apply_by_depth, fit_group_numbers, without_gaps
from star.search.space.ids import as_livs, ids
from star.search.space.problem import GenomeProblem
from star.search.variation.chain import MutationChain
from star.search.variation.gene_mutation import GeneMutation
from star.search.variation.history import BACKBONE, MOVEMENT, record
from star.search.variation.sampling import GenomeSampling

Values = npt.NDArray[np.float64]

LARGEST = {"beta0": 1, "gamma": 1000, "alpha": 1, "decay": 1}
MOST_MOVES = 20  # of a firefly, until it is where none was before


class Firefly(Algorithm):
    """Firefly algorithm for a `GenomeProblem`; proposes `pop_size` new genomes a generation."""

    def __init__(
        self,
        pop_size: int,
        sampling: GenomeSampling,
        mutation: GeneMutation | MutationChain,
        repair: Repair | None = None,
        eliminate_duplicates: DuplicateElimination | None = None,
        scalarisation: str = "chebyshev",
        weights: Sequence[float] = (),
        beta0: float = 1.0,
        gamma: float = 5.0,
        alpha: float = 0.1,
        decay: float = 0.97,
        elitism: int = 2,
        **kwargs: Any,
    ) -> None:
        """Build it; raises `ValueError` for arguments out of range.

        Args:
            pop_size: fireflies.
            sampling: of the first ones, and of those that stand in.
            mutation: draws the values of the random step.
            repair: of genomes that have become invalid.
            eliminate_duplicates: keeps fireflies from places where one was.
            scalarisation: of several objectives, `chebyshev` or `weights`.
            weights: one for each objective; equal when empty.
            beta0: attractiveness at distance 0.
            gamma: how fast it fades with distance.
            alpha: probability that the random step changes a gene in the first movement.
            decay: of alpha, each generation.
            elitism: the brightest that stay when the others have moved.
            kwargs: of pymoo's `Algorithm`.
        """
        super().__init__(**kwargs)
        for name, value in {"beta0": beta0, "gamma": gamma, "alpha": alpha, "decay": decay}.items():
            if not isinstance(value, int | float) or not 0 <= value <= LARGEST[name]:
                raise ValueError(f"{name}={value}: expected a number from 0 to {LARGEST[name]}")
        if not isinstance(elitism, int) or elitism < 0:
            raise ValueError(f"elitism={elitism}: expected at least 0")
        self.pop_size, self.elitism = pop_size, elitism
        self.beta0, self.gamma, self.alpha, self.decay = beta0, gamma, alpha, decay
        self.mutation, self.scalarisation = mutation, Scalarisation(scalarisation, weights)
        self.fresh = FreshGenomes(sampling, repair, eliminate_duplicates)
        self.initialization = Initialization(
            sampling, self.fresh.repair, self.fresh.eliminate_duplicates
        )

    def attractiveness(self, distance: Values) -> Values:
        """beta at distances of 0 to 1, of any shape."""
        return self.beta0 * np.exp(-self.gamma * distance**2)

    def _initialize_infill(self) -> Population:
        return self.initialization.do(
            self.problem, self.pop_size, algorithm=self, random_state=self.random_state
        )

    def _infill(self) -> Population:
        """Every firefly moves until its place is new; random genomes stand in for those that find
        none."""
        assert (
            isinstance(self.problem, GenomeProblem)
            and self.pop is not None
            and self.random_state is not None
        )
        assert self.n_iter is not None
        # pymoo counts generations from 1; in the first none has moved, so number 2 is t = 0.
        self.mutation.rate = self.alpha * self.decay ** (self.n_iter - 2)
        swarm = Swarm(self.pop, self.problem, self.scalarisation.scores(self.pop))
        found, waiting = Population.empty(), np.arange(len(self.pop))
        for _ in range(MOST_MOVES):
            moved = self._move(swarm, waiting)
            new, _, stuck = self.fresh.eliminate_duplicates.do(
                moved, self.pop, found, return_indices=True
            )
            found, waiting = Population.merge(found, new), waiting[stuck]
            if not len(waiting):
                break
        known = Population.merge(self.pop, found)
        missing = self.pop_size - len(found)
        return Population.merge(
            found, self.fresh.draw(self.problem, missing, known, self.random_state)
        )

    def _move(self, swarm: "Swarm", chosen: npt.NDArray[np.int64]) -> Population:
        """The chosen fireflies after one movement, with the genomes they are made of as
        `parents`."""
        assert isinstance(self.problem, GenomeProblem) and self.random_state is not None
        beta = self.attractiveness(swarm.distances)
        sources = np.stack(
            [swarm.sources(firefly, beta[firefly], self.random_state) for firefly in chosen]
        )
        places = swarm.livs.shape[1]
        mixed = swarm.mixed(sources[:, :places])
        if self.problem.varies:
            mixed = fit_group_numbers(without_gaps(mixed))
        backbones = swarm.mixed_backbones(sources[:, places:])
        moved = Population.new(X=with_backbones(mixed, backbones))
        parents = [
            list(dict.fromkeys([firefly, *row]))
            for firefly, row in zip(chosen, sources, strict=True)
        ]
        moved.set("parents", [[swarm.ids[parent] for parent in family] for family in parents])
        copied = [_copied(row, family) for row, family in zip(sources, parents, strict=True)]
        record(moved, MOVEMENT, [[one for one in row if one[0] < places] for row in copied])
        record(
            moved, BACKBONE,
            [
                [[BACKBONE_GENE_NAMES[place - places], parent] for place, parent in row
                 if place >= places] for row in copied
            ],
        )  # fmt: skip
        moved = self.mutation(self.problem, moved, random_state=self.random_state)
        return self.fresh.repaired(self.problem, moved, self.random_state)

    def _advance(self, infills: Population | None = None, **kwargs: Any) -> None:
        """The moved fireflies replace the others but for the brightest of all."""
        assert infills is not None and self.pop is not None
        everyone = Population.merge(self.pop, infills)
        order = np.argsort(self.scalarisation.scores(everyone), kind="stable")
        best, others = order[: self.elitism], order[self.elitism :]
        # False sorts before True: the moved first, which stand behind the others in `everyone`.
        others = others[np.argsort(others < len(self.pop), kind="stable")]
        self.pop = take(everyone, np.concatenate([best, others])[: self.pop_size])


def _copied(sources: npt.NDArray[np.int64], parents: list[int]) -> list[list[int]]:
    """[place, index of the parent] for the places that do not come from the first parent."""
    return [
        [place, parents.index(source)]
        for place, source in enumerate(sources)
        if source != parents[0]
    ]


class Swarm:
    """Fireflies before they move."""

    def __init__(self, population: Population, problem: GenomeProblem, scores: Values) -> None:
        """scores: (fireflies,), smaller is brighter."""
        vectors = matrix(population, "X").astype(np.int64)
        genes = as_livs(vectors, problem.alphabet)
        self.livs = apply_by_depth(lambda livs: canonical(livs, problem.alphabet), genes)
        self.backbones: Genes = backbones_of(vectors)
        self.scores = scores
        canonical_vectors = with_backbones(self.livs, self.backbones)
        unlike = canonical_vectors[:, None] != canonical_vectors[None]
        self.distances: Values = unlike.mean(axis=2)
        self.ids = ids(population, problem.alphabet, problem.full_depth)

    def sources(
        self, firefly: int, beta: Values, random_state: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        """(places,): which firefly each LIV, and behind them each gene of the backbone, comes from
        when this one has moved towards all brighter ones in turn."""
        places = self.livs.shape[1] + self.backbones.shape[1]
        sources = np.full(places, firefly)
        brighter = np.flatnonzero(self.scores < self.scores[firefly])
        for other in random_state.permutation(brighter):
            sources[random_state.random(places) < beta[other]] = other
        return sources

    def mixed(self, sources: npt.NDArray[np.int64]) -> Genes:
        """Genes (rows, depth, 5) of LIVs from these fireflies (rows, depth)."""
        return self.livs[sources, np.arange(self.livs.shape[1])]

    def mixed_backbones(self, sources: npt.NDArray[np.int64]) -> Genes:
        """Genes of the backbone (rows, 0 or 2) from these fireflies (rows, 0 or 2)."""
        return self.backbones[sources, np.arange(self.backbones.shape[1])]
