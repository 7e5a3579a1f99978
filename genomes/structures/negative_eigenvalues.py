"""The gated delta rule with negative eigenvalues (arXiv 2411.12537) and values twice as wide as
keys, as OLMo-Hybrid has it. Its costs and its sharing are those of `matrix_state.py`."""

from fractions import Fraction
from typing import Any

from ..operators import (
    GROUPED,
    SEMI_SEPARABLE,
    SWISH,
    FeatureGroup,
    Featurizer,
    Structure,
    projections,
)
from .matrix_state import delta_gates, delta_products, delta_states, delta_transition, head_norm
from .state_space import SHARING

# Shares of the model's width that Gated DeltaNet gives keys and values (arXiv 2412.06464).
KEYS, VALUES = Fraction(3, 4), Fraction(3, 2)
CONVOLVED: dict[str, Any] = {"nonlinearity": SWISH, "kernel_length": 4}

STRUCTURE = Structure(
    "negative eigenvalues",
    SEMI_SEPARABLE,
    GROUPED,
    groups=("A", "B", "C", "V"),
    sharing=SHARING,
    featurizers={
        34: Featurizer(
            (
                *projections("BC", expansion=KEYS, **CONVOLVED),
                *projections("V", expansion=VALUES, **CONVOLVED),
                FeatureGroup("G", expansion=VALUES, nonlinearity=SWISH),
                FeatureGroup("A", "signed_transition"),
            )
        )
    },
    states=delta_states,
    parameters=head_norm,
    forms={"signed_transition": delta_transition},
    products=delta_products,
    form_products={"signed_transition": delta_gates},
    paired=("A", "B", "C"),
    inner="recurrent_width",
    differential=False,
)
