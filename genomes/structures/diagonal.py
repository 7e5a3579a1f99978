"""Diagonal, `T_ij = s(C_i)` where i = j: gated feed-forward layers. It remembers nothing."""

from fractions import Fraction

from ..model_config import ModelConfig
from ..operators import (
    DENSE,
    DIAGONAL,
    IDENTITY,
    RELU,
    SWISH,
    Featurizer,
    LivClass,
    Structure,
    projections,
)


def _cache(liv_class: LivClass, borrowed: tuple[str, ...], model: ModelConfig, context: int) -> int:
    return 0


STRUCTURE = Structure(
    "diagonal",
    DIAGONAL,
    DENSE,
    groups=("C", "V"),
    sharing={2: ("C",), 3: ("V",)},
    featurizers={9: Featurizer(projections("CV", expansion=Fraction(8, 3)))},
    cache=_cache,
    nonlinearities=(IDENTITY, RELU, SWISH),
    differential=False,
)
