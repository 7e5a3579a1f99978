"""The gated long convolution of Hyena (arXiv 2302.10866): a causal one as long as the sequence,
between two gates."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..checks import check_inputs
from . import cpu
from .operator import NAME, gated_long_conv_whole

__all__ = ["gated_long_conv"]


def gated_long_conv(
    b: Tensor, v: Tensor, c: Tensor, kernel: Tensor, state: Tensor | None = None, position: int = 0
) -> Tensor:
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
            return cpu.continued(b, v, c, kernel, state, position)
    return gated_long_conv_whole(b, v, c, kernel)


def _check(
    b: Tensor, v: Tensor, c: Tensor, kernel: Tensor, state: Tensor | None, position: int
) -> None:
    if v.dim() != 3 or 0 in v.shape:
        raise ValueError(
            f"{NAME}: v has shape {tuple(v.shape)}, expected (batch, length, channels), none of "
            f"them 0"
        )
    batch, length, channels = v.shape
    expected: dict[str, tuple[Tensor, Sequence[int]]] = {
        "v": (v, v.shape),
        "b": (b, v.shape),
        "c": (c, v.shape),
        "kernel": (kernel, (length, channels)),
    }
    if state is not None:
        end = position + length
        for name, x, axis in (("kernel", kernel, 0), ("state", state, 1)):
            if position < 0 or x.dim() != axis + 2 or x.shape[axis] < end:
                raise ValueError(
                    f"{NAME}: {name} has shape {tuple(x.shape)}, expected room for the positions "
                    f"{position} to {end}"
                )
        expected["kernel"] = (kernel, (kernel.shape[0], channels))
        expected["state"] = (state, (batch, state.shape[1], channels))
    check_inputs(NAME, expected)
