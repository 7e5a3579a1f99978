"""The custom operator behind `structured_attention` and `differential_attention`: any nonlinearity,
banded or not."""

import torch

from ..dispatch import TORCH, TRITON, choose
from . import tiles
from .reference import widest

PAIRWISE, BANDED_SOFTMAX, DIFFERENTIAL = (
    "pairwise_attention",
    "banded_softmax_attention",
    "differential_attention",
)
WIDEST_HEAD = 256  # that the Triton kernels hold in one tile; half of it in float32

Output = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
Gradients = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def operation_name(weight: torch.Tensor | None, nonlinearity: str) -> str:
    """The registered operation that the arguments belong to."""
    if weight is not None:
        return DIFFERENTIAL
    return BANDED_SOFTMAX if nonlinearity == "softmax" else PAIRWISE


def implementation(name: str, c: torch.Tensor, b: torch.Tensor, v: torch.Tensor) -> str:
    """What `choose` says, but PyTorch for float64 and for heads too wide for the kernels."""
    chosen = choose(name, v)
    if chosen != TRITON:
        return chosen
    double = widest(c, b, v) == torch.float64
    widest_head = WIDEST_HEAD // 2 if torch.float32 in (c.dtype, b.dtype, v.dtype) else WIDEST_HEAD
    return TORCH if double or max(c.shape[-1], v.shape[-1]) > widest_head else chosen


def without_autocast(tensor: torch.Tensor) -> torch.autocast:
    """Operators run below autograd but not below autocast, which would narrow their products."""
    return torch.autocast(tensor.device.type, enabled=False)


@torch.library.custom_op(
    "star::structured_attention",
    mutates_args=(),
    schema="(Tensor c, Tensor b, Tensor v, Tensor? weight, str nonlinearity, int? window) -> "
    "(Tensor, Tensor, Tensor)",
)
def attend(
    c: torch.Tensor,
    b: torch.Tensor,
    v: torch.Tensor,
    weight: torch.Tensor | None,
    nonlinearity: str,
    window: int | None,
) -> Output:
    """The output; for Triton's softmax also T2 V of a differential operator and the logarithms of
    the normalisers."""
    if implementation(operation_name(weight, nonlinearity), c, b, v) == TRITON:
        from .triton_tiles import forward

        return forward(c, b, v, weight, nonlinearity, window)
    with without_autocast(v):
        return tiles.forward(c, b, v, weight, nonlinearity, window), v.new_empty(0), v.new_empty(0)


@attend.register_fake
def _(
    c: torch.Tensor,
    b: torch.Tensor,
    v: torch.Tensor,
    weight: torch.Tensor | None,
    nonlinearity: str,
    window: int | None,
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
    "Tensor normaliser, "
    "str nonlinearity, int? window) -> (Tensor, Tensor, Tensor, Tensor)",
)
def _attend_backward(
    grad: torch.Tensor,
    c: torch.Tensor,
    b: torch.Tensor,
    v: torch.Tensor,
    weight: torch.Tensor | None,
    y: torch.Tensor,
    second: torch.Tensor,
    normaliser: torch.Tensor,
    nonlinearity: str,
    window: int | None,
) -> Gradients:
    if implementation(operation_name(weight, nonlinearity), c, b, v) == TRITON:
        from .triton_tiles import backward

        return backward(grad, c, b, v, weight, y, second, normaliser, nonlinearity, window)
    with without_autocast(v):
        return tiles.backward(grad, c, b, v, weight, nonlinearity, window)


@_attend_backward.register_fake
def _(
    grad: torch.Tensor,
    c: torch.Tensor,
    b: torch.Tensor,
    v: torch.Tensor,
    weight: torch.Tensor | None,
    y: torch.Tensor,
    second: torch.Tensor,
    normaliser: torch.Tensor,
    nonlinearity: str,
    window: int | None,
) -> Gradients:
    grad_weight = v.new_empty(0) if weight is None else weight.new_empty(())
    return c.new_empty(c.shape), b.new_empty(b.shape), v.new_empty(v.shape), grad_weight


def _setup(ctx: torch.autograd.function.FunctionCtx, inputs: tuple, output: Output) -> None:
    c, b, v, weight, ctx.nonlinearity, ctx.window = inputs  # type: ignore[attr-defined]
    y, second, normaliser = output
    kept = (
        y if normaliser.numel() else y.new_empty(0)
    )  # only the backward of Triton's softmax reads it
    ctx.save_for_backward(c, b, v, weight, kept, second, normaliser)


def _backward(
    ctx: torch.autograd.function.FunctionCtx, grad: torch.Tensor, *_: torch.Tensor
) -> tuple[torch.Tensor | None, ...]:
    c, b, v, weight, y, second, normaliser = ctx.saved_tensors  # type: ignore[attr-defined]
    options = (ctx.nonlinearity, ctx.window)  # type: ignore[attr-defined]
    *gradients, grad_weight = _attend_backward(
        grad, c, b, v, weight, y, second, normaliser, *options
    )
    return (*gradients, None if weight is None else grad_weight, None, None)


attend.register_autograd(_backward, setup_context=_setup)
