"""Mutation of genes, on whole populations: among the values that keep a genome valid, or freely."""

from typing import Any

import numpy as np
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population

from star.genomes import NOT_SHARED, Alphabet, arrays
from star.genomes.genes import (
    CLASS,
    FEATURE_GROUP,
    FEATURE_SHARING,
    FEATURIZER_GROUP,
    FEATURIZER_SHARING,
    Booleans,
    Genes,
)
from star.search.space.backbones import BackboneValues, backbones_of, with_backbones
from star.search.space.depths import apply_by_depth
from star.search.space.ids import as_livs
from star.search.space.problem import GenomeProblem
from star.search.variation.history import MUTATION, genes, record_changes


class RecordedMutation(Mutation):
    """A mutation after which individuals keep the genes that were changed."""

    def do(self, problem: GenomeProblem, pop: Population, *args: Any, **kwargs: Any) -> Population:
        """Mutate the individuals, in place unless pymoo is asked otherwise."""
        before = genes(pop)
        mutated = super().do(problem, pop, *args, **kwargs)
        record_changes(mutated, MUTATION, before)
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
        pool = problem.pool(X)
        livs = apply_by_depth(
            lambda genes: self._mutated(genes, random_state, pool), as_livs(X, problem.alphabet)
        )
        backbones = self._mutated_backbones(backbones_of(X), random_state, problem.backbone)
        return with_backbones(livs, backbones)

    def _mutated_backbones(
        self, genes: Genes, rng: np.random.Generator, values: BackboneValues
    ) -> Genes:
        """Genes of the backbone (genomes, 0 or 2); they stay unless a mutation says otherwise."""
        return genes

    def _mutated(self, genes: Genes, rng: np.random.Generator, alphabet: Alphabet) -> Genes:
        """Genes of (genomes, depth, 5), mutated among the classes of an alphabet."""
        raise NotImplementedError


class GeneMutation(RecordedMutation):
    """Each gene changes with probability `rate`, drawn from the values valid there, or from its
    whole range.

    Constrained mutation of a valid genome stays valid; genes of an invalid one are drawn from their
    whole ranges. With `constrained=False` the result may need repair.
    """

    def __init__(self, rate: float = 0.1, constrained: bool = True) -> None:
        super().__init__()
        self.rate = rate
        self.constrained = constrained

    def _mutated(self, genes: Genes, rng: np.random.Generator, alphabet: Alphabet) -> Genes:
        """Genes of (genomes, depth, 5)."""
        livs = genes.copy()
        chosen = rng.random(livs.shape) < self.rate
        bound = (
            arrays.valid(livs, alphabet) if self.constrained else np.zeros(len(livs), dtype=bool)
        )
        for rows, mutate in ((bound, _mutate_constrained), (~bound, _mutate_freely)):
            if rows.any():
                livs[rows] = mutate(livs[rows], chosen[rows], rng, alphabet)
        return livs

    def _mutated_backbones(
        self, genes: Genes, rng: np.random.Generator, values: BackboneValues
    ) -> Genes:
        return values.mutated(genes, self.rate, rng)


def _another(present: Genes, highest: int | Genes, rng: np.random.Generator) -> Genes:
    """Values from 1 to highest, uniformly among those other than the present ones, which stay if
    there is no other.

    One value fewer is drawn, and the present one is stepped over: with 3 present of 1 to 5, the
    drawn 1 2 3 4 stand for 1 2 4 5.
    """
    inside = (present >= 1) & (present <= highest)
    drawn = 1 + (rng.random(present.shape) * (highest - inside)).astype(np.int64)
    drawn += inside & (drawn >= present)
    return np.where(drawn <= highest, drawn, present)


def _mutate_freely(
    genes: Genes, chosen: Booleans, rng: np.random.Generator, alphabet: Alphabet
) -> Genes:
    """Every gene chosen (genomes, depth, 5) takes another value of its whole range; the result may
    be invalid."""
    table, depth = arrays.tables(alphabet), genes.shape[1]
    highest = np.array([len(table.ids), depth, 2, depth, arrays.STRATEGIES - 1])
    mutated = genes.copy()
    genome, liv, gene = np.nonzero(chosen)
    present, is_class = mutated[genome, liv, gene], gene == CLASS
    # Class ids have gaps, so that classes are drawn by their place; an unknown one has place 0.
    known = is_class & (present > 0) & (present < len(table.place))
    place = np.where(known, table.place[np.where(known, present, 0)], 0)
    drawn = _another(np.where(is_class, place, present), highest[gene], rng)
    mutated[genome, liv, gene] = np.where(
        is_class, table.ids[np.where(is_class, drawn, 1) - 1], drawn
    )
    return mutated


