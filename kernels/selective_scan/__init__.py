"""Selective scan: the semi-separable operator of Mamba (arXiv 2312.00752, equations 2 and 3),
discretised."""

from functools import cache
from types import ModuleType
from typing import Any

import torch

from ..checks import check_inputs, wide
from ..dispatch import REFERENCE, TRITON, choose
from . import blocked
from .blocked import boundary_count
from .reference import selective_scan_reference

NAME = "selective_scan"


def selective_scan(
    v: torch.Tensor,
    step: torch.Tensor,
    rate: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    skip: torch.Tensor | None = None,
    gate: torch.Tensor | None = None,
    state: torch.Tensor | None = None,
) -> torch.Tensor:
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
            y, last = _step(*tensors, state)
        else:
            y, last = selective_scan_from(*tensors, state)
        state.copy_(last)
    return y


def selective_scan_from(
    v: torch.Tensor,
    step: torch.Tensor,
    rate: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    skip: torch.Tensor | None = None,
    gate: torch.Tensor | None = None,
    state: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """y and the last state, differentiable in the first state too; arguments unchecked."""
    if choose(NAME, v) == REFERENCE:
        return selective_scan_reference(v, step, rate, b, c, skip, gate, state)
    return _selective_scan(v, step, rate, b, c, skip, gate, state)[:2]


def continue_selective_scan(state: torch.Tensor, *tensors: Any, **options: Any) -> torch.Tensor:
    """`selective_scan` with the state first."""  # removed after the merge
    return selective_scan(*tensors, **options, state=state)


def _step(
    v: torch.Tensor,
    step: torch.Tensor,
    rate: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    skip: torch.Tensor | None,
    gate: torch.Tensor | None,
    state: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One position, by plain operations."""
    dtype = wide(v.dtype)
    x, step, rate, b, c, h = (tensor.to(dtype) for tensor in (v, step, rate, b, c, state))
    h = torch.exp(step.mT * rate) * h + (step * x).mT * b
    y = (h * c).sum(-1)[:, None]
    if skip is not None:
        y = y + skip.to(dtype) * x
    if gate is not None:
        y = y * gate.to(dtype)
    return y.to(v.dtype), h


def _check(
    v: torch.Tensor,
    step: torch.Tensor,
    rate: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    skip: torch.Tensor | None,
    gate: torch.Tensor | None,
    state: torch.Tensor | None,
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


def _use_triton(v: torch.Tensor) -> bool:
    return (
        choose(NAME, v) == TRITON and v.dtype != torch.float64
    )  # the kernels accumulate in float32


def _path(dtype: torch.dtype, device: torch.device) -> ModuleType:
    """What runs without Triton: machine code on the CPU where numba is installed, else plain
    PyTorch."""
    compiled = _compiled() if dtype == torch.float32 and device.type == "cpu" else None
    return compiled or blocked


@cache
def _compiled() -> ModuleType | None:
    try:
        from . import numba_path
    except (
        ImportError,
        RuntimeError,
    ):  # RuntimeError: numba finds no folder to keep its machine code in
        return None
    return numba_path


def _forward(
    v: torch.Tensor,
    step: torch.Tensor,
    rate: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    skip: torch.Tensor | None,
    gate: torch.Tensor | None,
    state: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """y and the boundary states (boundaries, batch, state, channels), the last one at the end."""
    if _use_triton(v):
        from .triton_kernel import forward

        return forward(v, step, rate, b, c, skip, gate, state)
    dtype = wide(v.dtype)
    x, *rest = (tensor.to(dtype) for tensor in (v, step, rate, b, c))
    y, boundaries = _path(dtype, v.device).forward(
        x, *rest, None if state is None else state.to(dtype)
    )
    if skip is not None:
        y.addcmul_(x, skip.to(dtype))
    if gate is not None:
        y.mul_(gate.to(dtype))
    return y.to(v.dtype), boundaries


@torch.library.custom_op("star::selective_scan", mutates_args=())
def _selective_scan(
    v: torch.Tensor,
    step: torch.Tensor,
    rate: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    skip: torch.Tensor | None,
    gate: torch.Tensor | None,
    state: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    y, boundaries = _forward(v, step, rate, b, c, skip, gate, state)
    return (
        y,
        boundaries[-1].transpose(1, 2).clone(memory_format=torch.contiguous_format),
        boundaries,
    )


@_selective_scan.register_fake
def _(
    v: torch.Tensor,
    step: torch.Tensor,
    rate: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    skip: torch.Tensor | None,
    gate: torch.Tensor | None,
    state: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    (batch, length, channels), states = v.shape, rate.shape[1]
    boundaries = (boundary_count(length, states), batch, states, channels)
    dtype = wide(v.dtype)
    return (
        v.new_empty(v.shape),
        v.new_empty(batch, channels, states, dtype=dtype),
        v.new_empty(boundaries, dtype=dtype),
    )


@torch.library.custom_op("star::selective_scan_backward", mutates_args=())
def _selective_scan_backward(
    grad_y: torch.Tensor,
    grad_last: torch.Tensor | None,
    v: torch.Tensor,
    step: torch.Tensor,
    rate: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    skip: torch.Tensor | None,
    gate: torch.Tensor | None,
    boundaries: torch.Tensor,
) -> list[torch.Tensor]:
    """Gradients of v, step, rate, b, c, skip, gate and state, without skip or gate where not
    given."""
    if _use_triton(v):
        from .triton_kernel import backward

        return backward(grad_y, grad_last, v, step, rate, b, c, skip, gate, boundaries)
    dtype = boundaries.dtype
    x, *rest = (tensor.to(dtype) for tensor in (v, step, rate, b, c))
    grad_y = grad_y.to(dtype)
    grad_scan = grad_y if gate is None else grad_y * gate.to(dtype)
    last = None if grad_last is None else grad_last.to(dtype)
    path = _path(dtype, v.device)
    *grads, grad_state, y = path.backward(grad_scan, last, x, *rest, boundaries, gate is not None)
    if skip is not None:
        grads[0].addcmul_(grad_scan, skip.to(dtype))
        grads.append((grad_scan * x).sum((0, 1)))
    if gate is not None:
        grads.append(grad_y * (y if skip is None else y.addcmul_(x, skip.to(dtype))))
    given = (tensor for tensor in (v, step, rate, b, c, skip, gate) if tensor is not None)
    return [*(grad.to(tensor.dtype) for grad, tensor in zip(grads, given, strict=True)), grad_state]


@_selective_scan_backward.register_fake
def _(
    grad_y: torch.Tensor,
    grad_last: torch.Tensor | None,
    v: torch.Tensor,
    step: torch.Tensor,
    rate: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    skip: torch.Tensor | None,
    gate: torch.Tensor | None,
    boundaries: torch.Tensor,
) -> list[torch.Tensor]:
    given = (tensor for tensor in (v, step, rate, b, c, skip, gate) if tensor is not None)
    return [
        *(tensor.new_empty(tensor.shape) for tensor in given),
        boundaries.new_empty(v.shape[0], *rate.shape),
    ]


def _setup(
    ctx: Any,
    inputs: tuple[torch.Tensor | None, ...],
    output: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    state = inputs[-1]
    ctx.set_materialize_grads(False)
    ctx.state_dtype = None if state is None else state.dtype
    ctx.save_for_backward(*inputs[:-1], output[2])


def _backward(
    ctx: Any, grad_y: torch.Tensor | None, grad_last: torch.Tensor | None, grad_boundaries: None
) -> tuple[torch.Tensor | None, ...]:
    *inputs, boundaries = ctx.saved_tensors
    if grad_y is None:
        grad_y = torch.zeros_like(inputs[0])
    *given, grad_state = _selective_scan_backward(grad_y, grad_last, *inputs, boundaries)
    rest = iter(given)
    grads = [None if tensor is None else next(rest) for tensor in inputs]
    return *grads, None if ctx.state_dtype is None else grad_state.to(ctx.state_dtype)


_selective_scan.register_autograd(_backward, setup_context=_setup)
