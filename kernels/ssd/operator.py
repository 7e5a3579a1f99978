"""SSD as an operator of torch.library, with its gradients."""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ..dispatch import REFERENCE, TRITON, choose
from ..dtypes import wide, without_autocast
from . import cpu
from .reference import ssd_reference

NAME = "ssd"


def ssd_from(
    c: Tensor, b: Tensor, v: Tensor, decay: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """y and the last state, differentiable in the first state too; arguments unchecked."""
    if choose(NAME, v) == REFERENCE:
        with without_autocast(v):
            return ssd_reference(c, b, v, decay, state)
    return operator(c, b, v, decay, state)[:2]


def _implementation(c: Tensor, b: Tensor, v: Tensor) -> ModuleType:
    """The module that computes: Triton's, or PyTorch's for what Triton's does not support."""
    if choose(NAME, v) == TRITON:
        from . import triton

        if triton.supports(c, b, v):
            return triton
    return cpu


@torch.library.custom_op(
    "star::ssd",
    mutates_args=(),
    schema="(Tensor c, Tensor b, Tensor v, Tensor decay, Tensor? state) -> "
    "(Tensor, Tensor, Tensor)",
)
def operator(
    c: Tensor, b: Tensor, v: Tensor, decay: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """y, the last state, and the states at the start of each chunk, for backward."""
    with without_autocast(v):
        return _implementation(c, b, v).forward(c, b, v, decay, state)


@operator.register_fake
def _(c: Tensor, b: Tensor, v: Tensor, decay: Tensor, state: Tensor | None) -> tuple[Tensor, ...]:
    implementation = _implementation(c, b, v)
    last = v.new_empty(*v.shape[:2], c.shape[-1], v.shape[-1], dtype=wide(v.dtype))
    start_dtype = implementation.start_dtype(c, b, v)
    return (
        v.new_empty(v.shape),
        last,
        v.new_empty(implementation.start_shape(c, v), dtype=start_dtype),
    )


@torch.library.custom_op(
    "star::ssd_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor? grad_state, Tensor c, Tensor b, Tensor v, Tensor decay, "
    "Tensor start) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def _operator_backward(
    grad: Tensor,
    grad_state: Tensor | None,
    c: Tensor,
    b: Tensor,
    v: Tensor,
    decay: Tensor,
    start: Tensor,
) -> tuple[Tensor, ...]:
    with without_autocast(v):
        return _implementation(c, b, v).backward(grad, grad_state, c, b, v, decay, start)


@_operator_backward.register_fake
def _(
    grad: Tensor,
    grad_state: Tensor | None,
    c: Tensor,
    b: Tensor,
    v: Tensor,
    decay: Tensor,
    start: Tensor,
) -> tuple[Tensor, ...]:
    first = v.new_empty(*v.shape[:2], c.shape[-1], v.shape[-1], dtype=wide(v.dtype))
    return (*(x.new_empty(x.shape) for x in (c, b, v, decay)), first)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, state = inputs
    ctx.set_materialize_grads(False)
    ctx.state_dtype = None if state is None else state.dtype
    ctx.save_for_backward(*tensors, output[2])


def _backward(
    ctx: Any, grad: Tensor | None, grad_state: Tensor | None, _: None
) -> tuple[Tensor | None, ...]:
    *tensors, start = ctx.saved_tensors
    if grad is None:
        grad = torch.zeros_like(tensors[2])
    *gradients, first = _operator_backward(grad, grad_state, *tensors, start)
    return (*gradients, None if ctx.state_dtype is None else first.to(ctx.state_dtype))


operator.register_autograd(_backward, setup_context=_setup)
