"""A matrix-valued state a head that decays by one number: state-space duality (Mamba-2, arXiv
2405.21060), with one B and C for all heads, or for each of `model.recurrent_groups`."""

from typing import Any

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
from ..widths import head_count, inner_width
from .state_space import SHARING, states_of_channels


def _dual(state: int, differential: bool = True) -> Featurizer:
    """B and C of the state's width for each group of heads; V is of the inner width."""
    convolved: dict[str, Any] = {"nonlinearity": SWISH, "kernel_length": 4, "bias": True}
    return Featurizer(
        (
            *projections("V", **convolved),
            *projections("BC", **convolved, channels=state, grouped=True),
            FeatureGroup("G", nonlinearity=SWISH),
            FeatureGroup("A", "head_step"),
        ),
        state=state,
        differential=differential,
    )


def _head_step(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    """Projection to a step a head with bias, and its rate."""
    return (model.width + 2) * head_count(liv_class, model)


def _step_projection(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    return model.width * head_count(liv_class, model)


def _products(
    liv_class: LivClass, borrowed: tuple[str, ...], model: ModelConfig, context: int
) -> int:
    """For every element of the state: its decay, the write, the read-out."""
    return 3 * states_of_channels(liv_class, borrowed, model, context)


def _skip_and_norm(liv_class: LivClass, model: ModelConfig) -> int:
    return head_count(liv_class, model) + inner_width(liv_class, model)


STRUCTURE = Structure(
    "state-space dual",
    SEMI_SEPARABLE,
    GROUPED,
    groups=("A", "B", "C", "V"),
    sharing=SHARING,
    featurizers={11: _dual(state=64), 26: _dual(state=128, differential=False)},
    states=states_of_channels,
    parameters=_skip_and_norm,
    forms={"head_step": _head_step},
    products=_products,
    form_products={"head_step": _step_projection},
    paired=("A", "B", "C"),
    inner="recurrent_width",
)
