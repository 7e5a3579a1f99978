"""The two lower alphabets of the search space: structures with their featurizers, and the operators
and classes made with them.

A featurizer genome is summarised by its number, the *featurizer class*; an operator genome by its
*LIV class*. `structures/` holds the structures, one file each; here is what they are made of, the
table they are entered into, and how an operator finds its own. Source: STAR (arXiv 2411.17800),
with the project's own choices where the paper is silent (docs/search_space.md).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from numbers import Integral
from typing import NamedTuple

from star.base.errors import plain, shown

from .errors import GenomeError
from .genes import NOT_SHARED, STRATEGIES
from .model_config import ModelConfig

DIAGONAL, LOW_RANK, TOEPLITZ, SEMI_SEPARABLE = 1, 2, 3, 4  # token mixing
NO_SPARSITY, BANDED = 1, 2
IDENTITY, SOFTMAX, RELU, SWISH = 1, 2, 3, 4  # nonlinearity
PER_CHANNEL, DENSE, GROUPED = 1, 2, 3  # channel mixing

SPARSITIES = {NO_SPARSITY: "none", BANDED: "banded"}
NONLINEARITIES = {IDENTITY: "none", SOFTMAX: "softmax", RELU: "relu", SWISH: "swish"}

PROJECTION = "projection"  # the form that every structure may use


@dataclass(frozen=True)
class FeatureGroup:
    """One feature group of a featurizer genome."""

    name: str
    form: str = PROJECTION  # or one of its structure's `forms`
    nonlinearity: int = IDENTITY  # IDENTITY or SWISH, behind a projection
    expansion: Fraction = Fraction(1)  # width / model width, before `repeat`
    channels: int | None = None  # the width, where it is the same at every model width
    grouped: bool = False  # as wide for each of `model.recurrent_groups`, groups of heads
    repeat: int = 1  # copies along the channels, as in grouped-query attention
    kernel_length: int = 0  # of the short convolution behind a projection, or of a kernel
    bias: bool = False  # of that convolution


def projections(names: str, **fields: object) -> tuple[FeatureGroup, ...]:
    """One projected feature group for each letter of `names`, all with the same fields."""
    return tuple(FeatureGroup(name, **fields) for name in names)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Featurizer:
    """A featurizer genome: its feature groups in the order in which they are computed, and what
    its structure does with them.

    Attributes:
        groups: in that order.
        state: size of a recurrence's state, where it needs one.
        rotary: share of a head's channels that rotary positions turn.
        proportional: whether the turned channels have the frequencies that they would have if all
            were turned, instead of those of a head as wide as they are.
        rotary_base: in place of `model.rope_base`.
        window: of banded operators, in place of `model.window`.
        sparsities, nonlinearities: those of the structure's that it is for; None is all.
        differential: whether it has differential forms where its structure does.
    """

    groups: tuple[FeatureGroup, ...]
    state: int = 0
    rotary: Fraction = Fraction(1)
    proportional: bool = False
    rotary_base: float | None = None
    window: int | None = None
    sparsities: tuple[int, ...] | None = None
    nonlinearities: tuple[int, ...] | None = None
    differential: bool = True


# Parameters of one feature group at a model's sizes, for one operator.
FormParameters = Callable[[FeatureGroup, "LivClass", ModelConfig], int]
# Multiply-adds of one feature group for one position, likewise.
FormProducts = Callable[[FeatureGroup, "LivClass", ModelConfig], int]
# A structure's own parameters at a model's sizes.
OwnParameters = Callable[["LivClass", ModelConfig], int]
# Elements of generation cache of one LIV and one sequence: class, borrowed groups, sizes, context.
CacheElements = Callable[["LivClass", tuple[str, ...], ModelConfig, int], int]
# Multiply-adds of T applied to V for the last of `context` positions, with the same arguments.
MixingProducts = CacheElements


def nothing_of_its_own(liv_class: "LivClass", model: ModelConfig) -> int:
    """The parameters of a structure whose weights are all its featurizer's."""
    return 0


