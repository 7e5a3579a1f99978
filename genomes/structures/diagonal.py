"""Diagonal, `T_ij = s(C_i)` where i = j: gated feed-forward layers. It remembers nothing."""

from fractions import Fraction

from ..operators import (
    DENSE,
    DIAGONAL,
    IDENTITY,
    RELU,
    SWISH,
    Featurizer,
    Structure,
    nothing_remembered,
    projections,
)

STRUCTURE = Structure(
    "diagonal",
    DIAGONAL,
    DENSE,
    groups=("C", "V"),
    sharing={2: ("C",), 3: ("V",)},
    featurizers={9: Featurizer(projections("CV", expansion=Fraction(8, 3)))},
    nonlinearities=(IDENTITY, RELU, SWISH),
    products=nothing_remembered,  # gates are counted nowhere
    differential=False,
    inner="feed_forward_width",
)