def _mutate_constrained(
    genes: Genes, chosen: Booleans, rng: np.random.Generator, alphabet: Alphabet
) -> Genes:
    """Chosen genes of valid genomes change one after the other, each to another value that is valid
    with all others as they are by then; a gene with one valid value stays.

    Depth and genes are loops, genomes are not: the first LIV's class changes in all genomes where
    it was chosen, then its feature group, and so on.
    """
    table, depth = arrays.tables(alphabet), genes.shape[1]
    mutated = genes.copy()
    # These two are valid whatever the others are.
    for gene, highest in ((FEATURIZER_GROUP, depth), (FEATURIZER_SHARING, 2)):
        here = chosen[:, :, gene]
        mutated[here, gene] = _another(genes[here, gene], highest, rng)
    planes = {gene: np.ascontiguousarray(mutated[:, :, gene]) for gene in _ALLOWED}
    for liv in range(depth):
        for gene, allowed in _ALLOWED.items():
            rows = np.flatnonzero(chosen[:, liv, gene])
            if len(rows):
                classes, number, strategy = (plane[rows] for plane in planes.values())
                values = allowed(classes, number, strategy, liv, table)
                planes[gene][rows, liv] = _draw_another(values, planes[gene][rows, liv], rng)
    for gene, plane in planes.items():
        mutated[:, :, gene] = plane
    return mutated


def _draw_another(allowed: Booleans, present: Genes, rng: np.random.Generator) -> Genes:
    """A column of allowed (genomes, values) where it is true, uniformly but for the present one;
    it, if no other is. `allowed` is overwritten.

    With 1 present, the allowed 0 1 1 0 1 become 0 0 1 0 1; their ranks are 0 0 1 1 2, and the drawn
    rank 2 is first reached in column 4.
    """
    allowed[np.arange(len(present)), present] = False
    ranks = allowed.cumsum(axis=1)
    count = ranks[:, -1]
    drawn = 1 + (rng.random(len(count)) * count).astype(np.int64)
    return np.where(count > 0, (ranks >= drawn[:, None]).argmax(axis=1), present)


def _conflicts(same: Booleans, strategy: Genes, liv: int) -> Booleans:
    """(genomes, depth): LIVs, of those marked, that share features by another strategy than `liv`
    shares by."""
    own = strategy[:, liv, None]
    return same & (strategy != own) & (strategy != NOT_SHARED) & (own != NOT_SHARED)


def _allowed_classes(
    classes: Genes, number: Genes, strategy: Genes, liv: int, table: arrays.Tables
) -> Booleans:
    """(genomes, ids): classes that have the LIV's strategy, and whose group of its number shares by
    no other."""
    allowed = table.strategies[:, strategy[:, liv]].T.copy()
    genome, other = np.nonzero(_conflicts(number == number[:, liv, None], strategy, liv))
    allowed[genome, classes[genome, other]] = False
    return allowed


def _allowed_groups(
    classes: Genes, number: Genes, strategy: Genes, liv: int, table: arrays.Tables
) -> Booleans:
    """(genomes, depth + 1): feature groups of the LIV's class that share by no other strategy."""
    allowed = np.ones((len(number), number.shape[1] + 1), dtype=bool)
    allowed[:, 0] = False
    genome, other = np.nonzero(_conflicts(classes == classes[:, liv, None], strategy, liv))
    allowed[genome, number[genome, other]] = False
    return allowed


def _allowed_strategies(
    classes: Genes, number: Genes, strategy: Genes, liv: int, table: arrays.Tables
) -> Booleans:
    """(genomes, strategies): strategy 1 and that of the LIV's group, or all of its class where the
    group has none."""
    partners = (
        (classes == classes[:, liv, None])
        & (number == number[:, liv, None])
        & (strategy != NOT_SHARED)
    )
    partners[:, liv] = False
    agreed = (strategy * partners).max(axis=1)[:, None]  # partners have one strategy; 0 without
    columns = np.arange(arrays.STRATEGIES)
    return table.strategies[classes[:, liv]] & (
        (agreed == 0) | (columns == agreed) | (columns == NOT_SHARED)
    )


# In the order in which the genes of a LIV are mutated, and in which `planes` is unpacked above:
# class, number of the feature group, strategy.
_ALLOWED = {
    CLASS: _allowed_classes,
    FEATURE_GROUP: _allowed_groups,
    FEATURE_SHARING: _allowed_strategies,
}
