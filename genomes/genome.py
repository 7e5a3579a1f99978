"""The backbone genome: an immutable sequence of LIVs, five integers each, and two genes of the
whole backbone, with its text and array forms."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from star.base.errors import shown

from . import arrays
from .alphabets import Alphabet, get_alphabet
from .backbone import USUAL, Backbone
from .errors import GenomeError
from .genes import BACKBONE_GENES, GENES_PER_LIV, NOT_SHARED, Genes
from .model_config import ModelConfig
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


def _numbers(text: str) -> tuple[int, ...]:
    """The numbers of one part of a text; none where one is malformed."""
    parts = text.split(".") if "." in text else list(text)
    if not all(part.isdecimal() and part.isascii() and len(part) <= MOST_DIGITS for part in parts):
        return ()
    return tuple(map(int, parts))


def _parse_liv(text: str, position: int, whole: str) -> Liv:
    numbers = _numbers(text)
    if len(numbers) != GENES_PER_LIV:
        raise GenomeError(
            f"genome {shown(whole)!r}: LIV {position} is {shown(text, 60)!r}, expected five digits "
            "such as 21211, or five numbers with dots such as 10.1.2.1.1; LIVs are joined by '-', "
            "and two digits behind the last one, such as 41, are the genes of the backbone"
        )
    return Liv(*numbers)


@dataclass(frozen=True)
class Genome:
    """A backbone of LIVs over an alphabet. It may hold invalid genes: `validate` lists them,
    `check` raises."""

    livs: tuple[Liv, ...]
    alphabet: Alphabet
    backbone: Backbone = USUAL  # norms and residuals of all LIVs

    @classmethod
    def from_text(cls, text: str, alphabet: str | Alphabet = "star") -> "Genome":
        """Read `21211-31112` or `10.1.2.1.1-9.1.1.1.1`, behind which two numbers may stand: the
        genes of the backbone, `21211-31112-41`. Raises `GenomeError` naming the malformed LIV."""
        texts, backbone = text.strip().split("-"), USUAL
        last = _numbers(texts[-1])
        if len(last) == BACKBONE_GENES and len(texts) > 1:
            texts, backbone = texts[:-1], Backbone(*last)
        check_depth(len(texts))
        livs = tuple(_parse_liv(liv, n, text) for n, liv in enumerate(texts))
        return cls(livs, get_alphabet(alphabet), backbone)

    @classmethod
    def from_genes(
        cls,
        genes: Sequence[Sequence[int]],
        alphabet: str | Alphabet = "star",
        backbone: Sequence[int] = USUAL,
    ) -> "Genome":
        """A genome from one sequence of five integers a LIV, and the two genes of the backbone."""
        livs = tuple(Liv(*(int(gene) for gene in liv)) for liv in genes)
        return cls(livs, get_alphabet(alphabet), Backbone(*map(int, backbone)))

    @classmethod
    def from_array(cls, array: npt.ArrayLike, alphabet: str | Alphabet = "star") -> "Genome":
        """A genome from an integer array of shape (depth * 5,), or (depth * 5 + 2,) with the genes
        of the backbone at the end. Raises `GenomeError` for another shape or dtype."""
        genes = np.asarray(array)
        if (
            genes.ndim != 1
            or genes.size < GENES_PER_LIV
            or genes.size % GENES_PER_LIV not in (0, BACKBONE_GENES)
            or genes.dtype.kind not in "iu"
        ):
            raise GenomeError(
                f"genome array: shape {genes.shape} and dtype {genes.dtype}, expected integers of "
                f"shape (depth * 5,), or (depth * 5 + 2,) with the genes of the backbone"
            )
        end = genes.size - genes.size % GENES_PER_LIV
        livs = genes[:end].reshape(-1, GENES_PER_LIV).tolist()
        return cls.from_genes(livs, alphabet, genes[end:].tolist())

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        return f"Genome({self.to_text()!r}, {self.alphabet.name!r})"

    def to_text(self) -> str:
        """Digits when every gene is below 10, otherwise dots inside each LIV; the genes of the
        backbone stand behind the LIVs unless both are 1."""
        parts = self.livs if self.backbone == USUAL else (*self.livs, self.backbone)
        separator = "" if all(0 <= gene < 10 for part in parts for gene in part) else "."
        return "-".join(separator.join(map(str, part)) for part in parts)

    def to_array(self) -> Genes:
        """The genes as int64, shape (depth * 5,); unless both genes of the backbone are 1, they
        follow: (depth * 5 + 2,)."""
        livs = self.liv_array().reshape(-1)
        return livs if self.backbone == USUAL else np.concatenate([livs, self.backbone])

    def liv_array(self) -> Genes:
        """The genes of the LIVs as int64 (depth, 5)."""
        return np.array(self.livs, dtype=np.int64).reshape(-1, GENES_PER_LIV)

    @property
    def depth(self) -> int:
        """Number of LIVs."""
        return len(self.livs)

    @cached_property
    def _problems(self) -> tuple[GeneProblem, ...]:
        return tuple(find_problems(self.livs, self.alphabet, self.backbone))

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
        return self.check().liv_array()[None]

    def canonical(self) -> "Genome":
        """The canonical form, equal for two genomes exactly when they are the same architecture."""
        livs = _canonical_genes(self)[0].tolist()
        return Genome(tuple(Liv(*genes) for genes in livs), self.alphabet, self.backbone)

    def sizes(self, model: ModelConfig) -> ModelConfig:
        """The sizes that it is built at: these, but for what its own backbone genes say.

        Raises `GenomeError` where they are invalid.
        """
        return model if self.backbone == USUAL else self.check().backbone.sizes(model, self.depth)

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
    return arrays.ids(_canonical_genes(genome), genome.alphabet, [genome.backbone])[0]


def fit_depth(genome: Genome, depth: int) -> Genome:
    """Repeat or cut a genome to `depth` LIVs; each repetition shares within itself only.

    Sharing that a cut leaves with one member is inert and is removed; the genes of the backbone
    stay. Raises `GenomeError` as `check_depth`.
    """
    check_depth(depth)
    if depth == genome.depth:
        return genome
    fitted = arrays.fit_depth(genome._as_one(), depth, genome.alphabet)
    return Genome.from_genes(fitted[0].tolist(), genome.alphabet, genome.backbone)
