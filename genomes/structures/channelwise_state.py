"""A matrix-valued state a head whose channels of the key decay apart: Kimi Delta Attention (arXiv
2510.26692). The state, its costs and its sharing are those of `matrix_state.py`."""

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
from ..widths import head_count, inner_width, own_head_width
from .matrix_state import delta_products, delta_states, head_norm
from .state_space import SHARING


def _low_rank(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    """Down to the width of a head, and up to all channels."""
    return own_head_width(liv_class, model) * (model.width + inner_width(liv_class, model))


def _decay_gates(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    """Those two, and the projection to a writing strength a head."""
    return _low_rank(group, liv_class, model) + model.width * head_count(liv_class, model)


def _channel_transition(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    """The projections, the bias of every channel's step, and a rate a head."""
    biases = inner_width(liv_class, model) + head_count(liv_class, model)
    return _decay_gates(group, liv_class, model) + biases


STRUCTURE = Structure(
    "channel-wise state",
    SEMI_SEPARABLE,
    GROUPED,
    groups=("A", "B", "C", "V"),
    sharing=SHARING,
    featurizers={
        30: Featurizer(
            (
                *projections("BCV", nonlinearity=SWISH, kernel_length=4),
                FeatureGroup("G", "low_rank_gate"),
                FeatureGroup("A", "channel_transition"),
            )
        )
    },
    states=delta_states,
    parameters=head_norm,
    forms={"low_rank_gate": _low_rank, "channel_transition": _channel_transition},
    products=delta_products,
    form_products={"low_rank_gate": _low_rank, "channel_transition": _decay_gates},
    paired=("A", "B", "C"),
    inner="recurrent_width",
)
