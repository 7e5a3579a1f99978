"""Which genes are valid where, and the list of a genome's problems.

A backbone is checked from the shallowest LIV to the deepest: the shallowest member of a feature
group sets the strategy, deeper members must carry the same one. `arrays.py` decides the same for
many genomes at once, without saying why.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from .alphabets import Alphabet
from .genes import (
    CLASS,
    FEATURE_GROUP,
    FEATURE_SHARING,
    FEATURIZER_GROUP,
    FEATURIZER_SHARING,
    GENE_NAMES,
    NOT_SHARED,
    SHARED,
)


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
        is_unknown_class = self.gene == GENE_NAMES[CLASS] and self.value > high
        hint = " (alphabet=extended has more, plugins=[...] those of users)" * is_unknown_class
        where = f"LIV {self.liv} gene {self.gene}"
        return f"{where}: {self.value} is not allowed, expected {allowed}{hint}"


def allowed_values(
    livs: Sequence[Sequence[int]], liv: int, gene: int, alphabet: Alphabet
) -> tuple[int, ...]:
    """Values valid for one gene given the LIV's earlier genes and all shallower LIVs (taken to be
    valid)."""
    if gene == CLASS:
        return alphabet.ids
    if gene in (FEATURIZER_GROUP, FEATURE_GROUP):
        return tuple(range(1, len(livs) + 1))
    if gene == FEATURIZER_SHARING:
        return (NOT_SHARED, SHARED)
    liv_class, _, _, number, _ = livs[liv]
    for other in livs[:liv]:
        if (
            other[CLASS] == liv_class
            and other[FEATURE_GROUP] == number
            and other[FEATURE_SHARING] != NOT_SHARED
        ):
            return (NOT_SHARED, other[FEATURE_SHARING])
    return (NOT_SHARED, *alphabet.by_id[liv_class].operator.structure.sharing)


def find_problems(livs: Sequence[Sequence[int]], alphabet: Alphabet) -> list[GeneProblem]:
    """Every invalid gene of a backbone, shallowest first; empty when the genome is valid."""
    problems: list[GeneProblem] = []
    for liv, genes in enumerate(livs):
        for gene, value in enumerate(genes):
            if gene == FEATURE_SHARING and genes[CLASS] not in alphabet.by_id:
                continue  # which strategies are valid is unknown until the class is
            allowed = allowed_values(livs, liv, gene, alphabet)
            if value not in allowed:
                problems.append(GeneProblem(liv, GENE_NAMES[gene], value, allowed))
    return problems
