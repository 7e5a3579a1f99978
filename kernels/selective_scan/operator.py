"""The selective scan as an operator of torch.library, with its gradients."""

from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ..dispatch import REFERENCE, TRITON, choose
from ..dtypes import wide
from . import cpu
from .reference import selective_scan_reference

NAME = "selective_scan"
OptionalTensor = Tensor | None


def selective_scan_from(
    v: Tensor,
    step: Tensor,
    rate: Tensor,
    b: Tensor,
    c: Tensor,
    skip: OptionalTensor = None,
    gate: OptionalTensor = None,
    state: OptionalTensor = None,
) -> tuple[Tensor, Tensor]:
    """y and the last state, differentiable in the first state too; arguments unchecked."""
    if choose(NAME, v) == REFERENCE:
        return selective_scan_reference(v, step, rate, b, c, skip, gate, state)
    return operator(v, step, rate, b, c, skip, gate, state)[:2]


def _use_triton(v: Tensor) -> bool:
    """The kernels accumulate in float32."""
    return choose(NAME, v) == TRITON and v.dtype != torch.float64


def _path(dtype: torch.dtype, device: torch.device) -> ModuleType:
    """What runs without Triton: machine code on the CPU where numba is installed, else plain
    PyTorch."""
    compiled = _compiled() if dtype == torch.float32 and device.type == "cpu" else None
    return compiled or cpu


@cache
def _compiled() -> ModuleType | None:
    try:
        from . import cpu_numba
    except (ImportError, RuntimeError):  # RuntimeError: numba finds no folder for its machine code
        return None
    return cpu_numba


@torch.library.custom_op(
    "star::selective_scan",
    mutates_args=(),
    schema="(Tensor v, Tensor step, Tensor rate, Tensor b, Tensor c, Tensor? skip, Tensor? gate, "
    "Tensor? state) -> (Tensor, Tensor, Tensor)",
)
def operator(
    v: Tensor,
    step: Tensor,
    rate: Tensor,
    b: Tensor,
    c: Tensor,
    skip: OptionalTensor,
    gate: OptionalTensor,
    state: OptionalTensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """y, the last state, and boundary states (boundaries, batch, state, channels) for backward."""
    if _use_triton(v):
        from .triton import forward

        y, boundaries = forward(v, step, rate, b, c, skip, gate, state)
    else:
        dtype = wide(v.dtype)
        x, *rest = (tensor.to(dtype) for tensor in (v, step, rate, b, c))
        first = None if state is None else state.to(dtype)
        y, boundaries = _path(dtype, v.device).forward(x, *rest, first)
        if skip is not None:
            y.addcmul_(x, skip.to(dtype))
        if gate is not None:
            y.mul_(gate.to(dtype))
        y = y.to(v.dtype)
    last = boundaries[-1].transpose(1, 2).clone(memory_format=torch.contiguous_format)
    return y, last, boundaries


@operator.register_fake
def _(v: Tensor, step: Tensor, rate: Tensor, *_: OptionalTensor) -> tuple[Tensor, Tensor, Tensor]:
    (batch, length, channels), states = v.shape, rate.shape[1]
    boundaries = (cpu.boundary_count(length, states), batch, states, channels)
    dtype = wide(v.dtype)
    last = v.new_empty(batch, channels, states, dtype=dtype)
    return v.new_empty(v.shape), last, v.new_empty(boundaries, dtype=dtype)


@torch.library.custom_op(
    "star::selective_scan_backward",
    mutates_args=(),
    schema="(Tensor grad_y, Tensor? grad_last, Tensor v, Tensor step, Tensor rate, Tensor b, "
    "Tensor c, Tensor? skip, Tensor? gate, Tensor boundaries) -> Tensor[]",
)
def _operator_backward(
    grad_y: Tensor,
    grad_last: OptionalTensor,
    v: Tensor,
    step: Tensor,
    rate: Tensor,
    b: Tensor,
    c: Tensor,
    skip: OptionalTensor,
    gate: OptionalTensor,
    boundaries: Tensor,
) -> list[Tensor]:
    """Gradients of v, step, rate, b, c, skip, gate and state, without skip or gate where not
    given."""
    if _use_triton(v):
        from .triton import backward

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


@_operator_backward.register_fake
def _(grad_y: Tensor, grad_last: OptionalTensor, *tensors: OptionalTensor) -> list[Tensor]:
    *inputs, boundaries = tensors
    given = [tensor.new_empty(tensor.shape) for tensor in inputs if tensor is not None]
    assert boundaries is not None
    _, batch, states, channels = boundaries.shape
    return [*given, boundaries.new_empty(batch, channels, states)]


def _setup(ctx: Any, inputs: tuple[OptionalTensor, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, state = inputs
    ctx.set_materialize_grads(False)
    ctx.state_dtype = None if state is None else state.dtype
    ctx.save_for_backward(*tensors, output[2])


def _backward(
    ctx: Any, grad_y: OptionalTensor, grad_last: OptionalTensor, _: None
) -> tuple[OptionalTensor, ...]:
    *inputs, boundaries = ctx.saved_tensors
    if grad_y is None:
        grad_y = torch.zeros_like(inputs[0])
    *given, grad_state = _operator_backward(grad_y, grad_last, *inputs, boundaries)
    rest = iter(given)
    grads = [None if tensor is None else next(rest) for tensor in inputs]
    return *grads, None if ctx.state_dtype is None else grad_state.to(ctx.state_dtype)


operator.register_autograd(_backward, setup_context=_setup)
