"""The alphabet of backbones: LIV classes, each an operator genome (`operators.py`), plain or
differential.

A backbone genome (`genome.py`) is a sequence of LIV classes with their sharing genes. Adding a row
here adds the class everywhere. Source: STAR (arXiv 2411.17800), with the project's own choices
where the paper is silent (docs/search_space.md).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property

from .errors import GenomeError
from .operators import (
    IDENTITY,
    NO_SPARSITY,
    NONLINEARITIES,
    SPARSITIES,
    VALID_OPERATORS,
    OperatorGenome,
)


@dataclass(frozen=True)
class LivClass:
    """One letter of the backbone alphabet: an operator genome, plain or differential."""

    id: int
    name: str
    operator: OperatorGenome
    description: str
    differential: bool = False

    @classmethod
    def unnamed(
        cls, number: int, operator: OperatorGenome, differential: bool = False
    ) -> "LivClass":
        """The class of an operator that no table names: its name is the code, its description is
        made of the genes."""
        genes = [NONLINEARITIES[operator.nonlinearity]] if operator.nonlinearity != IDENTITY else []
        genes += [SPARSITIES[operator.sparsity]] if operator.sparsity != NO_SPARSITY else []
        words = ", ".join([operator.structure.name, *genes, f"featurizer {operator.featurizer}"])
        name, description = f"Op-{operator.code}", words
        if differential:
            name, description = f"{name}-Diff", f"differential {words}"
        return cls(number, name, operator, description, differential)

    @property
    def code(self) -> str:
        """The operator's code, with `d` behind it for a differential class: the same whatever the
        alphabet."""
        return self.operator.code + ("d" if self.differential else "")


def read_code(code: str) -> tuple[OperatorGenome, bool]:
    """The operator of a class' code, and whether it is differential. Raises `GenomeError` for no
    class' code."""
    operator, differential = OperatorGenome.from_code(code.removesuffix("d")), code.endswith("d")
    if differential and not operator.structure.differential:
        raise GenomeError(
            f"operator genome {code!r}: {operator.structure.name} operators have no differential "
            f"form"
        )
    return operator, differential


@dataclass(frozen=True)
class Alphabet:
    """A named set of LIV classes; `classes` are unique by id."""

    name: str
    classes: tuple[LivClass, ...]

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
        wanted |= {
            (o, own.differential and o.structure.differential) for o in own.operator.neighbours()
        }
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
        return (
            Alphabet(self.name, tuple(c for c in self.classes if c.name in wanted))
            if wanted
            else self
        )

    @classmethod
    def from_operators(
        cls, name: str, codes: Iterable[str], differential: bool = False
    ) -> "Alphabet":
        """An alphabet of the given operator codes, ids from 1. Raises `GenomeError` for an invalid
        code."""
        return cls(
            name,
            tuple(
                LivClass.unnamed(number, OperatorGenome.from_code(code), differential)
                for number, code in enumerate(codes, start=1)
            ),
        )


_PLAIN: tuple[tuple[str, str, str], ...] = (
    ("SA-1", "12123", "softmax attention"),
    ("SA-2", "22123", "softmax attention with short convolutions"),
    ("SA-3", "32123", "grouped-query attention, keys/values x4"),
    ("SA-4", "42123", "grouped-query attention, keys/values x2"),
    ("Rec-1", "54111", "selective state space, state 16"),
    ("Rec-2", "64111", "selective state space, state 2"),
    ("GConv-1", "73111", "gated short convolution, length 3"),
    ("GConv-2", "83111", "gated long convolution, implicit kernel"),
    ("GMemless", "91142", "SwiGLU"),
)
_EXTENDED: tuple[tuple[str, str, str], ...] = (
    ("LinAttn", "12113", "linear attention, fixed state"),
    ("SA-3-Band", "32223", "grouped-query sliding-window attention"),
    ("ReLUAttn", "12133", "ReLU attention"),
    ("SwishAttn", "12143", "swish attention"),
    ("GatedDelta", "10.4.1.1.3", "gated delta rule, matrix-valued state"),
)


def _classes(
    rows: Iterable[tuple[str, str, str]], first_id: int, differential: bool = False
) -> tuple[LivClass, ...]:
    suffix, prefix = ("-Diff", "differential ") if differential else ("", "")
    return tuple(
        LivClass(
            first_id + n, name + suffix, OperatorGenome.from_code(code), prefix + text, differential
        )
        for n, (name, code, text) in enumerate(rows)
    )


_STAR_CLASSES = _classes(_PLAIN, 1) + _classes(_PLAIN[:8], 10, differential=True)

ALPHABETS: dict[str, Alphabet] = {
    "star": Alphabet("star", _STAR_CLASSES),
    "extended": Alphabet("extended", _STAR_CLASSES + _classes(_EXTENDED, 18)),
}


FIRST_OPERATOR = 100  # id, above those of named classes
OPERATORS = "+operators"  # behind the name of an alphabet: it has every other valid operator too


@cache
def with_operators(alphabet: Alphabet) -> Alphabet:
    """An alphabet with a class for every valid operator, plain and differential where its structure
    allows.

    Classes of the named alphabets have their ids; the others are numbered from `FIRST_OPERATOR` on
    by their place in `VALID_OPERATORS`, two ids for each, since CSVs and ledgers hold ids: they are
    the same whatever the alphabet, and what is added to the tables behind the others changes none.
    """
    if alphabet.name.endswith(OPERATORS):
        return alphabet
    named = ALPHABETS["extended"]
    added = (
        LivClass.unnamed(FIRST_OPERATOR + 2 * place + differential, operator, differential)
        for place, operator in enumerate(VALID_OPERATORS)
        for differential in (False, True)
        if operator.structure.differential or not differential
    )
    unnamed = tuple(liv_class for liv_class in added if liv_class.code not in named.by_code)
    return Alphabet(alphabet.name + OPERATORS, named.classes + unnamed)


def get_alphabet(alphabet: "str | Alphabet") -> Alphabet:
    """The alphabet of that name, or the alphabet itself; `<name>+operators` is `with_operators` of
    it.

    Raises `GenomeError` for an unknown name.
    """
    if isinstance(alphabet, Alphabet):
        return alphabet
    if alphabet.endswith(OPERATORS):
        return with_operators(get_alphabet(alphabet.removesuffix(OPERATORS)))
    if alphabet not in ALPHABETS:
        raise GenomeError(
            f"alphabet {alphabet!r} is unknown; available: {', '.join(sorted(ALPHABETS))}"
        )
    return ALPHABETS[alphabet]
