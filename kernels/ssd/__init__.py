"""SSD, the state space of Mamba-2 (arXiv 2405.21060): linear attention whose heads forget at rates
of their own."""

import torch
from torch import Tensor

from ..checks import check_inputs
from . import cpu
from .operator import NAME, ssd_from

__all__ = ["ssd"]


def ssd(c: Tensor, b: Tensor, v: Tensor, decay: Tensor, state: Tensor | None = None) -> Tensor:
    """A matrix-valued state per head that decays by one number a position.

        S_t = exp(decay_t) S_{t-1} + b_t v_t^T,   y_t = c_t^T S_t

    Equation 1 of arXiv 2405.21060 after discretisation, with A a scalar a head, without its skip.
    Everything is accumulated in float32 (float64 for float64 v). Differentiable once. Backward
    keeps one state per chunk of 32 or 64 positions and computes the rest again.

    Args:
        c: (batch, groups, length, state size), any floating dtype, as all others; length at least
            1.
        b: (batch, groups, length, state size).
        v: (batch, heads, length, head width), already multiplied by the step size; heads is a
            multiple of groups, and the first heads share the first group.
        decay: (batch, heads, length), step size times A, at most 0; below -40 it counts as -40.
        state: (batch, heads, state size, head width), S after the positions before these, zeros
            before the first. With it the inputs continue a sequence: it is read, and advanced in
            place. For generation: nothing is differentiable then.

    Returns y as v in shape and dtype. Raises ValueError for shapes, devices or dtypes that do not
    fit.
    """
    _check(c, b, v, decay, state)
    if state is None:
        return ssd_from(c, b, v, decay, None)[0]
    with torch.no_grad():
        if v.shape[2] == 1:
            return cpu.step(c, b, v, decay, state)
        y, last = ssd_from(c, b, v, decay, state)
        state.copy_(last)
    return y


def _check(c: Tensor, b: Tensor, v: Tensor, decay: Tensor, state: Tensor | None) -> None:
    for name, x, axes in (
        ("v", v, "batch, heads, length, head width"),
        ("c", c, "batch, groups, length, state size"),
    ):
        if x.dim() != 4 or 0 in x.shape:
            raise ValueError(
                f"{NAME}: {name} has shape {tuple(x.shape)}, expected ({axes}), none of them 0"
            )
    (batch, heads, length, width), (groups, size) = v.shape, (c.shape[1], c.shape[-1])
    expected = {
        "v": (v, v.shape),
        "c": (c, (batch, groups, length, size)),
        "b": (b, (batch, groups, length, size)),
        "decay": (decay, (batch, heads, length)),
        "state": (state, (batch, heads, size, width)),
    }
    check_inputs(NAME, expected)
    if heads % groups:
        raise ValueError(
            f"{NAME}: v has {heads} heads, expected a multiple of the {groups} groups of c and b"
        )
