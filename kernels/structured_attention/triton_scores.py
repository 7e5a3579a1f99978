"""Scores of a tile in Triton: what is visible, s of the scores, and the scale of a row."""

import triton
import triton.language as tl

from ..triton_tools import dot
from .cpu import NONLINEARITIES

RELU = tl.constexpr(NONLINEARITIES.index("relu"))
SWISH = tl.constexpr(NONLINEARITIES.index("swish"))
SOFTMAX = tl.constexpr(NONLINEARITIES.index("softmax"))


@triton.jit
def visible_keys(position, key, window, banded: tl.constexpr):
    """Which keys (columns) the queries at these positions (rows) see."""
    distance = position[:, None] - key[None, :]
    return (distance >= 0) & (distance < window) if banded else distance >= 0


@triton.jit
def row_scale_of(position, window, kind: tl.constexpr, banded: tl.constexpr):
    """1 / sqrt(number of visible positions), or 1 for softmax."""
    seen = position + 1
    if banded:
        seen = tl.minimum(seen, window)
    scale = tl.rsqrt(seen.to(tl.float32))
    return tl.full(scale.shape, 1.0, tl.float32) if kind == SOFTMAX else scale


@triton.jit
def scores_of(c, b, scale, kind: tl.constexpr):
    """Scaled products; for softmax in units of the logarithm to base 2."""
    factor = scale * 1.4426950408889634 if kind == SOFTMAX else scale
    return dot(c, tl.trans(b)) * factor


@triton.jit
def values_of(scores, seen, normaliser, kind: tl.constexpr):
    """s of the scores, zero where hidden."""
    if kind == RELU:
        scores = tl.maximum(scores, 0.0)
    if kind == SWISH:
        scores = scores * tl.sigmoid(scores)
    if kind == SOFTMAX:
        scores = tl.exp2(tl.where(seen, scores, float("-inf")) - normaliser[:, None])
    return tl.where(seen, scores, 0.0)
