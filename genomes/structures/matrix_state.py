"""A matrix-valued state a head that decays and corrects itself: the gated delta rule (arXiv
2412.06464)."""

from ..model_config import ModelConfig
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
from ..widths import group_width, head_count, operator_copies, own_head_width
from .state_space import SHARING


def delta_transition(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    """Projections to a step and a writing strength a head; the bias of the step, and its rate."""
    heads = head_count(liv_class, model)
    return 2 * model.width * heads + 2 * heads


def delta_gates(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    """The two projections."""
    return 2 * model.width * head_count(liv_class, model)


def head_norm(liv_class: LivClass, model: ModelConfig) -> int:
    """The norm of a head's values, the same for all heads."""
    return own_head_width(liv_class, model)


def delta_states(
    liv_class: LivClass, borrowed: tuple[str, ...], model: ModelConfig, context: int
) -> int:
    """A matrix (key width, value width) a head and operator; B is the keys of all heads."""
    keys = group_width(liv_class.operator.group("B"), liv_class, model)
    state = keys * own_head_width(liv_class, model)
    return operator_copies(liv_class, "B") * state


def delta_products(
    liv_class: LivClass, borrowed: tuple[str, ...], model: ModelConfig, context: int
) -> int:
    """For every element of the state: its decay, what the key reads, the write, the read-out."""
    return 4 * delta_states(liv_class, borrowed, model, context)


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
    states=delta_states,
    parameters=head_norm,
    forms={"delta_transition": delta_transition},
    products=delta_products,
    form_products={"delta_transition": delta_gates},
    paired=("A", "B", "C"),
    inner="recurrent_width",
)
