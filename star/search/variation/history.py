"""What made an individual: `variation`, a dict ready for JSON that stays with it through selection
and elimination. Its parts and their entries are those of the column `variation`, see
`star/runs/columns.py`.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from pymoo.core.individual import Individual
from pymoo.core.population import Population

from star.genomes import BACKBONE_GENE_NAMES, GENE_NAMES, GENES_PER_LIV
from star.genomes.genes import Genes
from star.runs.columns import BACKBONE as BACKBONE
from star.runs.columns import CROSSOVER as CROSSOVER
from star.runs.columns import DEPTH as DEPTH
from star.runs.columns import GROWN as GROWN
from star.runs.columns import MOVEMENT as MOVEMENT
from star.runs.columns import MUTATION, REPAIR
from star.runs.columns import ROUNDS as ROUNDS

GENES = (MUTATION, REPAIR)  # arrays (changes, 4) on the individual: LIV, gene, old, new
VARIATION = "variation"
NAMES = (*GENE_NAMES, *BACKBONE_GENE_NAMES)  # by the number of a gene
NO_LIV = -1  # of a gene of the backbone; None in words


def variation(individual: Individual) -> dict[str, list[Any]]:
    """What made the individual, ready for JSON; empty for one that was sampled."""
    parts: dict[str, Any] = individual.data.get(VARIATION, {})
    return {
        part: _in_words(entries) if part in GENES else list(entries)
        for part, entries in parts.items()
    }


def _in_words(changes: Genes | list[Genes]) -> list[list[Any]]:
    return [
        [None if liv == NO_LIV else liv, NAMES[gene], old, new]
        for liv, gene, old, new in np.asarray(changes).tolist()
    ]


def from_words(words: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """What an individual holds of `variation`, which gives these words again."""
    return {
        part: [
            [NO_LIV if liv is None else liv, NAMES.index(gene), old, new]
            for liv, gene, old, new in entries
        ]
        if part in GENES
        else list(entries)
        for part, entries in words.items()
    }


def record(
    individuals: Iterable[Individual], part: str, entries: Iterable[Sequence[Any] | Genes]
) -> None:
    """Add entries, several for each individual or none, to a part of what made it."""
    for individual, added in zip(individuals, entries, strict=True):
        if len(added):
            known = individual.data.get(VARIATION, {})
            individual.data[VARIATION] = {
                **known,
                part: [*known[part], *added] if part in known else added,
            }


def genes(population: Population) -> Genes:
    """Genes of all individuals, (individuals, depth * 5), or (individuals, depth * 5 + 2)."""
    return np.stack([individual.X for individual in population])


def _places(length: int) -> Genes:
    """(length, 2): LIV and gene at each position of a vector."""
    behind = length % GENES_PER_LIV  # genes of the backbone
    livs = np.column_stack(np.divmod(np.arange(length - behind), GENES_PER_LIV))
    backbone = [[NO_LIV, GENES_PER_LIV + gene] for gene in range(behind)]
    return np.concatenate([livs, np.array(backbone, dtype=np.int64).reshape(-1, 2)])


def record_changes(population: Population, part: str, before: Genes) -> None:
    """Record every gene that an operator changed. before: the genes of the individuals before it.

    The changes stay arrays until they are asked for: most individuals of a large population never
    are.
    """
    after = genes(population)
    row, position = np.nonzero(before != after)
    place = _places(before.shape[1])[position]
    changes = np.column_stack([place, before[row, position], after[row, position]])
    # Rows ascend, so that the changes of individual n are those from bounds[n] to bounds[n + 1]:
    # rows 0 0 2 of three individuals have the bounds 0 2 2 3.
    bounds = np.searchsorted(row, np.arange(len(population) + 1)).tolist()
    record(population, part, [changes[start:end] for start, end in pairwise(bounds)])
