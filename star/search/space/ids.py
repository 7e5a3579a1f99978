"""Ids of individuals: two are the same architecture exactly when their ids are equal."""

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from pymoo.core.individual import Individual

from star.genomes import GENES_PER_LIV, Alphabet, Genome, arrays
from star.genomes.backbone import VALUES
from star.genomes.genes import Genes
from star.search.space.backbones import backbones_of
from star.search.space.depths import by_depth, without_absent

MOST_REMEMBERED = 20_000  # genomes whose ids are kept; at depth 24 about 20 MB


def as_livs(X: Genes, alphabet: Alphabet) -> Genes:
    """Genes of the LIVs (individuals, depth, 5). Raises `GenomeError` unless they are integers."""
    if X.dtype.kind not in "iu":
        Genome.from_array(X[0], alphabet)  # raises, and says what it was given
    return X[:, : X.shape[1] // GENES_PER_LIV * GENES_PER_LIV].reshape(len(X), -1, GENES_PER_LIV)


@lru_cache(maxsize=4)
def _known_ids(alphabet: Alphabet, full_depth: int | None) -> dict[bytes, str]:
    """Genome ids by genes: crossover and the elimination of duplicates look at the same individuals
    many times. What is cached is the dictionary itself, which `ids` fills."""
    return {}


def ids(
    individuals: Iterable[Individual], alphabet: Alphabet, full_depth: int | None = None
) -> list[str]:
    """Ids of genomes; with a full depth, of what they are when repeated to it.

    Raises `GenomeError` for the first that is not valid.
    """
    rows = [individual.X for individual in individuals]
    keys = [row.tobytes() for row in rows]
    known = _known_ids(alphabet, full_depth)
    if len(known) > MOST_REMEMBERED:
        known.clear()
    unknown = {key: row for key, row in zip(keys, rows, strict=True) if key not in known}
    if unknown:
        found = _computed(np.stack(list(unknown.values())), alphabet, full_depth)
        known.update(zip(unknown, found, strict=True))
    return [known[key] for key in keys]


def _computed(X: Genes, alphabet: Alphabet, full_depth: int | None) -> list[str]:
    livs, backbones = as_livs(X, alphabet), backbones_of(X)
    for column, values in zip(backbones.T, VALUES, strict=False):
        for invalid in X[~np.isin(column, values)]:
            Genome.from_array(without_absent(invalid), alphabet).check()  # raises, and says why
    found = np.empty(len(livs), dtype=object)
    for rows, genes in by_depth(livs):
        for invalid in genes[~arrays.valid(genes, alphabet)]:
            Genome.from_array(invalid.reshape(-1), alphabet).check()  # the same
        if full_depth is None:
            canonical = arrays.canonical(genes, alphabet)
        else:
            canonical = arrays.fit_depth(genes, full_depth, alphabet)
        found[rows] = arrays.ids(canonical, alphabet, backbones[rows].tolist())
    return found.tolist()
