"""The two lower alphabets of the search space as literal tables: featurizers, and the operators
made with them.

A featurizer genome is summarised by its *featurizer class*, an operator genome by its *LIV class*
(`alphabets.py`). Adding a row here adds the feature everywhere: costs and decoding read these
tables and nothing else. Source: STAR (arXiv 2411.17800), with the project's own choices where the
paper is silent (docs/search_space.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from .errors import GenomeError

DIAGONAL, LOW_RANK, TOEPLITZ, SEMI_SEPARABLE = 1, 2, 3, 4
NO_SPARSITY, BANDED = 1, 2
IDENTITY, SOFTMAX, RELU, SWISH = 1, 2, 3, 4
PER_CHANNEL, DENSE, GROUPED = 1, 2, 3

SPARSITIES = {NO_SPARSITY: "none", BANDED: "banded"}
NONLINEARITIES = {IDENTITY: "none", SOFTMAX: "softmax", RELU: "relu", SWISH: "swish"}
CHANNEL_MIXINGS = {PER_CHANNEL: "diagonal", DENSE: "dense", GROUPED: "grouped"}


@dataclass(frozen=True)
class FeatureGroup:
    """One feature group of a featurizer genome.

    `form` says how the group is computed: `projection` (dense from the input, then an optional
    short depthwise convolution and a nonlinearity), `step_size` and `state_input` (from the V
    features, as in Mamba), `delta_transition` (a decay and a writing strength a head, from the
    input), `explicit_kernel` and `implicit_kernel` (convolution kernels that do not depend on the
    input). `expansion` is the group's width divided by the model width, before `repeat` copies it
    along the channels.
    """

    name: str
    token_mixing: int = DIAGONAL
    sparsity: int = NO_SPARSITY
    nonlinearity: int = IDENTITY
    channel_mixing: int = DENSE
    expansion: Fraction = Fraction(1)
    repeat: int = 1
    form: str = "projection"
    kernel_length: int = 0
    bias: bool = False


def _projections(names: str, **fields: object) -> tuple[FeatureGroup, ...]:
    return tuple(FeatureGroup(name, **fields) for name in names)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Featurizer:
    """A featurizer genome: its feature groups, and the state size per channel where a recurrence
    needs one."""

    groups: tuple[FeatureGroup, ...]
    state: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the feature groups, in the order in which they are computed."""
        return tuple(group.name for group in self.groups)

    @property
    def repeat(self) -> int:
        """How often B and V are copied along the channels (grouped-query attention); 1 without
        copies."""
        return max(group.repeat for group in self.groups)


def _grouped_query(repeat: int) -> Featurizer:
    shared = {"expansion": Fraction(1, repeat), "repeat": repeat}
    return Featurizer((FeatureGroup("C"), *_projections("BV", **shared)))


def _selective(state: int) -> Featurizer:
    """Mamba's featurizer: V is convolved (length 4) and passed through swish; A, B, C are computed
    from V."""
    return Featurizer(
        (
            FeatureGroup("V", TOEPLITZ, nonlinearity=SWISH, kernel_length=4, bias=True),
            FeatureGroup("G", nonlinearity=SWISH),
            FeatureGroup("A", form="step_size", bias=True),
            FeatureGroup("B", form="state_input"),
            FeatureGroup("C", form="state_input"),
        ),
        state=state,
    )


def _gated_delta() -> Featurizer:
    """Gated DeltaNet's featurizer: queries, keys and values are convolved (length 4) and passed
    through swish."""
    convolved = _projections("BCV", token_mixing=TOEPLITZ, nonlinearity=SWISH, kernel_length=4)
    gate = FeatureGroup("G", nonlinearity=SWISH)
    return Featurizer((*convolved, gate, FeatureGroup("A", form="delta_transition", bias=True)))


def _gated_convolution(form: str, kernel_length: int) -> Featurizer:
    kernel = FeatureGroup(
        "K", TOEPLITZ, channel_mixing=PER_CHANNEL, form=form, kernel_length=kernel_length
    )
    return Featurizer((*_projections("BCV"), kernel))


FEATURIZERS: dict[int, Featurizer] = {
    1: Featurizer(_projections("CBV")),
    2: Featurizer(_projections("CBV", token_mixing=TOEPLITZ, kernel_length=3)),
    3: _grouped_query(repeat=4),
    4: _grouped_query(repeat=2),
    5: _selective(state=16),
    6: _selective(state=2),
    7: _gated_convolution("explicit_kernel", kernel_length=3),
    8: _gated_convolution("implicit_kernel", kernel_length=0),
    9: Featurizer(_projections("CV", expansion=Fraction(8, 3))),
    10: _gated_delta(),
}