def nothing_remembered(
    liv_class: "LivClass", borrowed: tuple[str, ...], model: ModelConfig, context: int
) -> int:
    """The cache of a structure that looks at the present position alone."""
    return 0


@dataclass(frozen=True)
class Structure:
    """A token-mixing structure: how feature groups become T, and what that costs.

    Two structures are equal when their data are; functions are not compared, so that a module may
    be imported twice.

    Attributes:
        name: also how operators without a name are described.
        token_mixing, channel_mixing: genes of its operators; structures may have both in common.
        groups: feature groups that T and V are made of; every featurizer has them, or more.
        sharing: `feature_sharing` strategies (2 to 5), each with the groups that borrowers take
            from the owner. Each leaves a borrower a group of its own.
        featurizers: by number, unique among all structures: an operator finds its structure by it.
        cache: elements of generation cache that are written once (keys, values, last inputs),
            besides the short convolutions of projections.
        states: elements of generation cache that every position adds to, kept in
            `cache.state_dtype`: rounded to bfloat16, they stop growing.
        parameters: weights of its own, which are never shared.
        forms: parameter counts of the forms of feature groups that only it has.
        products: multiply-adds of T applied to V for one position (`flops.py` has the rule);
            None where nobody has counted them: `flops_per_token` is then refused.
        form_products: multiply-adds of one group of each of `forms`; one that is missing has
            not been counted either.
        paired: groups that a differential operator needs at full width for each of its two
            operators; none where they split the head width instead (arXiv 2410.05258).
        input_free: groups that do not depend on the input: to borrow them and to tie their
            weights are the same. A strategy borrows all of them or none.
        inner: the size in `ModelConfig` that gives its channels, where that is set
            (`attention_width` and its like); empty where they always follow from the width.
        sparsities, nonlinearities: valid values of these genes.
        differential: whether there is a differential form.
    """

    name: str
    token_mixing: int
    channel_mixing: int
    groups: tuple[str, ...]
    sharing: Mapping[int, tuple[str, ...]]
    featurizers: Mapping[int, Featurizer]
    cache: CacheElements = field(default=nothing_remembered, compare=False)
    states: CacheElements = field(default=nothing_remembered, compare=False)
    parameters: OwnParameters = field(default=nothing_of_its_own, compare=False)
    forms: Mapping[str, FormParameters] = field(default_factory=dict, compare=False)
    products: MixingProducts | None = field(default=None, compare=False)
    form_products: Mapping[str, FormProducts] = field(default_factory=dict, compare=False)
    paired: tuple[str, ...] = ()
    input_free: tuple[str, ...] = ()
    inner: str = ""
    sparsities: tuple[int, ...] = (NO_SPARSITY,)
    nonlinearities: tuple[int, ...] = (IDENTITY,)
    differential: bool = True

    def check(self) -> None:
        """Raise `GenomeError` for a structure whose fields contradict each other."""
        groups, input_free = set(self.groups), set(self.input_free)
        borrowed = [set(names) for names in self.sharing.values()]
        forms = {PROJECTION, *self.forms}
        made = [group for featurizer in self.featurizers.values() for group in featurizer.groups]
        problems = {
            f"sharing: expected strategies 2 to {STRATEGIES - 1}, not {sorted(self.sharing)}": any(
                not NOT_SHARED < strategy < STRATEGIES for strategy in self.sharing
            ),
            f"paired, input_free and sharing: expected names of {self.groups} only": any(
                names - groups for names in (set(self.paired), input_free, *borrowed)
            ),
            "sharing: expected that a strategy borrows some groups, and not all of them": any(
                not names or names == groups for names in borrowed
            ),
            "sharing: two strategies borrow the same groups": any(
                borrowed.count(names) > 1 for names in borrowed
            ),
            f"sharing: expected that a strategy borrows all of {self.input_free} or none": any(
                names & input_free not in (set(), input_free) for names in borrowed
            ),
            f"featurizers: expected that each has the groups {self.groups}": any(
                groups - {group.name for group in featurizer.groups}
                for featurizer in self.featurizers.values()
            ),
            f"featurizers: expected forms of {', '.join(sorted(forms))} only": any(
                group.form not in forms for group in made
            ),
        }
        for problem, holds in problems.items():
            if holds:
                raise GenomeError(f"structure {self.name!r}: {problem}")

    @property
    def input_free_strategy(self) -> int:
        """The strategy that borrows the input-free groups and no other; 0 without one."""
        free = set(self.input_free)
        return next((n for n, names in self.sharing.items() if free and set(names) == free), 0)

    @property
    def without_input_free(self) -> dict[int, int]:
        """Strategies that borrow input-free groups and others, each with the strategy that borrows
        only those others, where there is one."""
        return {
            number: other
            for number, names in self.sharing.items()
            for other, fewer in self.sharing.items()
            if other != number and set(fewer) == set(names) - set(self.input_free)
        }


