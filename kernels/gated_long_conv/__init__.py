"""The gated long convolution of Hyena (arXiv 2302.10866): a causal one as long as the sequence,
between two gates."""

from typing import Any

import torch

from ..checks import check_inputs, wide
from ..dispatch import REFERENCE, TRITON, choose
from . import fourier
from .reference import gated_long_conv_reference

NAME = "gated_long_conv"


def gated_long_conv(
    b: torch.Tensor,
    v: torch.Tensor,
    c: torch.Tensor,
    kernel: torch.Tensor,
    state: torch.Tensor | None = None,
    position: int = 0,
) -> torch.Tensor:
    """`y_t = c_t * sum over lags l <= t of kernel_l * b_(t-l) * v_(t-l)`, each channel by itself.

    Computed in float32 or wider (Triton multiplies bfloat16 or float16 products b * v by the kernel
    rounded to their dtype, and accumulates in float32). Backward keeps the inputs and the
    convolution before c.

    Args:
        b: (batch, length, channels), any floating dtype, as all others; length at least 1.
        v: (batch, length, channels).
        c: (batch, length, channels).
        kernel: (length, channels), lag 0 first; with a state position + length rows at least.
        state: (batch, context, channels), the history of b * v, whose first `position` rows are
            filled. With it the inputs continue a sequence: it is read, and theirs are written
            behind them in place. For generation: nothing is differentiable then. One position is a
            sum over the history; several go through a zero-padded FFT.
        position: how many positions the state has seen.

    Returns y as v in shape and dtype. Raises ValueError for shapes, devices, dtypes or positions
    that do not fit.
    """
    _check(b, v, c, kernel, state, position)
    if state is not None:
        with torch.no_grad():
            return _continue(b, v, c, kernel, state, position)
    if choose(NAME, v) == REFERENCE:
        return gated_long_conv_reference(b, v, c, kernel)
    return _gated_long_conv(b, v, c, kernel)[0]


def _check(
    b: torch.Tensor,
    v: torch.Tensor,
    c: torch.Tensor,
    kernel: torch.Tensor,
    state: torch.Tensor | None,
    position: int,
) -> None:
    if v.dim() != 3 or 0 in v.shape:
        raise ValueError(
            f"{NAME}: v has shape {tuple(v.shape)}, expected (batch, length, channels), none of "
            f"them 0"
        )
    batch, length, channels = v.shape
    expected = {"v": (v, v.shape), "b": (b, v.shape), "c": (c, v.shape)}
    if state is None:
        check_inputs(NAME, {**expected, "kernel": (kernel, (length, channels))})
        return
    end = position + length
    for name, x, axis in (("kernel", kernel, 0), ("state", state, 1)):
        if position < 0 or x.dim() != axis + 2 or x.shape[axis] < end:
            raise ValueError(
                f"{NAME}: {name} has shape {tuple(x.shape)}, expected room for the positions "
                f"{position} to {end}"
            )
    expected["kernel"] = (kernel[:end], (end, channels))
    expected["state"] = (state[:, :end], (batch, end, channels))
    check_inputs(NAME, expected)


def _continue(
    b: torch.Tensor,
    v: torch.Tensor,
    c: torch.Tensor,
    kernel: torch.Tensor,
    state: torch.Tensor,
    position: int,
) -> torch.Tensor:
    """The next positions of a sequence; b * v is written behind the history in `state`."""
    x, end = b * v, position + v.shape[1]
    state[:, position:end] = x
    dtype = wide(x.dtype)
    seen, kernel = state[:, :end].to(dtype), kernel[:end].to(dtype)
    with torch.autocast(v.device.type, enabled=False):
        if v.shape[1] == 1:
            convolved = torch.einsum("btc,tc->bc", seen, kernel.flip(0))[:, None]
        else:
            size = 2 * end
            spectrum = torch.fft.rfft(seen, n=size, dim=1) * torch.fft.rfft(kernel, n=size, dim=0)
            convolved = torch.fft.irfft(spectrum, n=size, dim=1)[:, position:end]
    return (c * convolved.to(x.dtype)).to(v.dtype)


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
