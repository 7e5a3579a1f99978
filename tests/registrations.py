"""Registrations that end with the test that made them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from star.genomes import (
    ALPHABETS,
    STRUCTURES,
    alphabet_arrays,
    files,
    genome,
    operators,
    valid_operators,
)
from star.genomes.alphabets import with_operators

# Structures cannot change but here, so the product need not forget what it derived from them.
CACHED = (
    valid_operators,
    with_operators,
    alphabet_arrays.tables,
    alphabet_arrays._weight_parts,
    genome._canonical_genes,
    genome._id,
)


@contextmanager
def temporary() -> Iterator[None]:
    """Structures, classes and libraries registered within are unknown again behind it."""
    from star.models import structures

    tables: list[dict[Any, Any]] = [STRUCTURES, operators._BY_FEATURIZER, ALPHABETS]
    tables += [structures._PARTS, files._LIBRARIES]
    before = [dict(table) for table in tables]
    try:
        yield
    finally:
        for table, content in zip(tables, before, strict=True):
            table.clear()
            table.update(content)
        for cached in CACHED:
            cached.cache_clear()
