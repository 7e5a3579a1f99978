"""Semi-separable a channel, `T_ij = C_i A_i ... A_(j+1) B_j`: selective state spaces (Mamba, arXiv
2312.00752)."""

from math import ceil

from ..model_config import ModelConfig
from ..operators import (
    PER_CHANNEL,
    SEMI_SEPARABLE,
    SWISH,
    FeatureGroup,
    Featurizer,
    LivClass,
    Structure,
)
from ..widths import inner_width, operator_copies

# Also the strategies of the other semi-separable structures.
SHARING = {2: ("B", "C"), 3: ("A", "B", "C"), 4: ("A",), 5: ("V",)}


def step_rank(width: int) -> int:
    """Rank of the step-size projection: model width / 16, at least 1."""
    return max(1, ceil(width / 16))


def _step_size(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    """Down, up with bias, and a rate for each element of the state."""
    inner, rank = inner_width(liv_class, model), step_rank(model.width)
    return inner * rank + rank * inner + inner + inner * liv_class.operator.state


def _step_projections(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    """Down and up."""
    return 2 * inner_width(liv_class, model) * step_rank(model.width)


def _state_input(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    return inner_width(liv_class, model) * liv_class.operator.state


def states_of_channels(
    liv_class: LivClass, borrowed: tuple[str, ...], model: ModelConfig, context: int
) -> int:
    """A state of its featurizer's size for every channel and operator."""
    state = inner_width(liv_class, model) * liv_class.operator.state
    return operator_copies(liv_class, "B") * state


def _products(
    liv_class: LivClass, borrowed: tuple[str, ...], model: ModelConfig, context: int
) -> int:
    """For every element of the state: step times rate, the decay, the write, the read-out."""
    return 4 * states_of_channels(liv_class, borrowed, model, context)


def _selective(state: int) -> Featurizer:
    """Mamba's featurizer: V is convolved (length 4) and passed through swish; A, B, C are computed
    from V."""
    return Featurizer(
        (
            FeatureGroup("V", nonlinearity=SWISH, kernel_length=4, bias=True),
            FeatureGroup("G", nonlinearity=SWISH),
            FeatureGroup("A", "step_size"),
            FeatureGroup("B", "state_input"),
            FeatureGroup("C", "state_input"),
        ),
        state=state,
    )


STRUCTURE = Structure(
    "semi-separable",
    SEMI_SEPARABLE,
    PER_CHANNEL,
    groups=("A", "B", "C", "V"),
    sharing=SHARING,
    featurizers={5: _selective(state=16), 6: _selective(state=2)},
    states=states_of_channels,
    parameters=inner_width,  # the skip
    forms={"step_size": _step_size, "state_input": _state_input},
    products=_products,
    form_products={"step_size": _step_projections, "state_input": _state_input},
    paired=("A", "B", "C"),
    inner="recurrent_width",
)