STRUCTURES: dict[str, Structure] = {}  # filled by `structures/__init__.py`, then by users
_BY_FEATURIZER: dict[int, Structure] = {}


def register_structure(structure: Structure) -> None:
    """Enter a structure into the search space; its operators are valid from then on.

    To register an equal one again is harmless. Raises `GenomeError` for a structure that
    contradicts itself, and for a name or a featurizer number that another structure has.
    """
    structure.check()
    if STRUCTURES.get(structure.name, structure) != structure:
        raise GenomeError(f"structure {structure.name!r} exists already, with other fields")
    for number in structure.featurizers:
        owner = _BY_FEATURIZER.get(number, structure)
        if owner.name != structure.name:
            raise GenomeError(
                f"structure {structure.name!r}: featurizer {number} is one of {owner.name!r}"
            )
    STRUCTURES[structure.name] = structure
    _BY_FEATURIZER.update(dict.fromkeys(structure.featurizers, structure))
    valid_operators.cache_clear()


class OperatorGenome(NamedTuple):
    """Five integers that define an operator, written as a code such as `12123`, or `10.4.1.1.3`
    when one has two digits."""

    featurizer: int
    token_mixing: int
    sparsity: int
    nonlinearity: int
    channel_mixing: int

    @classmethod
    def from_code(cls, code: str) -> "OperatorGenome":
        """Read a code. Raises `GenomeError` unless it is a valid operator genome."""
        parts = code.split(".") if "." in code else list(code)
        is_number = [part.isdecimal() and part.isascii() and len(part) < 10 for part in parts]
        if len(parts) != 5 or not all(is_number):
            raise GenomeError(
                f"operator genome {shown(code, 60)!r}: expected five digits such as 12123, or five "
                f"numbers such as 10.4.1.1.3"
            )
        operator = cls(*map(int, parts))
        if operator not in valid_operators():
            valid = " ".join(o.code for o in valid_operators())
            raise GenomeError(f"operator genome {code!r} is not valid; valid ones: {valid}")
        return operator

    @property
    def code(self) -> str:
        """Five digits, or five numbers joined by dots when one has two digits."""
        return ("" if max(self) < 10 else ".").join(map(str, self))

    @property
    def structure(self) -> Structure:
        """The structure that its featurizer belongs to."""
        return _BY_FEATURIZER[self.featurizer]

    @property
    def made_by(self) -> Featurizer:
        """The featurizer of that number."""
        return self.structure.featurizers[self.featurizer]

    @property
    def has_differential(self) -> bool:
        """Whether it has a differential form."""
        return self.structure.differential and self.made_by.differential

    @property
    def groups(self) -> tuple[FeatureGroup, ...]:
        """The featurizer's feature groups."""
        return self.made_by.groups

    def group(self, name: str) -> FeatureGroup:
        """The featurizer's feature group of that name."""
        return next(group for group in self.groups if group.name == name)

    @property
    def state(self) -> int:
        """State size of a semi-separable operator whose state is not a head's width, else 0."""
        return self.made_by.state

    def neighbours(self) -> "Iterator[OperatorGenome]":
        """Valid operators that differ in one gene, with the genes that must go with it.

        Featurizer, sparsity or nonlinearity differ alone. Token mixing and channel mixing differ
        together, as a structure, and take another featurizer with them, since every structure has
        its own; sparsity and nonlinearity stay where the other structure has them, and take any of
        its values otherwise.
        """
        for other in valid_operators():
            if other.structure is self.structure:
                if sum(a != b for a, b in zip(self, other, strict=True)) == 1:
                    yield other
            elif other.sparsity == _kept(
                self.sparsity, other.sparsity, other.structure.sparsities
            ) and (
                other.nonlinearity
                == _kept(self.nonlinearity, other.nonlinearity, other.structure.nonlinearities)
            ):
                yield other


