"""Mutations that change which LIVs share as one step: copying a LIV with its sharing, and joining or parting two LIVs.

Gene by gene such a change takes several mutations, of which each alone is inert: a LIV that is marked as sharing while
no other is in its group is the same architecture, and its offspring a duplicate. What these make is valid.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population

from star.genomes import NOT_SHARED, Alphabet
from star.genomes import population as genomes
from star.search.depths import apply_by_depth
from star.search.identity import as_livs
from star.search.problem import GenomeProblem
from star.search.records import MUTATION, record_changes

Matrix = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]

CLASS, FEATURIZER_GROUP, FEATURIZER_SHARING, FEATURE_GROUP, STRATEGY = range(5)
SHARED = 2  # of FEATURIZER_SHARING


class SharingMutation(Mutation):
    """Changes of whole LIVs and groups.

    copy: probability that a LIV of a genome becomes a copy of another one. join: that two LIVs of one class begin or
    cease to share weights, or share features by another strategy, their group with them.
    """

    def __init__(self, copy: float = 0.0, join: float = 0.0) -> None:
        super().__init__()
        self.copy, self.join = copy, join
        self._before = self._after = np.empty((0, 0), dtype=np.int64)  # genes in the latest call

    def do(self, problem: GenomeProblem, pop: Population, *args: Any, **kwargs: Any) -> Population:
        """Mutate the individuals, in place unless pymoo is asked otherwise; they keep the genes that were changed."""
        mutated = super().do(problem, pop, *args, **kwargs)
        record_changes(mutated, MUTATION, self._before, self._after)
        return mutated

    def _do(
        self, problem: GenomeProblem, X: Matrix, *args: Any, random_state: np.random.Generator, **kwargs: Any
    ) -> Matrix:
        """X and the result: int64 (individuals, depth * 5)."""
        alphabet = problem.pool(X)
        livs = apply_by_depth(lambda genes: self._mutated(genes, random_state, alphabet), as_livs(X, problem.alphabet))
        self._before, self._after = X, livs.reshape(X.shape)
        return self._after

    def _mutated(self, genes: Matrix, rng: np.random.Generator, alphabet: Alphabet) -> Matrix:
        """Genes of (genomes, depth, 5)."""
        mutated = genes.copy()
        if genes.shape[1] > 1:
            _copy_livs(mutated, np.flatnonzero(rng.random(len(genes)) < self.copy), rng)
            _join_livs(mutated, np.flatnonzero(rng.random(len(genes)) < self.join), rng, alphabet)
        return mutated


def _copy_livs(genes: Matrix, rows: Matrix, rng: np.random.Generator) -> None:
    """One LIV of each of these genomes becomes a copy of another."""
    depth = genes.shape[1]
    target = rng.integers(depth, size=len(rows))
    source = (target + rng.integers(1, depth, size=len(rows))) % depth
    genes[rows, target] = genes[rows, source]


def _join_livs(genes: Matrix, rows: Matrix, rng: np.random.Generator, alphabet: Alphabet) -> None:
    """One LIV of each of these genomes joins another of its class, or leaves it, where there is another."""
    target = rng.integers(genes.shape[1], size=len(rows))
    classes = genes[rows, :, CLASS]
    same = classes == classes[np.arange(len(rows)), target, None]
    same[np.arange(len(rows)), target] = False
    partner = np.where(same, rng.random(same.shape), -1.0).argmax(axis=1)
    joins_features = rng.random(len(rows)) < 0.5
    drawn = rng.random(len(rows))
    for chosen, join in ((~joins_features, _join_weights), (joins_features, _join_features)):
        chosen &= same.any(axis=1)
        join(genes, rows[chosen], target[chosen], partner[chosen], drawn[chosen], alphabet)


def _join_weights(
    genes: Matrix, rows: Matrix, target: Matrix, partner: Matrix, drawn: Values, alphabet: Alphabet
) -> None:
    """The target leaves the featurizer group that it has in common with its partner, or enters the partner's."""
    own, other = genes[rows, target], genes[rows, partner]
    tied = (own[:, FEATURIZER_SHARING] == SHARED) & (other[:, FEATURIZER_SHARING] == SHARED)
    tied &= own[:, FEATURIZER_GROUP] == other[:, FEATURIZER_GROUP]
    genes[rows, target, FEATURIZER_GROUP] = other[:, FEATURIZER_GROUP]
    genes[rows, target, FEATURIZER_SHARING] = np.where(tied, NOT_SHARED, SHARED)
    genes[rows, partner, FEATURIZER_SHARING] = SHARED


def _join_features(
    genes: Matrix, rows: Matrix, target: Matrix, partner: Matrix, drawn: Values, alphabet: Alphabet
) -> None:
    """The target enters its partner's feature group, which takes a strategy of the class, not to share being one.

    drawn: 0 to 1, which one.
    """
    table, index = genomes.tables(alphabet), np.arange(len(rows))
    genes[rows, target, FEATURE_GROUP] = genes[rows, partner, FEATURE_GROUP]
    livs = genes[rows]
    own = livs[index, target]
    strategy = table.choices[own[:, CLASS], (drawn * table.count[own[:, CLASS]]).astype(np.int64)]
    members = livs[:, :, STRATEGY] != NOT_SHARED
    members[index, target] = members[index, partner] = True
    members &= (livs[:, :, CLASS] == own[:, CLASS, None]) & (livs[:, :, FEATURE_GROUP] == own[:, FEATURE_GROUP, None])
    genes[rows, :, STRATEGY] = np.where(members, strategy[:, None], livs[:, :, STRATEGY])
