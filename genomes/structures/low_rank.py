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
from ..widths import group_width


def is_linear(operator: OperatorGenome) -> bool:
    """Whether the operator remembers the sum of `B_j V_j` and not every B and V."""
    return operator.nonlinearity == IDENTITY and operator.sparsity != BANDED


def owns_sum(borrowed: tuple[str, ...]) -> bool:
    """Whether a linear LIV keeps a sum of its own: unless it borrows both B and V, whose sum is the
    owner's."""
    return not {"B", "V"} <= set(borrowed)


def _cache(liv_class: LivClass, borrowed: tuple[str, ...], model: ModelConfig, context: int) -> int:
    operator = liv_class.operator
    widths = {name: group_width(operator.group(name), model.width) for name in "BV"}
    if is_linear(operator):
        return widths["B"] * head_width(model.width) * owns_sum(borrowed)
    positions = min(context, model.window) if operator.sparsity == BANDED else context
    return positions * sum(widths[name] for name in "BV" if name not in borrowed)


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
    cache=_cache,
    sparsities=(NO_SPARSITY, BANDED),
    nonlinearities=(IDENTITY, SOFTMAX, RELU, SWISH),
)
