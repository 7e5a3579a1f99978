"""The letters of a hybrid's blocks: mixtures of its components in whole parts."""

from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import ClassVar

from ..alphabets import Alphabet
from ..operators import (
    DIAGONAL,
    IDENTITY,
    NO_SPARSITY,
    PER_CHANNEL,
    Featurizer,
    LivClass,
    OperatorGenome,
    Structure,
)
from .hybrid import Hybrid

MIXTURE = Structure("mixture", DIAGONAL, PER_CHANNEL, (), {}, {0: Featurizer(())})
FOUND = "found"  # the letter of `Hybrid.mixture`


class _Mixing(OperatorGenome):
    """The operator of every letter, which is none of the search space: its costs are the
    hybrid's."""

    @property
    def structure(self) -> Structure:
        """The mixture."""
        return MIXTURE


_OPERATOR = _Mixing(0, DIAGONAL, NO_SPARSITY, IDENTITY, PER_CHANNEL)


@dataclass(frozen=True)
class Mixture(LivClass):
    """One letter: how many parts each component has, or what the hybrid has found for the block."""

    shares: tuple[int, ...] = ()  # none for `found`
    hybrid: str = ""  # digest

    @property
    def code(self) -> str:
        """Of components and shares, so that no other hybrid has it."""
        return f"{self.hybrid}:{self.name}"

    def weights(self, hybrid: Hybrid, block: int) -> tuple[float, ...]:
        """The weight of each component in a block."""
        if not self.shares:
            return hybrid.mixture[block]
        return tuple(share / sum(self.shares) for share in self.shares)


@dataclass(frozen=True)
class HybridAlphabet(Alphabet):
    """The alphabet of one hybrid."""

    hybrid: Hybrid  # type: ignore[misc]  # the others have none

    __hash__: ClassVar = Alphabet.__hash__

    def alone(self, number: int) -> LivClass:
        """The letter of one component by itself."""
        parts = self.hybrid.parts
        shares = tuple(parts * (n == number) for n in range(len(self.hybrid.components)))
        return next(letter for letter in self.classes if getattr(letter, "shares", ()) == shares)


def compositions(parts: int, components: int) -> list[tuple[int, ...]]:
    """All ways to give so many parts to components, the first one's falling: 4-0, 3-1, 2-2, 1-3,
    0-4 of four parts and two components."""
    found = []
    for bars in combinations(range(parts + components - 1), components - 1):
        places = (-1, *bars, parts + components - 1)
        found.append(tuple(b - a - 1 for a, b in pairwise(places)))
    return sorted(found, reverse=True)


def hybrid_alphabet(name: str, hybrid: Hybrid, digest: str) -> HybridAlphabet:
    """The alphabet of a hybrid. Raises `GenomeError` for one that contradicts itself.

    Args:
        name: `hybrid:` and the folder.
        hybrid: what the letters mix.
        digest: of it.
    """
    hybrid.check()
    names = [component.name for component in hybrid.components]
    letters = []
    for number, shares in enumerate(compositions(hybrid.parts, len(names)), start=1):
        words = [f"{share} {who}" for share, who in zip(shares, names, strict=True) if share]
        text, description = "-".join(map(str, shares)), f"of {hybrid.parts} " + ", ".join(words)
        row = (number, f"Mix-{text}", _OPERATOR, description, False, shares, digest)
        letters.append(Mixture(*row))
    if hybrid.mixture:
        description = "the mixture that was found for the block"
        number = len(letters) + 1
        letters.append(Mixture(number, FOUND, _OPERATOR, description, False, (), digest))
    return HybridAlphabet(name, tuple(letters), hybrid)
