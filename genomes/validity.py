"""Which genes are valid where, the list of a genome's problems, and repair.

A backbone is checked from the shallowest LIV to the deepest: the shallowest member of a feature
group sets the strategy, deeper members must carry the same one. Repair walks the same way and
resamples each offending gene, so one pass always ends in a valid genome.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .alphabets import Alphabet

GENE_NAMES = (
    "liv_class",
    "featurizer_group",
    "featurizer_sharing",
    "feature_group",
    "feature_sharing",
)
GENES_PER_LIV = len(GENE_NAMES)
NOT_SHARED = 1

Genes = Sequence[int]


@dataclass(frozen=True)
class GeneProblem:
    """One invalid gene: `liv` is the LIV's index from 0, `allowed` the values that would be valid
    there."""

    liv: int
    gene: str
    value: int
    allowed: tuple[int, ...]

    def __str__(self) -> str:
        """One line, as shown to the user."""
        low, high = self.allowed[0], self.allowed[-1]
        contiguous = self.allowed == tuple(range(low, high + 1)) and len(self.allowed) > 3
        allowed = f"{low} to {high}" if contiguous else ", ".join(map(str, self.allowed))
        return f"LIV {self.liv} gene {self.gene}: {self.value} is not allowed, expected {allowed}"


@dataclass(frozen=True)
class Repair:
    """One gene changed by repair."""

    liv: int
    gene: str
    old: int
    new: int


def _strategies(liv_class: int, alphabet: Alphabet) -> tuple[int, ...]:
    return (NOT_SHARED, *alphabet.by_id[liv_class].operator.structure.sharing)


def _allowed(
    livs: Sequence[Genes], liv: int, gene: int, alphabet: Alphabet, depth: int
) -> tuple[int, ...]:
    """Values valid for one gene given the LIV's earlier genes and all shallower LIVs (taken to be
    valid)."""
    if gene == 0:
        return alphabet.ids
    if gene in (1, 3):
        return tuple(range(1, depth + 1))
    if gene == 2:
        return (1, 2)
    liv_class, _, _, number, _ = livs[liv]
    for other in livs[:liv]:
        if other[0] == liv_class and other[3] == number and other[4] != NOT_SHARED:
            return (NOT_SHARED, other[4])
    return _strategies(liv_class, alphabet)


def find_problems(livs: Sequence[Genes], alphabet: Alphabet) -> list[GeneProblem]:
    """Every invalid gene of a backbone, shallowest first; empty when the genome is valid."""
    problems: list[GeneProblem] = []
    for liv, genes in enumerate(livs):
        for gene, value in enumerate(genes):
            if gene == 4 and genes[0] not in alphabet.by_id:
                continue  # which strategies are valid is unknown until the class is
            allowed = _allowed(livs, liv, gene, alphabet, len(livs))
            if value not in allowed:
                problems.append(GeneProblem(liv, GENE_NAMES[gene], value, allowed))
    return problems


def repair_livs(
    livs: Sequence[Genes], rng: np.random.Generator, alphabet: Alphabet
) -> tuple[list[list[int]], list[Repair]]:
    """Resample every offending gene among the values valid there; returns the genes and what was
    changed."""
    fixed = [list(genes) for genes in livs]
    repairs: list[Repair] = []
    for liv, genes in enumerate(fixed):
        for gene, value in enumerate(genes):
            allowed = _allowed(fixed, liv, gene, alphabet, len(fixed))
            if value not in allowed:
                genes[gene] = int(rng.choice(allowed))
                repairs.append(Repair(liv, GENE_NAMES[gene], int(value), genes[gene]))
    return fixed, repairs


def _agrees(livs: Sequence[Genes], liv: int, candidate: Genes, alphabet: Alphabet) -> bool:
    """Whether `candidate` at position `liv` has a strategy valid for its class and for its feature
    group."""
    liv_class, _, _, number, strategy = candidate
    if strategy == NOT_SHARED:
        return True
    if strategy not in _strategies(liv_class, alphabet):
        return False
    return all(
        other[4] in (NOT_SHARED, strategy)
        for index, other in enumerate(livs)
        if index != liv and other[0] == liv_class and other[3] == number
    )


def valid_gene_values(
    livs: Sequence[Genes], liv: int, gene: int, alphabet: Alphabet
) -> tuple[int, ...]:
    """Values that keep a valid backbone valid when this one gene takes them: the pool of
    constrained mutation."""
    depth, genes = len(livs), list(livs[liv])
    if gene in (1, 2):
        return _allowed(livs, liv, gene, alphabet, depth)
    pool = {0: alphabet.ids, 3: tuple(range(1, depth + 1)), 4: _strategies(genes[0], alphabet)}[
        gene
    ]
    return tuple(
        value
        for value in pool
        if _agrees(livs, liv, [*genes[:gene], value, *genes[gene + 1 :]], alphabet)
    )
