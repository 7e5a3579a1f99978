"""Low-rank, `T_ij = s(C_i B_j)` a head: attention, and linear attention where s is the identity and
every position is visible."""

from fractions import Fraction

from ..model_config import ModelConfig, head_width
from ..operators import (
    BANDED,
    GROUPED,
    IDENTITY,
    LOW_RANK,
    NO_SPARSITY,
    RELU,
    SOFTMAX,
    SWISH,
    FeatureGroup,
    Featurizer,
    LivClass,
    OperatorGenome,
    Structure,
    projections,
)
from ..widths import group_width, inner_width


def is_linear(operator: OperatorGenome) -> bool:
    """Whether the operator remembers the sum of `B_j V_j` and not every B and V."""
    return operator.nonlinearity == IDENTITY and operator.sparsity != BANDED


def owns_sum(borrowed: tuple[str, ...]) -> bool:
    """Whether a linear LIV keeps a sum of its own: unless it borrows both B and V, whose sum is the
    owner's."""
    return not {"B", "V"} <= set(borrowed)


def _keys_and_values(
    liv_class: LivClass, borrowed: tuple[str, ...], model: ModelConfig, context: int
) -> int:
    operator = liv_class.operator
    if is_linear(operator):
        return 0
    own = (operator.group(name) for name in "BV" if name not in borrowed)
    widths = sum(group_width(group, model.width) for group in own)
    return _visible(operator, model, context) * widths


def _visible(operator: OperatorGenome, model: ModelConfig, context: int) -> int:
    """How many positions the last of `context` sees, itself included."""
    return min(context, model.window) if operator.sparsity == BANDED else context


def _sum(liv_class: LivClass, borrowed: tuple[str, ...], model: ModelConfig, context: int) -> int:
    operator = liv_class.operator
    if not (is_linear(operator) and owns_sum(borrowed)):
        return 0
    return group_width(operator.group("B"), model.width) * head_width(model.width)


def _products(
    liv_class: LivClass, borrowed: tuple[str, ...], model: ModelConfig, context: int
) -> int:
    """Scores and weighted values of every visible position, a head of C at a time; without a
    nonlinearity, the write of the owned sum, and what every head of C reads of it.

    The two operators of a differential class have half a head's width each, and their difference
    is applied to V once, so it costs what a plain one does.
    """
    operator, channels = liv_class.operator, inner_width(liv_class, model.width)
    if is_linear(operator):
        return _sum(liv_class, borrowed, model, context) + channels * head_width(model.width)
    return 2 * _visible(operator, model, context) * channels


def _grouped_query(repeat: int) -> Featurizer:
    shared = {"expansion": Fraction(1, repeat), "repeat": repeat}
    return Featurizer((FeatureGroup("C"), *projections("BV", **shared)))


STRUCTURE = Structure(
    "low-rank",
    LOW_RANK,
    GROUPED,
    groups=("C", "B", "V"),
    sharing={2: ("B", "V"), 3: ("B",), 4: ("V",), 5: ("C", "B")},
    featurizers={
        1: Featurizer(projections("CBV")),
        2: Featurizer(projections("CBV", kernel_length=3)),
        3: _grouped_query(repeat=4),
        4: _grouped_query(repeat=2),
    },
    cache=_keys_and_values,
    states=_sum,
    products=_products,
    sparsities=(NO_SPARSITY, BANDED),
    nonlinearities=(IDENTITY, SOFTMAX, RELU, SWISH),
)
