"""Projectors between a component and the common width: what each kind costs.

A pair stands around a component in a block: one into its width and one out of it. Their modules are
in `star.models.hybrid.projectors`.
"""

from collections.abc import Callable
from typing import NamedTuple


class ProjectorCost(NamedTuple):
    """Weights of matrices, which are multiply-adds of one position too, and biases."""

    weights: int
    biases: int


def _linear(width: int, new: int) -> ProjectorCost:
    return ProjectorCost(width * new, new)


def _two_layer(width: int, new: int) -> ProjectorCost:
    hidden = max(width, new)
    return ProjectorCost(width * hidden + hidden * new, hidden + new)


PROJECTORS: dict[str, Callable[[int, int], ProjectorCost]] = {
    "linear": _linear,  # from random weights
    "identity": _linear,  # that begins as the identity
    "two_layer": _two_layer,  # linear, GELU, linear
    "skip": _linear,  # what it is given, and a linear map beside it that begins at zero
}


def pair_cost(kind: str, common: int, own: int) -> ProjectorCost:
    """Of the projector into a component and of the one out of it."""
    into, out = PROJECTORS[kind](common, own), PROJECTORS[kind](own, common)
    return ProjectorCost(into.weights + out.weights, into.biases + out.biases)
