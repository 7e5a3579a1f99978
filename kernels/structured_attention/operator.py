"""Attention by structured operators: which way computes it, and the operator of torch.library
behind most of them, for any nonlinearity, banded or not."""

from typing import Any

import torch
from torch import Tensor

from ..dispatch import REFERENCE, TORCH, TRITON, mode
from ..dtypes import without_autocast
from ..heads import implementation
from ..linear_attention import concatenated
from ..linear_attention.operator import linear_attention_from
from . import cpu
from .cpu_fused import masks_all, single_position, softmax_attention
from .reference import differential_attention_reference, structured_attention_reference

PAIRWISE, BANDED_SOFTMAX, DIFFERENTIAL = (
    "pairwise_attention",
    "banded_softmax_attention",
    "differential_attention",
)

Output = tuple[Tensor, Tensor, Tensor]
Gradients = tuple[Tensor, Tensor, Tensor, Tensor]


def operation_name(weight: Tensor | None, nonlinearity: str) -> str:
    """The registered operation that the arguments belong to."""
    if weight is not None:
        return DIFFERENTIAL
    return BANDED_SOFTMAX if nonlinearity == "softmax" else PAIRWISE


def plain(c: Tensor, b: Tensor, v: Tensor, nonlinearity: str, window: int | None) -> Tensor:
    """T V; arguments unchecked."""
    window = None if window is None or window >= b.shape[2] else window  # it hides nothing
    if mode() == REFERENCE:
        return structured_attention_reference(c, b, v, nonlinearity, window)
    if c.shape[2] == 1:
        return single_position(c, b, v, None, nonlinearity, window)
    chosen = implementation(operation_name(None, nonlinearity), c, b, v)
    if nonlinearity == "softmax" and (window is None or (chosen == TORCH and masks_all(b, window))):
        return softmax_attention(c, b, v, window)
    if nonlinearity == "none" and window is None:
        return _linear(c, b, v)
    return operator(c, b, v, None, nonlinearity, window)[0]


def differential(
    c: Tensor, b: Tensor, v: Tensor, weight: Tensor, nonlinearity: str, window: int | None
) -> Tensor:
    """`T1 V - weight * T2 V`; arguments unchecked."""
    window = None if window is None or window >= b.shape[2] else window
    if mode() == REFERENCE:
        return differential_attention_reference(c, b, v, weight, nonlinearity, window)
    if c.shape[2] == 1:
        return single_position(c, b, v, weight, nonlinearity, window)
    if nonlinearity == "none":
        return plain(*concatenated(c, b, weight), v, nonlinearity, window)
    chosen = implementation(DIFFERENTIAL, c, b, v)
    if nonlinearity == "softmax" and chosen == TORCH and (window is None or masks_all(b, window)):
        pairs = zip(c.chunk(2, dim=1), b.chunk(2, dim=1), strict=True)
        first, second = (softmax_attention(*pair, v, window) for pair in pairs)
        return first - (weight * second).to(v.dtype)
    return operator(c, b, v, weight, nonlinearity, window)[0]


def _linear(c: Tensor, b: Tensor, v: Tensor) -> Tensor:
    """Without a nonlinearity the positions before those of C enter by their sum alone."""
    earlier = b.shape[2] - c.shape[2]
    if earlier == 0:
        return linear_attention_from(c, b, v, None, 0)[0]
    past, b = b.split([earlier, c.shape[2]], dim=2)
    past_v, v = v.split([earlier, c.shape[2]], dim=2)
    dtype = torch.promote_types(torch.float32, v.dtype)
    return linear_attention_from(c, b, v, past.mT.to(dtype) @ past_v.to(dtype), earlier)[0]


@torch.library.custom_op(
    "star::structured_attention",
    mutates_args=(),
    schema="(Tensor c, Tensor b, Tensor v, Tensor? weight, str nonlinearity, int? window) -> "
    "(Tensor, Tensor, Tensor)",
)
def operator(
    c: Tensor, b: Tensor, v: Tensor, weight: Tensor | None, nonlinearity: str, window: int | None
) -> Output:
    """The output; for Triton's softmax also T2 V of a differential operator and the logarithms of
    the normalisers."""
    if implementation(operation_name(weight, nonlinearity), c, b, v) == TRITON:
        from .triton import forward

        return forward(c, b, v, weight, nonlinearity, window)
    with without_autocast(v):
        return cpu.forward(c, b, v, weight, nonlinearity, window), v.new_empty(0), v.new_empty(0)


@operator.register_fake
def _(
    c: Tensor, b: Tensor, v: Tensor, weight: Tensor | None, nonlinearity: str, window: int | None
) -> Output:
    heads = c.shape[1] if weight is None else c.shape[1] // 2
    y = v.new_empty(c.shape[0], heads, c.shape[2], v.shape[-1])
    kernel = implementation(operation_name(weight, nonlinearity), c, b, v) == TRITON
    if nonlinearity != "softmax" or not kernel:
        return y, v.new_empty(0), v.new_empty(0)
    second = v.new_empty(0) if weight is None else torch.empty_like(y)
    return y, second, v.new_empty(c.shape[:3], dtype=torch.float32)


@torch.library.custom_op(
    "star::structured_attention_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor c, Tensor b, Tensor v, Tensor? weight, Tensor y, Tensor second, "
    "Tensor normaliser, str nonlinearity, int? window) -> (Tensor, Tensor, Tensor, Tensor)",
)
def _operator_backward(
    grad: Tensor,
    c: Tensor,
    b: Tensor,
    v: Tensor,
    weight: Tensor | None,
    y: Tensor,
    second: Tensor,
    normaliser: Tensor,
    nonlinearity: str,
    window: int | None,
) -> Gradients:
    if implementation(operation_name(weight, nonlinearity), c, b, v) == TRITON:
        from .triton import backward

        return backward(grad, c, b, v, weight, y, second, normaliser, nonlinearity, window)
    with without_autocast(v):
        return cpu.backward(grad, c, b, v, weight, nonlinearity, window)


@_operator_backward.register_fake
def _(grad: Tensor, c: Tensor, b: Tensor, v: Tensor, weight: Tensor | None, *_: Any) -> Gradients:
    grad_weight = v.new_empty(0) if weight is None else weight.new_empty(())
    return c.new_empty(c.shape), b.new_empty(b.shape), v.new_empty(v.shape), grad_weight


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Output) -> None:
    *operands, ctx.nonlinearity, ctx.window = inputs
    y, second, normaliser = output
    kept = y if normaliser.numel() else y.new_empty(0)  # only Triton's softmax reads it again
    ctx.save_for_backward(*operands, kept, second, normaliser)


def _backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    saved = ctx.saved_tensors
    *gradients, grad_weight = _operator_backward(grad, *saved, ctx.nonlinearity, ctx.window)
    return (*gradients, None if saved[3] is None else grad_weight, None, None)


operator.register_autograd(_backward, setup_context=_setup)