def _kept(value: int, replacement: int, allowed: tuple[int, ...]) -> int:
    return value if value in allowed else replacement


@cache
def valid_operators() -> tuple[OperatorGenome, ...]:
    """Every valid operator genome, structure by structure."""
    return tuple(
        OperatorGenome(
            featurizer, structure.token_mixing, sparsity, nonlinearity, structure.channel_mixing
        )
        for structure in STRUCTURES.values()
        for featurizer, made in structure.featurizers.items()
        for sparsity in made.sparsities or structure.sparsities
        for nonlinearity in made.nonlinearities or structure.nonlinearities
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

    def check_counts(self) -> None:
        """Call every function of its structure once, at the usual sizes.

        Raises `GenomeError` for one that fails, or gives something else than a whole number from 0.
        """
        structure = self.operator.structure
        for name, function, given in self._counts(structure, ModelConfig()):
            try:
                count = function(*given)
            except GenomeError:  # of a width that it cannot have
                continue
            except Exception as error:  # whatever a user's function raises
                reason = shown(plain(f"{type(error).__name__}: {error}"))
                message = f"structure {structure.name!r}: {name} fails ({reason})"
                raise GenomeError(message) from None
            if isinstance(count, bool) or not isinstance(count, Integral) or int(count) < 0:
                raise GenomeError(
                    f"structure {structure.name!r}: {name} gave {shown(repr(count), 60)}, expected "
                    "a whole number from 0"
                )

    def _counts(
        self, structure: Structure, sizes: ModelConfig
    ) -> Iterator[tuple[str, Callable[..., object], tuple[object, ...]]]:
        """The functions of its structure with their arguments, by the field that names them."""
        yield "parameters=", structure.parameters, (self, sizes)
        for group in self.operator.groups:
            for name, functions in (
                ("forms", structure.forms),
                ("form_products", structure.form_products),
            ):
                if group.form in functions:
                    arguments = (group, self, sizes)
                    yield f"{name}[{group.form!r}]", functions[group.form], arguments
        for borrowed in ((), *structure.sharing.values()):
            for name, function in (
                ("cache=", structure.cache),
                ("states=", structure.states),
                ("products=", structure.products),
            ):
                if function is not None:
                    yield name, function, (self, borrowed, sizes, sizes.window)


def read_code(code: str) -> tuple[OperatorGenome, bool]:
    """The operator of a class' code, and whether it is differential. Raises `GenomeError` for no
    class' code."""
    operator, differential = OperatorGenome.from_code(code.removesuffix("d")), code.endswith("d")
    if differential and not operator.has_differential:
        raise GenomeError(
            f"operator genome {code!r}: {operator.structure.name} operators of featurizer "
            f"{operator.featurizer} have no differential form"
        )
    return operator, differential
