"""Diagonal without a gate, `T_ij = s(V_i)` where i = j: for s = ReLU the squared ReLU of Primer
(arXiv 2109.08668) and Nemotron-H. It remembers nothing.

C, the argument of s, is V itself, so a LIV always computes V; one that borrows C is gated by the
owner's V.
"""

from fractions import Fraction

from ..model_config import ModelConfig
from ..operators import (
    DENSE,
    DIAGONAL,
    RELU,
    FeatureGroup,
    Featurizer,
    LivClass,
    Structure,
    nothing_remembered,
)

EXPANSION = Fraction(4)  # without a gate, two matrices have about the weights of SwiGLU's three


def _no_weights(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    return 0


STRUCTURE = Structure(
    "ungated",
    DIAGONAL,
    DENSE,
    groups=("V", "C"),
    sharing={2: ("C",)},
    featurizers={
        33: Featurizer(
            (FeatureGroup("V", expansion=EXPANSION), FeatureGroup("C", "same_as_values"))
        )
    },
    forms={"same_as_values": _no_weights},
    products=nothing_remembered,
    form_products={"same_as_values": _no_weights},
    nonlinearities=(RELU,),
    differential=False,
    inner="feed_forward_width",
)