@dataclass(frozen=True)
class Structure:
    """A token-mixing structure: which feature groups it needs, which may be borrowed, which
    operators are valid.

    A row is chosen by token mixing and channel mixing: one T per channel or per head makes another
    structure.

    `sharing` maps each `feature_sharing` strategy to the groups that borrowers take from the owner.
    `paired` are the groups that a differential operator needs at full width for each of its two
    operators; low-rank pairs split the head width instead (arXiv 2410.05258), so nothing is
    doubled.
    """

    name: str
    formula: str
    groups: tuple[str, ...]
    sharing: dict[int, tuple[str, ...]]
    paired: tuple[str, ...]
    featurizers: tuple[int, ...]
    sparsities: tuple[int, ...]
    nonlinearities: tuple[int, ...]
    differential: bool = True


_STATE_SHARING = {2: ("B", "C"), 3: ("A", "B", "C"), 4: ("A",), 5: ("V",)}

STRUCTURES: dict[tuple[int, int], Structure] = {
    (DIAGONAL, DENSE): Structure(
        "diagonal", "s(C_i) if i = j", ("C", "V"), {2: ("C",), 3: ("V",)}, (),
        (9,), (NO_SPARSITY,), (IDENTITY, RELU, SWISH), differential=False,
    ),
    (LOW_RANK, GROUPED): Structure(
        "low-rank", "s(C_i B_j)", ("C", "B", "V"), {2: ("B", "V"), 3: ("B",), 4: ("V",), 5: ("C", "B")}, (),
        (1, 2, 3, 4), (NO_SPARSITY, BANDED), (IDENTITY, SOFTMAX, RELU, SWISH),
    ),
    (TOEPLITZ, PER_CHANNEL): Structure(
        "scaled Toeplitz", "C_i K_(i-j) B_j", ("B", "C", "K", "V"),
        {2: ("B", "C"), 3: ("K",), 4: ("B", "C", "K"), 5: ("V",)}, ("B", "C", "K"),
        (7, 8), (NO_SPARSITY,), (IDENTITY,),
    ),
    (SEMI_SEPARABLE, PER_CHANNEL): Structure(
        "semi-separable", "C_i A_i ... A_(j+1) B_j", ("A", "B", "C", "V"), _STATE_SHARING, ("A", "B", "C"),
        (5, 6), (NO_SPARSITY,), (IDENTITY,),
    ),
    (SEMI_SEPARABLE, GROUPED): Structure(
        "matrix-valued "
        "state", "C_i A_i ... A_(j+1) B_j", ("A", "B", "C", "V"), _STATE_SHARING, ("A", "B", "C"),
        (10,), (NO_SPARSITY,), (IDENTITY,),
    ),
}  # fmt: skip


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
        if len(parts) != 5 or not all(part.isdecimal() and part.isascii() for part in parts):
            raise GenomeError(
                f"operator genome {code!r}: expected five digits such as 12123, or five numbers "
                f"such as 10.4.1.1.3"
            )
        operator = cls(*map(int, parts))
        if operator not in VALID_OPERATORS:
            valid = " ".join(o.code for o in VALID_OPERATORS)
            raise GenomeError(f"operator genome {code!r} is not valid; valid ones: {valid}")
        return operator

    @property
    def code(self) -> str:
        """Five digits, or five numbers joined by dots when one has two digits."""
        return ("" if max(self) < 10 else ".").join(map(str, self))

    @property
    def structure(self) -> Structure:
        """The token-mixing structure's row."""
        return STRUCTURES[self.token_mixing, self.channel_mixing]

    @property
    def groups(self) -> tuple[FeatureGroup, ...]:
        """The featurizer's feature groups."""
        return FEATURIZERS[self.featurizer].groups

    @property
    def state(self) -> int:
        """State size per channel of a semi-separable operator, else 0."""
        return FEATURIZERS[self.featurizer].state

    def neighbours(self) -> "Iterator[OperatorGenome]":
        """Valid operators that differ in one gene, with the genes that must go with it.

        Featurizer, sparsity or nonlinearity differ alone. Token mixing and channel mixing differ
        together, as a structure, and take another featurizer with them, since every structure has
        its own; sparsity and nonlinearity stay where the other structure has them, and take any of
        its values otherwise.
        """
        for other in VALID_OPERATORS:
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


VALID_OPERATORS: tuple[OperatorGenome, ...] = tuple(
    OperatorGenome(featurizer, token_mixing, sparsity, nonlinearity, channel_mixing)
    for (token_mixing, channel_mixing), structure in STRUCTURES.items()
    for featurizer in structure.featurizers
    for sparsity in structure.sparsities
    for nonlinearity in structure.nonlinearities
)
