"""The gated long convolution as an operator of torch.library, with its gradients."""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ..dispatch import REFERENCE, TRITON, choose
from . import cpu
from .reference import gated_long_conv_reference

NAME = "gated_long_conv"
Four = tuple[Tensor, Tensor, Tensor, Tensor]


def gated_long_conv_whole(b: Tensor, v: Tensor, c: Tensor, kernel: Tensor) -> Tensor:
    """y of a sequence from its start; arguments unchecked."""
    if choose(NAME, v) == REFERENCE:
        return gated_long_conv_reference(b, v, c, kernel)
    return operator(b, v, c, kernel)[0]


def _implementation(b: Tensor, v: Tensor, c: Tensor, kernel: Tensor) -> ModuleType:
    """The module that computes: Triton's, or the FFT for what Triton's does not support."""
    if choose(NAME, v) == TRITON:
        from . import triton

        if triton.supports(b, v, c, kernel):
            return triton
    return cpu


@torch.library.custom_op(
    "star::gated_long_conv",
    mutates_args=(),
    schema="(Tensor b, Tensor v, Tensor c, Tensor kernel) -> (Tensor, Tensor)",
)
def operator(b: Tensor, v: Tensor, c: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """y, and the convolution before c (batch, channels, length), for backward."""
    return _implementation(b, v, c, kernel).forward(b, v, c, kernel)


@operator.register_fake
def _(b: Tensor, v: Tensor, c: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    batch, length, channels = v.shape
    return v.new_empty(v.shape), v.new_empty(batch, channels, length)


@torch.library.custom_op(
    "star::gated_long_conv_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor b, Tensor v, Tensor c, Tensor kernel, Tensor convolved) -> "
    "(Tensor, Tensor, Tensor, Tensor)",
)
def _operator_backward(
    grad: Tensor, b: Tensor, v: Tensor, c: Tensor, kernel: Tensor, convolved: Tensor
) -> Four:
    return _implementation(b, v, c, kernel).backward(grad, b, v, c, kernel, convolved)


@_operator_backward.register_fake
def _(grad: Tensor, *tensors: Tensor) -> Four:
    b, v, c, kernel = (x.new_empty(x.shape) for x in tensors[:4])
    return b, v, c, kernel


def _setup(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs, output[1])


def _backward(ctx: Any, grad: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
    if grad is None:
        return None, None, None, None
    return _operator_backward(grad, *ctx.saved_tensors)


operator.register_autograd(_backward, setup_context=_setup)
