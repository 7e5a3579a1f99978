"""Mutation of the operator level: a LIV's class becomes one whose operator genome differs in one
gene.

It is what brings classes into a search that its alphabet does not name. Those that a population has
are drawn by the mutation of genes too (`GenomeProblem.pool`); those that it has lost must come in
again.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from star.genomes import NOT_SHARED, Alphabet, arrays
from star.genomes.genes import CLASS, FEATURE_GROUP, FEATURE_SHARING, Genes
from star.search.space.backbones import backbones_of, with_backbones
from star.search.space.ids import as_livs
from star.search.space.problem import GenomeProblem
from star.search.variation.gene_mutation import RecordedMutation


class OperatorMutation(RecordedMutation):
    """Each LIV's class changes with `probability` to one of its neighbours (`Alphabet.neighbours`),
    drawn uniformly.

    The LIV shares features on where it can: it stops where the class has no such strategy, or where
    its group of the LIV's number shares by another. Valid genomes stay valid.
    """

    def __init__(self, probability: float = 0.1) -> None:
        super().__init__()
        self.probability = probability

    def _do(
        self,
        problem: GenomeProblem,
        X: Genes,
        *args: Any,
        random_state: np.random.Generator,
        **kwargs: Any,
    ) -> Genes:
        """X and the result: int64 (individuals, n_var)."""
        livs = as_livs(X, problem.alphabet).copy()
        chosen = random_state.random(livs.shape[:2]) < self.probability
        for row, liv in zip(*np.nonzero(chosen), strict=True):
            _mutate(livs[row], liv, problem.alphabet, random_state)
        return with_backbones(livs, backbones_of(X))


def _mutate(livs: Genes, liv: int, alphabet: Alphabet, rng: np.random.Generator) -> None:
    """Change the operator of one LIV of a genome (depth, 5), in place; a LIV that is absent or
    unknown stays."""
    neighbours = _neighbours(alphabet).get(int(livs[liv, CLASS]), ())
    if not neighbours:
        return
    livs[liv, CLASS] = liv_class = neighbours[rng.integers(len(neighbours))]
    _, _, _, number, strategy = livs[liv]
    group = (
        (livs[:, CLASS] == liv_class)
        & (livs[:, FEATURE_GROUP] == number)
        & (livs[:, FEATURE_SHARING] != NOT_SHARED)
    )
    group[liv] = False
    # An invalid genome may have any number here, also one that is no column of the table.
    has_strategy = (
        0 < strategy < arrays.STRATEGIES and arrays.tables(alphabet).strategies[liv_class, strategy]
    )
    if not has_strategy or (livs[group, FEATURE_SHARING] != strategy).any():
        livs[liv, FEATURE_SHARING] = NOT_SHARED


@lru_cache(maxsize=4)
def _neighbours(alphabet: Alphabet) -> dict[int, list[int]]:
    return {number: alphabet.neighbours(number) for number in alphabet.ids}
