"""A matrix-valued state a head that decays and corrects itself: the gated delta rule (arXiv
2412.06464)."""

from ..model_config import ModelConfig, head_width
from ..operators import (
    GROUPED,
    SEMI_SEPARABLE,
    SWISH,
    FeatureGroup,
    Featurizer,
    LivClass,
    Structure,
    projections,
)
from ..widths import head_count, inner_width, operator_copies
from .state_space import SHARING


def _delta_transition(group: FeatureGroup, liv_class: LivClass, width: int) -> int:
    """Projections to a step and a writing strength a head; the bias of the step, and its rate."""
    heads = head_count(liv_class, width)
    return 2 * width * heads + 2 * heads


def _delta_gates(group: FeatureGroup, liv_class: LivClass, width: int) -> int:
    """The two projections."""
    return 2 * width * head_count(liv_class, width)


def _norm(liv_class: LivClass, width: int) -> int:
    return head_width(width)


def _states(
    liv_class: LivClass, borrowed: tuple[str, ...], model: ModelConfig, context: int
) -> int:
    state = inner_width(liv_class, model.width) * head_width(model.width)
    return operator_copies(liv_class, "B") * state


def _products(
    liv_class: LivClass, borrowed: tuple[str, ...], model: ModelConfig, context: int
) -> int:
    """For every element of the state: its decay, what the key reads, the write, the read-out."""
    return 4 * _states(liv_class, borrowed, model, context)


STRUCTURE = Structure(
    "matrix-valued state",
    SEMI_SEPARABLE,
    GROUPED,
    groups=("A", "B", "C", "V"),
    sharing=SHARING,
    featurizers={
        10: Featurizer(
            (
                *projections("BCV", nonlinearity=SWISH, kernel_length=4),
                FeatureGroup("G", nonlinearity=SWISH),
                FeatureGroup("A", "delta_transition"),
            )
        )
    },
    states=_states,
    parameters=_norm,
    forms={"delta_transition": _delta_transition},
    products=_products,
    form_products={"delta_transition": _delta_gates},
    paired=("A", "B", "C"),
)
