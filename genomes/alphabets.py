"""The alphabet of backbones: LIV classes, each an operator genome (`operators.py`), plain or
differential.

A backbone genome (`genome.py`) is a sequence of LIV classes with their sharing genes. Source: STAR
(arXiv 2411.17800), with the project's own choices where the paper is silent (docs/search_space.md).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, ClassVar

from . import structures as structures  # fills the table that codes are read with
from .class_table import EXTENDED, FIRST_FREE, LAST_FREE, RELEASED, STAR, UNNAMED, ClassRow
from .errors import GenomeError
from .operators import LivClass, read_code

if TYPE_CHECKING:
    from .hybrids import Hybrid

HYBRID = "hybrid:"  # and the folder of one: an alphabet whose letters are mixtures


@dataclass(frozen=True)
class Alphabet:
    """A named set of LIV classes; `classes` are unique by id."""

    name: str
    classes: tuple[LivClass, ...]
    # of alphabets whose letters mix pretrained components (`hybrids.py`)
    hybrid: ClassVar["Hybrid | None"] = None

    def __hash__(self) -> int:
        """Of name and ids: tables are cached by alphabet, and are asked for often."""
        return hash((self.name, self.ids))

    @cached_property
    def by_id(self) -> dict[int, LivClass]:
        """LIV classes by id."""
        return {liv_class.id: liv_class for liv_class in self.classes}

    @cached_property
    def ids(self) -> tuple[int, ...]:
        """All class ids, ascending."""
        return tuple(sorted(self.by_id))

    @cached_property
    def by_code(self) -> dict[str, LivClass]:
        """LIV classes by code."""
        return {liv_class.code: liv_class for liv_class in self.classes}

    def neighbours(self, class_id: int) -> list[int]:
        """Ids of classes, ascending, whose operator differs from this one's in one gene
        (`OperatorGenome.neighbours`).

        Plain or differential is a gene too; a class becomes plain where the other structure has no
        differential form.
        """
        own = self.by_id[class_id]
        wanted = {(own.operator, not own.differential)}
        wanted |= {(o, own.differential and o.has_differential) for o in own.operator.neighbours()}
        return [
            number
            for number in self.ids
            if (self.by_id[number].operator, self.by_id[number].differential) in wanted
        ]

    def restricted(self, names: Iterable[str]) -> "Alphabet":
        """The alphabet with the named classes only, under their ids; with all of them when none is
        named.

        Raises `GenomeError` for a name that it does not have.
        """
        wanted = set(names)
        unknown = sorted(wanted - {liv_class.name for liv_class in self.classes})
        if unknown:
            available = ", ".join(liv_class.name for liv_class in self.classes)
            raise GenomeError(
                f"class {unknown[0]!r} is unknown in alphabet {self.name}; available: {available}"
            )
        kept = tuple(c for c in self.classes if c.name in wanted or not wanted)
        return self if kept == self.classes else replace(self, classes=kept)


def _named(rows: Iterable[ClassRow]) -> tuple[LivClass, ...]:
    classes = []
    for row in rows:
        operator, differential = read_code(row.code)
        classes.append(LivClass(row.id, row.name, operator, row.description, differential))
    return tuple(classes)


ALPHABETS: dict[str, Alphabet] = {
    "star": Alphabet("star", _named(STAR)),
    "extended": Alphabet("extended", _named(STAR + EXTENDED)),
    "released": Alphabet("released", _named(STAR + EXTENDED + RELEASED)),
}

OPERATORS = "+operators"  # behind the name of an alphabet: it has every other class too
WIDEST = f"extended{OPERATORS}"  # the alphabet that has every class there is


@cache
def with_operators(alphabet: Alphabet) -> Alphabet:
    """An alphabet with every class that has an id: those of valid operators, plain and differential
    where the structure allows, named or not."""
    if alphabet.name.endswith(OPERATORS):
        return alphabet
    unnamed = (LivClass.unnamed(number, *read_code(code)) for code, number in UNNAMED.items())
    return Alphabet(alphabet.name + OPERATORS, (*ALPHABETS["released"].classes, *unnamed))


def get_alphabet(alphabet: "str | Alphabet") -> Alphabet:
    """The alphabet of that name, or the alphabet itself; `<name>+operators` is `with_operators` of
    it, `hybrid:<folder>` that of a hybrid's blocks.

    Raises `GenomeError` for an unknown name, and for a folder that holds no hybrid.
    """
    if isinstance(alphabet, Alphabet):
        return alphabet
    if alphabet.startswith(HYBRID):
        from .hybrids import read_hybrid

        return read_hybrid(alphabet.removeprefix(HYBRID))
    if alphabet.endswith(OPERATORS):
        return with_operators(get_alphabet(alphabet.removesuffix(OPERATORS)))
    if alphabet not in ALPHABETS:
        raise GenomeError(
            f"alphabet {alphabet!r} is unknown; available: {', '.join(sorted(ALPHABETS))}"
        )
    return ALPHABETS[alphabet]


def register_class(
    name: str, code: str, description: str, id: int, differential: bool = False
) -> None:
    """Add a class to the alphabets `extended` and `released`, for an operator that has none yet.

    To register the same class again is harmless. Alphabets that were asked for before stay as they
    are.

    Args:
        name: what restrictions of an alphabet call it.
        code: of its operator, such as `20.4.1.1.1`; its structure is registered
            (`register_structure`).
        description: one line for people.
        id: from 10,000 on, so that it is never one of ours.
        differential: whether it is the differential form of the operator.

    Raises:
        GenomeError: the code is not valid, name, code or id belong to another class, or a function
            of the structure does not count.
    """
    operator, differential = read_code(code + "d" * differential)
    added = LivClass(id, name, operator, description, differential)
    if not FIRST_FREE <= id <= LAST_FREE:
        raise GenomeError(
            f"class {name!r}: id {id}, expected {FIRST_FREE} to {LAST_FREE} for a class of yours"
        )
    for other in get_alphabet("extended" + OPERATORS).classes:
        if other == added:
            return
        for field in ("name", "code", "id"):
            if getattr(other, field) == getattr(added, field):
                raise GenomeError(
                    f"class {name!r}: {field} {getattr(added, field)!r} is that of {other.name} "
                    f"(id {other.id}, code {other.code})"
                )
    added.check_counts()
    for name in ("extended", "released"):
        ALPHABETS[name] = Alphabet(name, (*ALPHABETS[name].classes, added))
    with_operators.cache_clear()
