"""The backbone genome: an immutable sequence of LIVs, five integers each, with its text and array
forms."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from star.base.errors import shown

from . import arrays
from .alphabets import Alphabet, get_alphabet
from .errors import GenomeError
from .genes import GENES_PER_LIV, NOT_SHARED, Genes
from .operators import LivClass
from .sharing import LivSharing, resolve_sharing
from .validity import GeneProblem, find_problems

MOST_LIVS = 10_000  # of a genome
MOST_DIGITS = 9  # of a gene
MOST_NAMED = 8  # problems that an error lists


class Liv(NamedTuple):
    """The five genes of one LIV, named as in `GENE_NAMES`."""

    liv_class: int
    featurizer_group: int = 1
    featurizer_sharing: int = NOT_SHARED
    feature_group: int = 1
    feature_sharing: int = NOT_SHARED


def check_depth(depth: int, key: str = "depth") -> None:
    """Raise `GenomeError` naming the key for a number of LIVs that no genome has."""
    if not isinstance(depth, int) or not 1 <= depth <= MOST_LIVS:
        raise GenomeError(f"{key}={shown(str(depth))}: expected 1 to {MOST_LIVS:,} LIVs")


def _parse_liv(text: str, position: int, whole: str) -> Liv:
    parts = text.split(".") if "." in text else list(text)
    if len(parts) != GENES_PER_LIV or not all(
        part.isdecimal() and part.isascii() and len(part) <= MOST_DIGITS for part in parts
    ):
        raise GenomeError(
            f"genome {shown(whole)!r}: LIV {position} is {shown(text, 60)!r}, expected five digits "
            "such as 21211, or five numbers with dots such as 10.1.2.1.1; LIVs are joined by '-'"
        )
    return Liv(*map(int, parts))


@dataclass(frozen=True)
class Genome:
    """A backbone of LIVs over an alphabet. It may hold invalid genes: `validate` lists them,
    `check` raises."""

    livs: tuple[Liv, ...]
    alphabet: Alphabet

    @classmethod
    def from_text(cls, text: str, alphabet: str | Alphabet = "star") -> "Genome":
        """Read `21211-31112` or `10.1.2.1.1-9.1.1.1.1`. Raises `GenomeError` naming the malformed
        LIV."""
        texts = text.strip().split("-")
        check_depth(len(texts))
        livs = tuple(_parse_liv(liv, n, text) for n, liv in enumerate(texts))
        return cls(livs, get_alphabet(alphabet))

    @classmethod
    def from_genes(
        cls, genes: Sequence[Sequence[int]], alphabet: str | Alphabet = "star"
    ) -> "Genome":
        """A genome from one sequence of five integers a LIV."""
        return cls(
            tuple(Liv(*(int(gene) for gene in liv)) for liv in genes), get_alphabet(alphabet)
        )

    @classmethod
    def from_array(cls, array: npt.ArrayLike, alphabet: str | Alphabet = "star") -> "Genome":
        """A genome from an integer array of shape (depth * 5,). Raises `GenomeError` for another
        shape or dtype."""
        genes = np.asarray(array)
        if (
            genes.ndim != 1
            or not genes.size
            or genes.size % GENES_PER_LIV
            or genes.dtype.kind not in "iu"
        ):
            raise GenomeError(
                f"genome array: shape {genes.shape} and dtype {genes.dtype}, expected integers of "
                f"shape (depth * 5,)"
            )
        return cls.from_genes(genes.reshape(-1, GENES_PER_LIV).tolist(), alphabet)

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        return f"Genome({self.to_text()!r}, {self.alphabet.name!r})"

    def to_text(self) -> str:
        """Digits when every gene is below 10, otherwise dots inside each LIV."""
        separator = "" if all(0 <= gene < 10 for liv in self.livs for gene in liv) else "."
        return "-".join(separator.join(map(str, liv)) for liv in self.livs)

    def to_array(self) -> Genes:
        """The genes as int64, shape (depth * 5,)."""
        return np.array(self.livs, dtype=np.int64).reshape(-1)

    @property
    def depth(self) -> int:
        """Number of LIVs."""
        return len(self.livs)

    @cached_property
    def _problems(self) -> tuple[GeneProblem, ...]:
        return tuple(find_problems(self.livs, self.alphabet))

    def validate(self) -> list[GeneProblem]:
        """Every problem of the genome, shallowest LIV first; empty when it is valid."""
        return list(self._problems)

    def check(self) -> "Genome":
        """The genome itself when it is valid. Raises `GenomeError` with its problems otherwise."""
        if self._problems:
            more = len(self._problems) - MOST_NAMED
            named = "; ".join(map(str, self._problems[:MOST_NAMED]))
            others = f"; and {more} more" if more > 0 else ""
            raise GenomeError(f"genome {shown(self.to_text())!r}: {named}{others}")
        return self

    @cached_property
    def sharing(self) -> tuple[LivSharing, ...]:
        """Owners of features and weights, a LIV each (valid genomes only)."""
        return resolve_sharing(self.check().livs, self.alphabet)

    def _as_one(self) -> Genes:
        """The genes (1, depth, 5), for the functions of `arrays.py` (valid genomes only)."""
        return self.check().to_array().reshape(1, -1, GENES_PER_LIV)

    def canonical(self) -> "Genome":
        """The canonical form, equal for two genomes exactly when they are the same architecture."""
        livs = _canonical_genes(self)[0].tolist()
        return Genome(tuple(Liv(*genes) for genes in livs), self.alphabet)

    @cached_property
    def id(self) -> str:
        """Stable content hash of the canonical form, such as `ada095119eb9` (`arrays.ids`)."""
        return _id(self)

    def classes(self) -> tuple[LivClass, ...]:
        """The LIV class of every LIV (valid genomes only)."""
        return tuple(self.alphabet.by_id[liv.liv_class] for liv in self.check().livs)


# Arrays take about 0.1 ms for one genome too, and a search makes equal genomes over and over: equal
# ones are computed once.
@lru_cache(maxsize=4096)
def _canonical_genes(genome: Genome) -> Genes:
    return arrays.canonical(genome._as_one(), genome.alphabet)


@lru_cache(maxsize=4096)
def _id(genome: Genome) -> str:
    return arrays.ids(_canonical_genes(genome), genome.alphabet)[0]


def fit_depth(genome: Genome, depth: int) -> Genome:
    """Repeat or cut a genome to `depth` LIVs; each repetition shares within itself only.

    Sharing that a cut leaves with one member is inert and is removed. Raises `GenomeError` as
    `check_depth`.
    """
    check_depth(depth)
    if depth == genome.depth:
        return genome
    fitted = arrays.fit_depth(genome._as_one(), depth, genome.alphabet)
    return Genome.from_genes(fitted[0].tolist(), genome.alphabet)
