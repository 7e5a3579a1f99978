"""Low-rank, `T_ij = s(C_i B_j)` a head: attention, and linear attention where s is the identity and
every position is visible."""

from fractions import Fraction
from typing import Any

from ..model_config import ModelConfig, head_width
from ..operators import (
    BANDED,
    GROUPED,
    IDENTITY,
    LOW_RANK,
    NO_SPARSITY,
    PROJECTION,
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
from ..widths import group_width, head_count, inner_width

# Forms of QK-norm, by heads or of all heads together, and of a gate a head.
NORMED, JOINTLY_NORMED = "normed_projection", "jointly_normed_projection"
HEAD_GATE = "head_gate"


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
    widths = sum(group_width(group, liv_class, model) for group in own)
    return _visible(operator, model, context) * widths


def window_of(operator: OperatorGenome, model: ModelConfig) -> int | None:
    """Positions that a banded operator sees, the present one included; None sees all."""
    return (operator.made_by.window or model.window) if operator.sparsity == BANDED else None


def _visible(operator: OperatorGenome, model: ModelConfig, context: int) -> int:
    """How many positions the last of `context` sees, itself included."""
    return min(context, window_of(operator, model) or context)


def _sum(liv_class: LivClass, borrowed: tuple[str, ...], model: ModelConfig, context: int) -> int:
    operator = liv_class.operator
    if not (is_linear(operator) and owns_sum(borrowed)):
        return 0
    return group_width(operator.group("B"), liv_class, model) * head_width(model)


def _products(
    liv_class: LivClass, borrowed: tuple[str, ...], model: ModelConfig, context: int
) -> int:
    """Scores and weighted values of every visible position, a head of C at a time; without a
    nonlinearity, the write of the owned sum, and what every head of C reads of it.

    The two operators of a differential class have half a head's width each, and their difference
    is applied to V once, so it costs what a plain one does.
    """
    operator, channels = liv_class.operator, inner_width(liv_class, model)
    if is_linear(operator):
        return _sum(liv_class, borrowed, model, context) + channels * head_width(model)
    return 2 * _visible(operator, model, context) * channels


def _normed_products(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    return model.width * group_width(group, liv_class, model)


def _normed_projection(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    """A projection, and a norm of every head with weights for all heads together."""
    return _normed_products(group, liv_class, model) + head_width(model)


def _jointly_normed(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    """A projection, and a norm of all heads together."""
    return (model.width + 1) * group_width(group, liv_class, model)


def _head_gate(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    """A projection to a number a head."""
    return model.width * head_count(liv_class, model)


def _grouped_query(repeat: int) -> Featurizer:
    shared = {"expansion": Fraction(1, repeat), "repeat": repeat}
    return Featurizer((FeatureGroup("C"), *projections("BV", **shared)))


def _of_released_models(
    repeat: int, form: str = PROJECTION, gate: FeatureGroup | None = None, **fields: Any
) -> Featurizer:
    """A featurizer of softmax attention, plain, as released models have them.

    Args:
        repeat: query heads to a head of keys and values.
        form: of queries and keys, which may be normed (QK-norm).
        gate: group G, whose sigmoid the outputs are multiplied by.
        fields: of the featurizer.
    """
    shared: dict[str, Any] = {"expansion": Fraction(1, repeat), "repeat": repeat}
    groups = (
        FeatureGroup("C", form), FeatureGroup("B", form, **shared), FeatureGroup("V", **shared),
        *((gate,) if gate else ()),
    )  # fmt: skip
    return Featurizer(groups, nonlinearities=(SOFTMAX,), differential=False, **fields)


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
        12: _of_released_models(1, NORMED),
        13: _of_released_models(2, NORMED),
        14: _of_released_models(4, NORMED),
        15: _of_released_models(8, NORMED),
        16: _of_released_models(1, rotary=Fraction(0)),
        17: _of_released_models(4, rotary=Fraction(0)),
        18: _of_released_models(8, NORMED, gate=FeatureGroup("G"), rotary=Fraction(1, 4)),
        19: _of_released_models(
            4,
            NORMED,
            gate=FeatureGroup("G", HEAD_GATE),
            rotary=Fraction(1, 2),
            proportional=True,
            rotary_base=1e6,
            sparsities=(NO_SPARSITY,),
        ),
        20: _of_released_models(
            4,
            NORMED,
            gate=FeatureGroup("G", HEAD_GATE),
            rotary_base=1e4,
            window=256,
            sparsities=(BANDED,),
        ),
        21: _of_released_models(3),
        22: _of_released_models(8),
        23: _of_released_models(4, window=256, sparsities=(BANDED,)),
        35: _of_released_models(1, JOINTLY_NORMED, sparsities=(NO_SPARSITY,)),
        36: _of_released_models(1, JOINTLY_NORMED, rotary=Fraction(0), sparsities=(NO_SPARSITY,)),
    },
    cache=_keys_and_values,
    states=_sum,
    products=_products,
    forms={
        NORMED: _normed_projection,
        JOINTLY_NORMED: _jointly_normed,
        HEAD_GATE: _head_gate,
    },
    form_products={
        NORMED: _normed_products,
        JOINTLY_NORMED: _normed_products,
        HEAD_GATE: _head_gate,
    },
    sparsities=(NO_SPARSITY, BANDED),
    nonlinearities=(IDENTITY, SOFTMAX, RELU, SWISH),
    inner="attention_width",
)
