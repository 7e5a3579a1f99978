"""What made an individual: `variation`, a dict ready for JSON that stays with it through selection
and elimination.

Its parts, in the order in which they were applied; those that changed nothing are left out:

- crossover: the cuts, ascending. A cut c lies before LIV c, where the child goes on with the other
  parent; it begins
  with its first parent, so that a cut 0 stands for beginning with the second.
- movement: [liv, parent] for each LIV that a firefly took from another, `parent` being the index in
  its parents.
- depth: ["insert", liv, genes], ["delete", liv] or ["duplicate", liv], the copy being put behind.
- mutation, repair: [liv, gene name, old, new] for each gene.

LIVs count from 0. The genes are the individual's own, before the canonical form. Where depths vary,
group numbers that exceed the depth become the smallest free ones after crossover, movement and
deletion (`depths.fit_group_numbers`).
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from pymoo.core.individual import Individual
from pymoo.core.population import Population

from star.genomes import GENE_NAMES, GENES_PER_LIV

CROSSOVER, MOVEMENT, DEPTH, MUTATION, REPAIR = (
    "crossover",
    "movement",
    "depth",
    "mutation",
    "repair",
)
GENES = (
    MUTATION,
    REPAIR,
)  # parts that are arrays (changes, 4) on the individual: LIV, gene, old, new
VARIATION = "variation"

Matrix = npt.NDArray[np.int64]


def variation(individual: Individual) -> dict[str, list[Any]]:
    """What made the individual, ready for JSON; empty for one that was sampled."""
    parts: dict[str, Any] = individual.data.get(VARIATION, {})
    return {
        part: _in_words(entries) if part in GENES else list(entries)
        for part, entries in parts.items()
    }


def _in_words(changes: Matrix | list[Matrix]) -> list[list[Any]]:
    return [
        [liv, GENE_NAMES[gene], old, new] for liv, gene, old, new in np.asarray(changes).tolist()
    ]


def record(
    individuals: Iterable[Individual], part: str, entries: Iterable[Sequence[Any] | Matrix]
) -> None:
    """Add entries, several for each individual or none, to a part of what made it."""
    for individual, added in zip(individuals, entries, strict=True):
        if len(added):
            known = individual.data.get(VARIATION, {})
            individual.data[VARIATION] = {
                **known,
                part: [*known[part], *added] if part in known else added,
            }


def genes(population: Population) -> Matrix:
    """Genes of all individuals, (individuals, depth * 5)."""
    return np.stack([individual.X for individual in population])


def record_changes(population: Population, part: str, before: Matrix) -> None:
    """Record every gene that an operator changed. before: the genes of the individuals before it.

    The changes stay arrays until they are asked for: most individuals of a large population never
    are.
    """
    after = genes(population)
    row, position = np.nonzero(before != after)
    changes = np.column_stack(
        [*np.divmod(position, GENES_PER_LIV), before[row, position], after[row, position]]
    )
    bounds = np.searchsorted(row, np.arange(len(population) + 1)).tolist()
    record(population, part, [changes[start:end] for start, end in pairwise(bounds)])
