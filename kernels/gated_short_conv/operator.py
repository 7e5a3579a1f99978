"""The short convolutions as torch.library operators.

Each returns what backward can use again as a second output: the convolution before the gate or the
swish, in the dtype that is accumulated in. Triton computes it again instead, and returns an empty
tensor. Gradients of arguments that are None are empty tensors.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..dispatch import REFERENCE, TRITON, choose
from ..dtypes import widest
from .cpu import convolve, input_gradient, kernel_gradient, tail_gradient
from .reference import gated_short_conv_reference, short_conv_reference

GATED_NAME = "gated_short_conv"
NAME = "short_conv"

OptionalTensor = Tensor | None
Pair = tuple[Tensor, Tensor]
Four = tuple[Tensor, Tensor, Tensor, Tensor]
Five = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def gated_short_conv_from(
    b: Tensor, v: Tensor, c: Tensor, kernel: Tensor, tail: Tensor | None
) -> Tensor:
    """y after the products of a tail, differentiable in it too; arguments unchecked."""
    if choose(GATED_NAME, v) == REFERENCE:
        return gated_short_conv_reference(b, v, c, kernel, tail)
    return gated_operator(b, v, c, kernel, tail)[0]


def short_conv_from(
    x: Tensor, kernel: Tensor, bias: Tensor | None, swish: bool, tail: Tensor | None
) -> Tensor:
    """y after the inputs of a tail, differentiable in it too; arguments unchecked."""
    if choose(NAME, x) == REFERENCE:
        return short_conv_reference(x, kernel, bias, swish, tail)
    return plain_operator(x, kernel, bias, swish, tail)[0]


@torch.library.custom_op("star::gated_short_conv", mutates_args=())
def gated_operator(b: Tensor, v: Tensor, c: Tensor, kernel: Tensor, tail: OptionalTensor) -> Pair:
    """The gated convolution, and the convolution before the gate c."""
    if choose(GATED_NAME, v) == TRITON:
        from .triton import gated_forward

        return gated_forward(b, v, c, kernel, tail), v.new_empty(0, dtype=widest(b, v, c, kernel))
    dtype = widest(b, v, c, kernel)
    before = convolve(b.to(dtype) * v, kernel.to(dtype), tail=_to(tail, dtype))
    return torch.mul(before, c, out=v.new_empty(v.shape)), before


@gated_operator.register_fake
def _(b: Tensor, v: Tensor, c: Tensor, kernel: Tensor, tail: OptionalTensor) -> Pair:
    kept = choose(GATED_NAME, v) != TRITON
    return v.new_empty(v.shape), v.new_empty(v.shape if kept else 0, dtype=widest(b, v, c, kernel))


@torch.library.custom_op("star::gated_short_conv_backward", mutates_args=())
def gated_backward_operator(
    grad: Tensor,
    b: Tensor,
    v: Tensor,
    c: Tensor,
    kernel: Tensor,
    tail: OptionalTensor,
    before: Tensor,
) -> Five:
    """Gradients of b, v, c, kernel and tail."""
    dtype, reach = widest(b, v, c, kernel), kernel.shape[1] - 1
    if choose(GATED_NAME, v) == TRITON:
        from .triton import gated_backward

        grads = gated_backward(grad, b, v, c, kernel, tail)
        if tail is None:
            return *grads, _empty(v)
        # A tail reaches taps - 1 positions only; PyTorch does them.
        return *grads, tail_gradient(grad[:, :reach].to(dtype) * c[:, :reach], kernel.to(dtype)).to(
            tail.dtype
        )
    weight = kernel.to(dtype)
    inner = grad.to(dtype) * c
    grad_x = input_gradient(inner, weight)
    grad_c = torch.mul(grad, before, out=c.new_empty(c.shape))
    grad_v = torch.mul(grad_x, b, out=v.new_empty(v.shape))
    grad_b = torch.mul(grad_x, v, out=b.new_empty(b.shape))
    x = torch.mul(b.to(dtype), v, out=grad_x)
    grad_kernel = kernel_gradient(inner, x, weight, _to(tail, dtype)).to(kernel.dtype).contiguous()
    grad_tail = _empty(v) if tail is None else tail_gradient(inner, weight).to(tail.dtype)
    return grad_b, grad_v, grad_c, grad_kernel, grad_tail


@gated_backward_operator.register_fake
def _(
    grad: Tensor,
    b: Tensor,
    v: Tensor,
    c: Tensor,
    kernel: Tensor,
    tail: OptionalTensor,
    before: Tensor,
) -> Five:
    like = [tensor.new_empty(tensor.shape) for tensor in (b, v, c, kernel)]
    return like[0], like[1], like[2], like[3], _like(tail, v)


@torch.library.custom_op("star::short_conv", mutates_args=())
def plain_operator(
    x: Tensor, kernel: Tensor, bias: OptionalTensor, swish: bool, tail: OptionalTensor
) -> Pair:
    """The convolution with bias and swish, and the same before the swish (empty without one)."""
    if choose(NAME, x) == TRITON:
        from .triton import plain_forward

        return plain_forward(x, kernel, bias, swish, tail), x.new_empty(0, dtype=widest(x, kernel))
    dtype = widest(x, kernel)
    y = convolve(x.to(dtype), kernel.to(dtype), _to(bias, dtype), _to(tail, dtype))
    return (F.silu(y).to(x.dtype), y) if swish else (y.to(x.dtype), y.new_empty(0))


@plain_operator.register_fake
def _(x: Tensor, kernel: Tensor, bias: OptionalTensor, swish: bool, tail: OptionalTensor) -> Pair:
    kept = swish and choose(NAME, x) != TRITON
    return x.new_empty(x.shape), x.new_empty(x.shape if kept else 0, dtype=widest(x, kernel))


@torch.library.custom_op("star::short_conv_backward", mutates_args=())
def plain_backward_operator(
    grad: Tensor,
    x: Tensor,
    kernel: Tensor,
    bias: OptionalTensor,
    swish: bool,
    tail: OptionalTensor,
    before: Tensor,
) -> Four:
    """Gradients of x, kernel, bias and tail."""
    dtype, reach = widest(x, kernel), kernel.shape[1] - 1
    weight, offset, past = kernel.to(dtype), _to(bias, dtype), _to(tail, dtype)
    if choose(NAME, x) == TRITON:
        from .triton import plain_backward

        grads = plain_backward(grad, x, kernel, bias, swish, tail)
        if tail is None:
            return *grads, _empty(x)
        near = grad[:, :reach].to(dtype)
        if swish:
            near = torch.ops.aten.silu_backward(
                near, convolve(x[:, :reach].to(dtype), weight, offset, past)
            )
        return *grads, tail_gradient(near, weight).to(tail.dtype)
    inner = grad.to(dtype)
    if swish:
        inner = torch.ops.aten.silu_backward(inner, before)
    grad_kernel = kernel_gradient(inner, x.to(dtype), weight, past).to(kernel.dtype).contiguous()
    grad_bias = _empty(x) if bias is None else inner.sum((0, 1)).to(bias.dtype)
    grad_tail = _empty(x) if tail is None else tail_gradient(inner, weight).to(tail.dtype)
    return input_gradient(inner, weight).to(x.dtype), grad_kernel, grad_bias, grad_tail


@plain_backward_operator.register_fake
def _(
    grad: Tensor,
    x: Tensor,
    kernel: Tensor,
    bias: OptionalTensor,
    swish: bool,
    tail: OptionalTensor,
    before: Tensor,
) -> Four:
    return x.new_empty(x.shape), kernel.new_empty(kernel.shape), _like(bias, x), _like(tail, x)


def _gated_setup(ctx: Any, inputs: tuple[Any, ...], output: Pair) -> None:
    ctx.save_for_backward(*inputs, output[1])
    ctx.set_materialize_grads(False)


def _gated_backward(ctx: Any, grad: OptionalTensor, _: None) -> tuple[OptionalTensor, ...]:
    if grad is None:
        return (None,) * 5
    *inputs, before = ctx.saved_tensors
    *grads, grad_tail = gated_backward_operator(grad, *inputs, before)
    return *grads, None if inputs[-1] is None else grad_tail


def _plain_setup(ctx: Any, inputs: tuple[Any, ...], output: Pair) -> None:
    x, kernel, bias, ctx.swish, tail = inputs
    ctx.save_for_backward(x, kernel, bias, tail, output[1])
    ctx.set_materialize_grads(False)


def _plain_backward(ctx: Any, grad: OptionalTensor, _: None) -> tuple[OptionalTensor, ...]:
    if grad is None:
        return (None,) * 5
    x, kernel, bias, tail, before = ctx.saved_tensors
    grads = plain_backward_operator(grad, x, kernel, bias, ctx.swish, tail, before)
    grad_bias, grad_tail = (
        None if given is None else found
        for given, found in zip((bias, tail), grads[2:], strict=True)
    )
    return grads[0], grads[1], grad_bias, None, grad_tail


gated_operator.register_autograd(_gated_backward, setup_context=_gated_setup)
plain_operator.register_autograd(_plain_backward, setup_context=_plain_setup)


def _to(tensor: OptionalTensor, dtype: torch.dtype) -> OptionalTensor:
    return None if tensor is None else tensor.to(dtype)


def _empty(like: Tensor) -> Tensor:
    """What an operator returns in place of a tensor that there is not."""
    return like.new_empty(0)


def _like(tensor: OptionalTensor, other: Tensor) -> Tensor:
    return _empty(other) if tensor is None else tensor.new_empty(tensor.shape)
