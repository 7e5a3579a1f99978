"""Which genes are valid where, and the list of a genome's problems.

A backbone is checked from the shallowest LIV to the deepest: the shallowest member of a feature
group sets the strategy, deeper members must carry the same one. `arrays.py` decides the same for
many genomes at once, without saying why.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from .alphabets import Alphabet
from .backbone import USUAL, VALUES
from .genes import (
    BACKBONE_GENE_NAMES,
    CLASS,
    GENE_NAMES,
    NOT_SHARED,
    SHARED,
)


@dataclass(frozen=True)
class GeneProblem:
    """One invalid gene: `liv` is the LIV's index from 0, None for a gene of the backbone, `allowed`
    the values that would be valid there."""

    liv: int | None
    gene: str
    value: int
    allowed: Sequence[int]

    def __str__(self) -> str:
        """One line, as shown to the user."""
        low, high = self.allowed[0], self.allowed[-1]
        contiguous = 3 < len(self.allowed) == high - low + 1
        allowed = f"{low} to {high}" if contiguous else ", ".join(map(str, self.allowed))
        is_unknown_class = self.gene == GENE_NAMES[CLASS] and self.value > high
        hint = (
            " (alphabet=extended and alphabet=released have more, plugins=[...] those of users)"
            * is_unknown_class
        )
        where = f"{'backbone' if self.liv is None else f'LIV {self.liv}'} gene {self.gene}"
        return f"{where}: {self.value} is not allowed, expected {allowed}{hint}"


def find_problems(
    livs: Sequence[Sequence[int]], alphabet: Alphabet, backbone: Sequence[int] = USUAL
) -> list[GeneProblem]:
    """Every invalid gene of a genome, those of LIVs first, shallowest first; empty when the genome
    is valid.

    Each gene is judged given the LIV's earlier genes and all shallower LIVs, which are taken to be
    valid. Of the strategies, nothing is said where the class is unknown.
    """
    problems: list[GeneProblem] = []
    numbers = range(1, len(livs) + 1)
    strategies: dict[tuple[int, int], int] = {}  # of each class and feature group
    for liv, genes in enumerate(livs):
        liv_class, _, _, number, strategy = genes
        allowed = [alphabet.ids, numbers, (NOT_SHARED, SHARED), numbers]
        if liv_class in alphabet.by_id:
            own = alphabet.by_id[liv_class].operator.structure.sharing
            first = strategies.get((liv_class, number))
            allowed.append((NOT_SHARED, *(own if first is None else (first,))))
            if strategy != NOT_SHARED:
                strategies.setdefault((liv_class, number), strategy)
        problems += [
            GeneProblem(liv, name, value, values)
            for name, value, values in zip(GENE_NAMES, genes, allowed, strict=False)
            if value not in values
        ]
    return problems + [
        GeneProblem(None, name, value, values)
        for name, value, values in zip(BACKBONE_GENE_NAMES, backbone, VALUES, strict=True)
        if value not in values
    ]
