"""The gated long convolution of Hyena (arXiv 2302.10866): a causal one as long as the sequence,
between two gates."""

from typing import Any

import torch

from ..checks import check_inputs
from ..dispatch import REFERENCE, TRITON, choose
from . import fourier
from .reference import gated_long_conv_reference

NAME = "gated_long_conv"


def gated_long_conv(
    b: torch.Tensor, v: torch.Tensor, c: torch.Tensor, kernel: torch.Tensor
) -> torch.Tensor:
    """`y_t = c_t * sum over lags l <= t of kernel_l * b_(t-l) * v_(t-l)`, each channel by itself.

    b, v, c: (batch, length, channels), length at least 1. kernel: (length, channels), lag 0 first.
    Any mixture of floating dtypes; computed in float32 or wider (Triton multiplies bfloat16 or
    float16 products b * v by the kernel rounded to their dtype, and accumulates in float32).
    Returns y of that shape in the dtype of v. Backward keeps the inputs and the convolution before
    c. Raises ValueError for shapes, devices or dtypes that do not fit.
    """
    if v.dim() != 3 or 0 in v.shape:
        raise ValueError(
            f"{NAME}: v has shape {tuple(v.shape)}, expected (batch, length, channels), none of "
            f"them 0"
        )
    check_inputs(
        NAME,
        {"v": (v, v.shape), "b": (b, v.shape), "c": (c, v.shape), "kernel": (kernel, v.shape[1:])},
    )
    if choose(NAME, v) == REFERENCE:
        return gated_long_conv_reference(b, v, c, kernel)
    return _gated_long_conv(b, v, c, kernel)[0]


def _implementation(b: torch.Tensor, v: torch.Tensor, c: torch.Tensor, kernel: torch.Tensor) -> Any:
    """The module that computes: Triton's, or the FFT for what Triton's does not support."""
    if choose(NAME, v) == TRITON:
        from . import triton_kernel

        if triton_kernel.supports(b, v, c, kernel):
            return triton_kernel
    return fourier


@torch.library.custom_op("star::gated_long_conv", mutates_args=())
def _gated_long_conv(
    b: torch.Tensor, v: torch.Tensor, c: torch.Tensor, kernel: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """y, and the convolution before c (batch, channels, length), for backward."""
    return _implementation(b, v, c, kernel).forward(b, v, c, kernel)


@_gated_long_conv.register_fake
def _(
    b: torch.Tensor, v: torch.Tensor, c: torch.Tensor, kernel: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    batch, length, channels = v.shape
    return v.new_empty(v.shape), v.new_empty(batch, channels, length)


@torch.library.custom_op("star::gated_long_conv_backward", mutates_args=())
def _gated_long_conv_backward(
    grad: torch.Tensor,
    b: torch.Tensor,
    v: torch.Tensor,
    c: torch.Tensor,
    kernel: torch.Tensor,
    convolved: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    return _implementation(b, v, c, kernel).backward(grad, b, v, c, kernel, convolved)


@_gated_long_conv_backward.register_fake
def _(
    grad: torch.Tensor,
    b: torch.Tensor,
    v: torch.Tensor,
    c: torch.Tensor,
    kernel: torch.Tensor,
    convolved: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    return (
        b.new_empty(b.shape),
        v.new_empty(v.shape),
        c.new_empty(c.shape),
        kernel.new_empty(kernel.shape),
    )


def _setup(
    ctx: Any, inputs: tuple[torch.Tensor, ...], output: tuple[torch.Tensor, torch.Tensor]
) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs, output[1])


def _backward(ctx: Any, grad: torch.Tensor | None, _: None) -> tuple[torch.Tensor | None, ...]:
    if grad is None:
        return None, None, None, None
    return _gated_long_conv_backward(grad, *ctx.saved_tensors)


_gated_long_conv.register_autograd(_backward, setup_context=_setup)
