"""Linear attention (after arXiv 2006.16236), of one operator or of a differential pair."""

import math

import torch
from torch import Tensor

from ..checks import check_inputs
from ..dtypes import widest
from ..heads import check_heads, check_pair
from .operator import NAME, linear_attention_from

__all__ = ["concatenated", "differential_linear_attention", "linear_attention"]

DIFFERENTIAL_NAME = "differential_linear_attention"


def linear_attention(
    c: Tensor, b: Tensor, v: Tensor, state: Tensor | None = None, position: int = 0
) -> Tensor:
    """Causal attention without a nonlinearity or a normaliser, linear in the length.

    `S_i = S_{i-1} + B_i^T V_i`, `y_i = C_i S_i / sqrt(width * (position + i))` for i = 1, 2, ...

    Computed in float32, or in float64 where an input has it. Backward keeps the inputs alone.

    Args:
        c: (batch, heads, length, width), any floating dtype, as all others.
        b: (batch, groups, length, width), with heads a multiple of groups.
        v: (batch, groups, length, value width).
        state: (batch, groups, width, value width), the sum S of the positions before these. With it
            the inputs continue a sequence: it is read, and advanced in place. For generation:
            nothing is differentiable then.
        position: how many positions the state has seen.

    Returns y (batch, heads, length, value width) in the dtype of v. Raises ValueError for shapes,
    devices, dtypes or positions that do not fit.
    """
    check_heads(NAME, c, b, v)
    _check(NAME, c, b, v, state, position)
    if state is None:
        return linear_attention_from(c, b, v, None, position)[0]
    with torch.no_grad():
        y, last = linear_attention_from(c, b, v, state, position)
        state.copy_(last)
    return y


def differential_linear_attention(
    c: Tensor, b: Tensor, v: Tensor, weight: Tensor, state: Tensor | None = None, position: int = 0
) -> Tensor:
    """`T1 V - weight * T2 V` for two operators of `linear_attention`.

    The pair is one linear attention of twice the width, since `C1 B1^T - weight * C2 B2^T` is a
    product of concatenated rows.

    Args:
        c: (batch, 2 * heads, length, width), the first operator's heads first.
        b: (batch, 2 * groups, length, width), the first operator's groups first.
        v: (batch, groups, length, value width).
        weight: a scalar tensor.
        state: (batch, 2 * groups, width, value width), as for `linear_attention`.
        position: how many positions the state has seen.

    Returns y (batch, heads, length, value width) in the dtype of v, and raises ValueError as
    `linear_attention` does.
    """
    check_pair(DIFFERENTIAL_NAME, c, b, v, weight)
    _check(DIFFERENTIAL_NAME, c, b, v, state, position)
    c, b = concatenated(c, b, weight)
    if state is None:
        return linear_attention_from(c, b, v, None, position)[0]
    with torch.no_grad():
        sums = torch.cat(state.chunk(2, dim=1), dim=2)
        y, last = linear_attention_from(c, b, v, sums, position)
        state.copy_(torch.cat(last.chunk(2, dim=2), dim=1))
    return y


def concatenated(c: Tensor, b: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """C and B of twice the width whose products, over the root of their width, are `T1 - weight *
    T2`."""
    dtype = widest(c, b)
    c1, c2 = (c.to(dtype) * math.sqrt(2)).chunk(2, dim=1)
    rows = torch.cat([c1, c2 * -weight.to(dtype)], dim=-1).to(c.dtype)
    return rows, torch.cat(b.chunk(2, dim=1), dim=-1)


def _check(name: str, c: Tensor, b: Tensor, v: Tensor, state: Tensor | None, position: int) -> None:
    """What `linear_attention` asks for beyond heads that fit."""
    if b.shape[2] != c.shape[2]:
        raise ValueError(
            f"{name}: c and b have lengths {c.shape[2]} and {b.shape[2]}, expected equal ones"
        )
    if position < 0:
        raise ValueError(f"{name}: position is {position}, expected 0 or more")
    if state is not None:
        shape = (*b.shape[:2], b.shape[-1], v.shape[-1])
        check_inputs(name, {"v": (v, v.shape), "state": (state, shape)})
