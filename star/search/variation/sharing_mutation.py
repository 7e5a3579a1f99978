"""Mutations that change which LIVs share as one step: copying a LIV with its sharing, and joining
or parting two LIVs.

Gene by gene such a change takes several mutations, of which each alone is inert: a LIV that is
marked as sharing while no other is in its group is the same architecture, and its offspring a
duplicate. What these make is valid.
"""

import numpy as np
import numpy.typing as npt

from star.genomes import NOT_SHARED, Alphabet, arrays
from star.genomes.genes import (
    CLASS,
    FEATURE_GROUP,
    FEATURE_SHARING,
    FEATURIZER_GROUP,
    FEATURIZER_SHARING,
    SHARED,
    Genes,
)
from star.search.variation.gene_mutation import RecordedMutation

Values = npt.NDArray[np.float64]

COPY, JOIN, ROUNDS = 0.5, 0.9, 2  # found in experiments/tabular; a group of three takes two rounds


class SharingMutation(RecordedMutation):
    """Changes of whole LIVs and groups.

    Twice in turn, with probability `copy` a LIV of a genome becomes a copy of another one, and with
    probability `join` one begins or ceases to share weights with another of its class, or shares
    features with it by another strategy, the group of the other one with them.
    """

    def __init__(self, copy: float = COPY, join: float = JOIN) -> None:
        super().__init__()
        self.copy, self.join = copy, join

    def _mutated(self, genes: Genes, rng: np.random.Generator, alphabet: Alphabet) -> Genes:
        """Genes of (genomes, depth, 5)."""
        mutated = genes.copy()
        if genes.shape[1] == 1:
            return mutated
        for _ in range(ROUNDS):
            _copy_livs(mutated, np.flatnonzero(rng.random(len(genes)) < self.copy), rng)
            _join_livs(mutated, np.flatnonzero(rng.random(len(genes)) < self.join), rng, alphabet)
        return mutated


def _copy_livs(genes: Genes, rows: Genes, rng: np.random.Generator) -> None:
    """One LIV of each of these genomes becomes a copy of another."""
    depth = genes.shape[1]
    target = rng.integers(depth, size=len(rows))
    genes[rows, target] = genes[rows, (target + rng.integers(1, depth, size=len(rows))) % depth]


def _join_livs(genes: Genes, rows: Genes, rng: np.random.Generator, alphabet: Alphabet) -> None:
    """One LIV of each of these genomes joins another of its class, or leaves it, where there is
    another."""
    index = np.arange(len(rows))
    target = rng.integers(genes.shape[1], size=len(rows))
    same = genes[rows, :, CLASS] == genes[rows, target, CLASS][:, None]
    same[index, target] = False
    partner = np.where(same, rng.random(same.shape), -1.0).argmax(axis=1)
    joins_features = rng.random(len(rows)) < 0.5
    drawn = rng.random(len(rows))
    for chosen, join in ((~joins_features, _join_weights), (joins_features, _join_features)):
        chosen &= same.any(axis=1)
        join(genes, rows[chosen], target[chosen], partner[chosen], drawn[chosen], alphabet)


def _join_weights(
    genes: Genes, rows: Genes, target: Genes, partner: Genes, drawn: Values, alphabet: Alphabet
) -> None:
    """The target leaves the featurizer group that it has in common with its partner, or enters the
    partner's."""
    own, other = genes[rows, target], genes[rows, partner]
    tied = (own[:, FEATURIZER_SHARING] == SHARED) & (other[:, FEATURIZER_SHARING] == SHARED)
    tied &= own[:, FEATURIZER_GROUP] == other[:, FEATURIZER_GROUP]
    genes[rows, target, FEATURIZER_GROUP] = other[:, FEATURIZER_GROUP]
    genes[rows, target, FEATURIZER_SHARING] = np.where(tied, NOT_SHARED, SHARED)
    genes[rows, partner, FEATURIZER_SHARING] = SHARED


def _join_features(
    genes: Genes, rows: Genes, target: Genes, partner: Genes, drawn: Values, alphabet: Alphabet
) -> None:
    """The target enters its partner's feature group, which takes a strategy of the class, not to
    share being one.

    drawn: 0 to 1, which one.
    """
    table, index = arrays.tables(alphabet), np.arange(len(rows))
    genes[rows, target, FEATURE_GROUP] = genes[rows, partner, FEATURE_GROUP]
    livs = genes[rows]
    own = livs[index, target]
    strategy = table.choices[own[:, CLASS], (drawn * table.count[own[:, CLASS]]).astype(np.int64)]
    members = livs[:, :, FEATURE_SHARING] != NOT_SHARED
    members[index, target] = members[index, partner] = True
    members &= (livs[:, :, CLASS] == own[:, CLASS, None]) & (
        livs[:, :, FEATURE_GROUP] == own[:, FEATURE_GROUP, None]
    )
    genes[rows, :, FEATURE_SHARING] = np.where(
        members, strategy[:, None], livs[:, :, FEATURE_SHARING]
    )
