"""Linear attention as an operator of torch.library, with its gradients."""

from typing import Any

import torch
from torch import Tensor

from ..dispatch import REFERENCE, TRITON, mode
from ..dtypes import widest, without_autocast
from ..heads import implementation
from . import cpu
from .reference import linear_attention_reference

NAME = "linear_attention"
Pair = tuple[Tensor, Tensor]
Gradients = tuple[Tensor, Tensor, Tensor, Tensor]


def linear_attention_from(
    c: Tensor, b: Tensor, v: Tensor, state: Tensor | None, position: int
) -> Pair:
    """y and the last sum, differentiable in the first sum too; arguments unchecked."""
    if mode() == REFERENCE:
        return linear_attention_reference(c, b, v, state, position)
    if c.shape[2] == 1:
        return cpu.step(c, b, v, state, position)
    return operator(c, b, v, state, position)


@torch.library.custom_op(
    "star::linear_attention",
    mutates_args=(),
    schema="(Tensor c, Tensor b, Tensor v, Tensor? state, int position) -> (Tensor, Tensor)",
)
def operator(c: Tensor, b: Tensor, v: Tensor, state: Tensor | None, position: int) -> Pair:
    """y and the last sum, in the dtype of the computation."""
    if implementation(NAME, c, b, v) == TRITON:
        from .triton import forward

        return forward(c, b, v, state, position)
    with without_autocast(v):
        return cpu.forward(c, b, v, state, position)


@operator.register_fake
def _(c: Tensor, b: Tensor, v: Tensor, state: Tensor | None, position: int) -> Pair:
    last = v.new_empty((*b.shape[:2], b.shape[-1], v.shape[-1]), dtype=widest(c, b, v))
    return v.new_empty(*c.shape[:3], v.shape[-1]), last


@torch.library.custom_op(
    "star::linear_attention_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor grad_last, Tensor c, Tensor b, Tensor v, Tensor? state, "
    "int position) -> (Tensor, Tensor, Tensor, Tensor)",
)
def _operator_backward(
    grad: Tensor,
    grad_last: Tensor,
    c: Tensor,
    b: Tensor,
    v: Tensor,
    state: Tensor | None,
    position: int,
) -> Gradients:
    if implementation(NAME, c, b, v) == TRITON:
        from .triton import backward

        return backward(grad, grad_last, c, b, v, state, position)
    with without_autocast(v):
        return cpu.backward(grad, grad_last, c, b, v, state, position)


@_operator_backward.register_fake
def _(grad: Tensor, grad_last: Tensor, c: Tensor, b: Tensor, v: Tensor, *_: Any) -> Gradients:
    like = [x.new_empty(x.shape) for x in (c, b, v, grad_last)]
    return like[0], like[1], like[2], like[3]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Pair) -> None:
    *tensors, ctx.position = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, grad: Tensor, grad_last: Tensor) -> tuple[Tensor | None, ...]:
    *tensors, state = ctx.saved_tensors
    *gradients, first = _operator_backward(grad, grad_last, *tensors, state, ctx.position)
    return (*gradients, None if state is None else first.to(state.dtype), None)


operator.register_autograd(_backward, setup_context=_setup)
