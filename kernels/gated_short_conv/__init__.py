"""Short causal depthwise convolutions: gated, as in LFM2 and STAR (arXiv 2411.17800), and plain, as
in featurizers."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..checks import check_inputs
from ..dtypes import wide
from .cpu import advance, step
from .operator import GATED_NAME, NAME, gated_short_conv_from, short_conv_from

MAX_TAPS = 8


def gated_short_conv(
    b: Tensor, v: Tensor, c: Tensor, kernel: Tensor, state: Tensor | None = None
) -> Tensor:
    """`y_t = c_t * sum_j kernel_j (b v)_(t - taps + 1 + j)`: the gated short convolution (arXiv
    2411.17800).

    Computed in float32 or wider. Differentiable once in every tensor.

    Args:
        b: (batch, length, channels), any floating dtype, as all others.
        v: (batch, length, channels).
        c: (batch, length, channels).
        kernel: (channels, taps), 1 to 8 taps; the last meets the present position, as in
            `torch.nn.functional.conv1d` with padding on the left.
        state: (batch, taps - 1, channels), the products b * v of the positions before these, zeros
            before the first. With it the inputs continue a sequence: it is read, and advanced in
            place. For generation: nothing is differentiable then.

    Returns y like v. Raises ValueError for shapes, devices or dtypes that do not fit.
    """
    _check(GATED_NAME, v, kernel, state, b=b, c=c)
    if state is None:
        return gated_short_conv_from(b, v, c, kernel, None)
    dtype = wide(v.dtype)
    with torch.no_grad():
        if v.shape[1] == 1:
            return (step(b.to(dtype) * v, kernel, state) * c).to(v.dtype)
        y = gated_short_conv_from(b, v, c, kernel, state)
        start = max(0, v.shape[1] - state.shape[1])
        advance(state, b[:, start:].to(dtype) * v[:, start:])
    return y


def short_conv(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    swish: bool = False,
    state: Tensor | None = None,
) -> Tensor:
    """`y_t = f(bias + sum_j kernel_j x_(t - taps + 1 + j))`, f the swish or nothing: Mamba's (arXiv
    2312.00752).

    Computed in float32 or wider. Differentiable once in every tensor.

    Args:
        x: (batch, length, channels), any floating dtype, as all others.
        kernel: (channels, taps), 1 to 8 taps; the last meets the present position, as in
            `torch.nn.functional.conv1d` with padding on the left.
        bias: (channels,); none adds nothing.
        swish: whether f is the swish.
        state: (batch, taps - 1, channels), the inputs before these, zeros before the first. With it
            the inputs continue a sequence: it is read, and advanced in place. For generation:
            nothing is differentiable then.

    Returns y like x. Raises ValueError for shapes, devices or dtypes that do not fit.
    """
    _check(NAME, x, kernel, state, bias=bias)
    if state is None:
        return short_conv_from(x, kernel, bias, swish, None)
    with torch.no_grad():
        if x.shape[1] == 1:
            y = step(x.to(wide(x.dtype)), kernel, state)
            y = y if bias is None else y + bias
            return (F.silu(y) if swish else y).to(x.dtype)
        y = short_conv_from(x, kernel, bias, swish, state)
        advance(state, x)
    return y


def _check(
    operation: str, main: Tensor, kernel: Tensor, state: Tensor | None, **others: Tensor | None
) -> None:
    """Raises ValueError for arguments that do not fit together: b and c go with a main input v,
    bias with x."""
    name = "v" if "b" in others else "x"
    if main.dim() != 3:
        raise ValueError(
            f"{operation}: {name} has shape {tuple(main.shape)}, expected 3 axes (batch, length, "
            f"channels)"
        )
    if kernel.dim() != 2 or not 1 <= kernel.shape[1] <= MAX_TAPS:
        raise ValueError(
            f"{operation}: kernel has shape {tuple(kernel.shape)}, expected (channels, taps) with "
            f"1 to {MAX_TAPS} taps"
        )
    (batch, _, channels), taps = main.shape, kernel.shape[1]
    shapes = {"b": main.shape, "c": main.shape, "bias": (channels,)}
    expected = {
        name: (main, main.shape),
        "kernel": (kernel, (channels, taps)),
        "state": (state, (batch, taps - 1, channels)),
    }
    check_inputs(
        operation, {**expected, **{key: (tensor, shapes[key]) for key, tensor in others.items()}}
    )
