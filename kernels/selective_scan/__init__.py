"""Selective scan: the semi-separable operator of Mamba (arXiv 2312.00752, equations 2 and 3),
discretised."""

import torch
from torch import Tensor

from ..checks import check_inputs
from . import cpu
from .operator import NAME, selective_scan_from

__all__ = ["selective_scan"]


def selective_scan(
    v: Tensor,
    step: Tensor,
    rate: Tensor,
    b: Tensor,
    c: Tensor,
    skip: Tensor | None = None,
    gate: Tensor | None = None,
    state: Tensor | None = None,
) -> Tensor:
    """`h_t = exp(step_t * rate) h_(t-1) + step_t b_t v_t`, `y_t = (c_t . h_t + skip * v_t) *
    gate_t`.

    Differentiable once. Backward computes states again from one kept every few steps, so memory
    grows with length x channels, not x state. States are held in float32, or float64 for a v in
    float64.

    Args:
        v: (batch, length, channels), any floating dtype, as all others.
        step: (batch, length, channels), positive.
        rate: (channels, state), negative.
        b: (batch, length, state), shared over channels.
        c: (batch, length, state), shared over channels.
        skip: (channels,); without it nothing is added.
        gate: (batch, length, channels); without it nothing is multiplied.
        state: (batch, channels, state), h after the positions before these, zeros before the first.
            With it the inputs continue a sequence: it is read, and advanced in place. For
            generation: nothing is differentiable then, and one position takes constant time.

    Returns y (batch, length, channels) in the dtype of v. Raises ValueError for shapes, devices or
    dtypes that do not fit.
    """
    tensors = (v, step, rate, b, c, skip, gate)
    _check(*tensors, state)
    if state is None:
        return selective_scan_from(*tensors, None)[0]
    with torch.no_grad():
        if v.shape[1] == 1:
            y, last = cpu.step(*tensors, state)
        else:
            y, last = selective_scan_from(*tensors, state)
        state.copy_(last)
    return y


def _check(
    v: Tensor,
    step: Tensor,
    rate: Tensor,
    b: Tensor,
    c: Tensor,
    skip: Tensor | None,
    gate: Tensor | None,
    state: Tensor | None,
) -> None:
    if v.dim() != 3 or rate.dim() != 2 or v.shape[1] == 0 or rate.shape[1] == 0:
        shapes = f"v has shape {tuple(v.shape)} and rate {tuple(rate.shape)}"
        raise ValueError(
            f"{NAME}: {shapes}, expected (batch, length, channels) and (channels, state), none "
            f"empty"
        )
    (batch, length, channels), states = v.shape, rate.shape[1]
    expected = {
        "v": (v, v.shape),
        "step": (step, v.shape),
        "rate": (rate, (channels, states)),
        "b": (b, (batch, length, states)),
        "c": (c, (batch, length, states)),
        "skip": (skip, (channels,)),
        "gate": (gate, v.shape),
        "state": (state, (batch, channels, states)),
    }
    check_inputs(NAME, expected)
