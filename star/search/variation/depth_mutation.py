"""Mutation of the depth: a LIV is inserted, deleted or duplicated, between bounds."""

from typing import Any

import numpy as np
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population

from star.genomes import GENES_PER_LIV, NOT_SHARED, Alphabet, arrays
from star.genomes.genes import CLASS, FEATURE_GROUP, FEATURE_SHARING, SHARED, Genes
from star.search.space.backbones import backbones_of, with_backbones
from star.search.space.depths import depths_of, fit_group_numbers
from star.search.space.ids import as_livs
from star.search.space.problem import GenomeProblem
from star.search.variation.history import DEPTH, record

INSERT, DELETE, DUPLICATE = "insert", "delete", "duplicate"


class DepthMutation(Mutation):
    """A genome gains a random LIV, loses one, or has one twice, the copy behind it.

    Which of those that stay within the bounds, and where, is drawn uniformly. A random LIV never
    shares features by another strategy than the LIVs of its group. Valid genomes stay valid.
    """

    def __init__(self, probability: float = 0.1, sharing_probability: float = 0.25) -> None:
        """Set it up.

        Args:
            probability: that a genome changes.
            sharing_probability: that a random LIV shares, for either kind of sharing.
        """
        super().__init__()
        self.probability = probability
        self.sharing_probability = sharing_probability
        self._edits: list[list[Any]] = []  # of the latest call, at most one for each individual

    def do(self, problem: GenomeProblem, pop: Population, *args: Any, **kwargs: Any) -> Population:
        """Mutate the individuals, in place unless pymoo is asked otherwise; they keep what was
        done."""
        mutated = super().do(problem, pop, *args, **kwargs)
        record(mutated, DEPTH, self._edits)
        return mutated

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
        self._edits = [[] for _ in livs]
        for row in np.flatnonzero(random_state.random(len(livs)) < self.probability):
            edit = self._draw(livs[row], problem, random_state)
            if edit is not None:
                livs[row] = fit_group_numbers(edited(livs[row], edit)[None])[0]
                self._edits[row] = [edit]
        return with_backbones(livs, backbones_of(X))

    def _draw(
        self, livs: Genes, problem: GenomeProblem, rng: np.random.Generator
    ) -> list[Any] | None:
        """An edit of one genome (most, 5) as it is recorded; None where the bounds leave none."""
        depth = int(depths_of(livs[None])[0])
        grow = (INSERT, DUPLICATE) if depth < problem.vector_depth else ()
        kinds = grow + ((DELETE,) if depth > problem.least_depth else ())
        if not kinds:
            return None
        kind = kinds[rng.integers(len(kinds))]
        if kind != INSERT:
            return [kind, int(rng.integers(depth))]
        liv = int(rng.integers(depth + 1))
        return [kind, liv, self._random_liv(livs[:depth], problem.base, rng)]

    def _random_liv(self, livs: Genes, alphabet: Alphabet, rng: np.random.Generator) -> list[int]:
        """Genes that are valid beside the LIVs (depth, 5) of one genome."""
        table, depth = arrays.tables(alphabet), len(livs) + 1
        liv_class, numbers = rng.choice(table.ids), rng.integers(1, depth + 1, size=2)
        tied, shared = rng.random(2) < self.sharing_probability
        strategy = NOT_SHARED
        if shared:  # by any strategy of the class but the first, which is not to share
            strategy = rng.choice(table.choices[liv_class, 1 : table.count[liv_class]])
        group = (
            (livs[:, CLASS] == liv_class)
            & (livs[:, FEATURE_GROUP] == numbers[1])
            & (livs[:, FEATURE_SHARING] != NOT_SHARED)
        )
        if group.any() and strategy != NOT_SHARED:
            strategy = livs[group, FEATURE_SHARING][0]
        tying = SHARED if tied else NOT_SHARED
        return [int(liv_class), int(numbers[0]), tying, int(numbers[1]), int(strategy)]


def edited(livs: Genes, edit: list[Any]) -> Genes:
    """One genome (most, 5) after an edit as it is recorded; group numbers may exceed a smaller
    depth."""
    kind, liv, *genes = edit
    if kind == DELETE:
        absent = np.zeros((1, GENES_PER_LIV), dtype=np.int64)
        return np.concatenate([np.delete(livs, liv, axis=0), absent])
    added, place = (genes[0], liv) if kind == INSERT else (livs[liv], liv + 1)
    return np.insert(livs, place, added, axis=0)[:-1]  # the last LIV was absent
