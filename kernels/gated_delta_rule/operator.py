"""The gated delta rule as an operator of torch.library, with its gradients."""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ..dispatch import REFERENCE, TRITON, choose
from ..dtypes import wide, without_autocast
from . import cpu
from .reference import gated_delta_rule_reference

NAME = "gated_delta_rule"


def gated_delta_rule_from(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """y and the last state, differentiable in the first state too; arguments unchecked."""
    if choose(NAME, v) == REFERENCE:
        with without_autocast(v):
            return gated_delta_rule_reference(q, k, v, decay, beta, state)
    return operator(q, k, v, decay, beta, state)[:2]


def _implementation(q: Tensor, k: Tensor, v: Tensor) -> ModuleType:
    """The module that computes: Triton's, or PyTorch's for what Triton's does not support."""
    if choose(NAME, v) == TRITON:
        from . import triton

        if triton.supports(q, k, v):
            return triton
    return cpu


@torch.library.custom_op(
    "star::gated_delta_rule",
    mutates_args=(),
    schema="(Tensor q, Tensor k, Tensor v, Tensor decay, Tensor beta, Tensor? state) -> "
    "(Tensor, Tensor, Tensor)",
)
def operator(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """y, the last state, and the states at the start of each chunk, for backward."""
    with without_autocast(v):
        return _implementation(q, k, v).forward(q, k, v, decay, beta, state)


@operator.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, *_: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    batch, heads, length, value = v.shape
    implementation = _implementation(q, k, v)
    chunks = -(-length // implementation.chunk_size(q))
    last = v.new_empty(batch, heads, q.shape[-1], value, dtype=wide(v.dtype))
    start_dtype = implementation.start_dtype(q, k, v)
    start = v.new_empty(batch * heads * chunks, q.shape[-1], value, dtype=start_dtype)
    return v.new_empty(v.shape), last, start


@torch.library.custom_op(
    "star::gated_delta_rule_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor? grad_state, Tensor q, Tensor k, Tensor v, Tensor decay, "
    "Tensor beta, Tensor start) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def _operator_backward(
    grad: Tensor, grad_state: Tensor | None, q: Tensor, k: Tensor, v: Tensor, *rest: Tensor
) -> tuple[Tensor, ...]:
    with without_autocast(v):
        return _implementation(q, k, v).backward(grad, grad_state, q, k, v, *rest)


@_operator_backward.register_fake
def _(grad: Tensor, grad_state: Tensor | None, *tensors: Tensor) -> tuple[Tensor, ...]:
    *inputs, start = tensors
    first = grad.new_empty(*grad.shape[:2], *start.shape[1:], dtype=wide(inputs[2].dtype))
    return (*(x.new_empty(x.shape) for x in inputs), first)


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
