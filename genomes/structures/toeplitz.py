"""Scaled Toeplitz, `T_ij = C_i K_(i-j) B_j` a channel: gated convolutions, whose kernel K does not
depend on the input."""

from ..model_config import ModelConfig
from ..operators import (
    PER_CHANNEL,
    TOEPLITZ,
    FeatureGroup,
    Featurizer,
    LivClass,
    Structure,
    projections,
)
from ..widths import inner_width, operator_copies

POSITION_FREQUENCIES = 8  # of an implicit kernel's position features
KERNEL_HIDDEN_WIDTH = 32  # of its two sine layers


def _explicit_kernel(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    return inner_width(liv_class, model) * group.kernel_length


def _implicit_kernel(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    features, hidden = 1 + 2 * POSITION_FREQUENCIES, KERNEL_HIDDEN_WIDTH
    layers = (features + 1) * hidden + (hidden + 1) * hidden
    return layers + (hidden + 1) * inner_width(liv_class, model)  # read-out, decay of each channel


def _cache(liv_class: LivClass, borrowed: tuple[str, ...], model: ModelConfig, context: int) -> int:
    """The last products B * V that the kernel reaches, or all of them."""
    taps = liv_class.operator.group("K").kernel_length
    positions = taps - 1 if taps else context
    return operator_copies(liv_class, "B") * positions * inner_width(liv_class, model)


def _products(
    liv_class: LivClass, borrowed: tuple[str, ...], model: ModelConfig, context: int
) -> int:
    """The taps of the kernel, or one tap a position."""
    taps = liv_class.operator.group("K").kernel_length or context
    return operator_copies(liv_class, "B") * taps * inner_width(liv_class, model)


def _made_once(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    """No token pays for a kernel: it follows from the weights alone."""
    return 0


def _gated_convolution(form: str, kernel_length: int, differential: bool = True) -> Featurizer:
    kernel = FeatureGroup("K", form, kernel_length=kernel_length)
    return Featurizer((*projections("BCV"), kernel), differential=differential)


STRUCTURE = Structure(
    "scaled Toeplitz",
    TOEPLITZ,
    PER_CHANNEL,
    groups=("B", "C", "K", "V"),
    sharing={2: ("B", "C"), 3: ("K",), 4: ("B", "C", "K"), 5: ("V",)},
    featurizers={
        7: _gated_convolution("explicit_kernel", kernel_length=3),
        8: _gated_convolution("implicit_kernel", kernel_length=0),
        25: _gated_convolution("explicit_kernel", kernel_length=7, differential=False),
    },
    cache=_cache,
    forms={"explicit_kernel": _explicit_kernel, "implicit_kernel": _implicit_kernel},
    products=_products,
    form_products={"explicit_kernel": _made_once, "implicit_kernel": _made_once},
    paired=("B", "C", "K"),
    input_free=("K",),
)
