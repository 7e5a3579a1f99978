"""Short causal depthwise convolutions: gated, as in LFM2 and STAR (arXiv 2411.17800), and plain, as
in featurizers."""

from typing import Literal, overload

import torch

from ..checks import check_inputs, wide
from ..dispatch import REFERENCE, choose
from .operators import GATED_SHORT_CONV_NAME, SHORT_CONV_NAME, gated_operator, plain_operator
from .reference import gated_short_conv_reference, short_conv_reference

MAX_TAPS = 8


@overload
def gated_short_conv(
    b: torch.Tensor,
    v: torch.Tensor,
    c: torch.Tensor,
    kernel: torch.Tensor,
    tail: torch.Tensor | None = None,
) -> torch.Tensor: ...


@overload
def gated_short_conv(
    b: torch.Tensor,
    v: torch.Tensor,
    c: torch.Tensor,
    kernel: torch.Tensor,
    tail: torch.Tensor | None = None,
    *,
    return_tail: Literal[True],
) -> tuple[torch.Tensor, torch.Tensor]: ...


def gated_short_conv(
    b: torch.Tensor,
    v: torch.Tensor,
    c: torch.Tensor,
    kernel: torch.Tensor,
    tail: torch.Tensor | None = None,
    return_tail: bool = False,
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """`y_t = c_t * sum_j kernel_j (b v)_(t - taps + 1 + j)`: the gated short convolution (arXiv
    2411.17800).

    b, v, c: (batch, length, channels). kernel: (channels, taps), 1 to 8 taps; the last meets the
    present position, as in `torch.nn.functional.conv1d` with padding on the left. tail: the
    products b * v of the taps - 1 positions before, (batch, taps - 1, channels); None stands for
    zeros. Dtypes float32, bfloat16, float16 or float64, mixed at will; computed in float32 or
    wider. Differentiable once in every tensor.

    Returns y like v, and with `return_tail` the tail of the next position, in the dtype of the one
    given or else of v. Raises ValueError for shapes, devices or dtypes that do not fit.
    """
    _check(GATED_SHORT_CONV_NAME, v, kernel, tail, b=b, c=c)
    if choose(GATED_SHORT_CONV_NAME, v) == REFERENCE:
        y = gated_short_conv_reference(b, v, c, kernel, tail)
    else:
        y, _ = gated_operator(b, v, c, kernel, tail)
    if not return_tail:
        return y
    reach = min(kernel.shape[1] - 1, v.shape[1])
    start = v.shape[1] - reach
    products = b[:, start:].to(wide(v.dtype)) * v[:, start:]
    return y, _next_tail(products, v.dtype, kernel, tail)


@overload
def short_conv(
    x: torch.Tensor,
    kernel: torch.Tensor,
    bias: torch.Tensor | None = None,
    swish: bool = False,
    tail: torch.Tensor | None = None,
) -> torch.Tensor: ...


@overload
def short_conv(
    x: torch.Tensor,
    kernel: torch.Tensor,
    bias: torch.Tensor | None = None,
    swish: bool = False,
    tail: torch.Tensor | None = None,
    *,
    return_tail: Literal[True],
) -> tuple[torch.Tensor, torch.Tensor]: ...


def short_conv(
    x: torch.Tensor,
    kernel: torch.Tensor,
    bias: torch.Tensor | None = None,
    swish: bool = False,
    tail: torch.Tensor | None = None,
    return_tail: bool = False,
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """`y_t = f(bias + sum_j kernel_j x_(t - taps + 1 + j))`, f the swish or nothing: Mamba's (arXiv
    2312.00752).

    x: (batch, length, channels). kernel: (channels, taps), 1 to 8 taps; the last meets the present
    position, as in `torch.nn.functional.conv1d` with padding on the left. bias: (channels,). tail:
    the taps - 1 inputs before, (batch, taps - 1, channels); None stands for zeros. Dtypes float32,
    bfloat16, float16 or float64, mixed at will; computed in float32 or wider. Differentiable once
    in every tensor.

    Returns y like x, and with `return_tail` the tail of the next position, in the dtype of the one
    given or else of x. Raises ValueError for shapes, devices or dtypes that do not fit.
    """
    _check(SHORT_CONV_NAME, x, kernel, tail, bias=bias)
    if choose(SHORT_CONV_NAME, x) == REFERENCE:
        y = short_conv_reference(x, kernel, bias, swish, tail)
    else:
        y, _ = plain_operator(x, kernel, bias, swish, tail)
    return (y, _next_tail(x, x.dtype, kernel, tail)) if return_tail else y


def step_gated_short_conv(
    b: torch.Tensor, v: torch.Tensor, c: torch.Tensor, kernel: torch.Tensor, tail: torch.Tensor
) -> torch.Tensor:
    """`gated_short_conv` of one position; replaces tail in place by the next one. Not
    differentiable.

    b, v, c: (batch, 1, channels). kernel: (channels, taps). tail: (batch, taps - 1, channels), any
    floating dtype. Returns y like v. Raises ValueError for shapes, devices or dtypes that do not
    fit.
    """
    _check("step_gated_short_conv", v, kernel, tail, 1, b=b, c=c)
    dtype = wide(v.dtype)
    return (_step(b.to(dtype) * v, kernel, tail) * c).to(v.dtype)


def step_short_conv(
    x: torch.Tensor,
    kernel: torch.Tensor,
    tail: torch.Tensor,
    bias: torch.Tensor | None = None,
    swish: bool = False,
) -> torch.Tensor:
    """`short_conv` of one position; replaces tail in place by the next one. Not differentiable.

    x: (batch, 1, channels). kernel: (channels, taps). tail: (batch, taps - 1, channels), any
    floating dtype. bias: (channels,). Returns y like x. Raises ValueError for shapes, devices or
    dtypes that do not fit.
    """
    _check("step_short_conv", x, kernel, tail, 1, bias=bias)
    y = _step(x.to(wide(x.dtype)), kernel, tail)
    y = y if bias is None else y + bias
    return (torch.nn.functional.silu(y) if swish else y).to(x.dtype)


def _step(x: torch.Tensor, kernel: torch.Tensor, tail: torch.Tensor) -> torch.Tensor:
    """One position of the convolution, in the dtype of x or wider."""
    window = torch.cat([tail.to(x.dtype), x], dim=1)
    tail.copy_(window[:, 1:])
    return (window * kernel.t()).sum(1, keepdim=True)


def _next_tail(
    x: torch.Tensor, dtype: torch.dtype, kernel: torch.Tensor, tail: torch.Tensor | None
) -> torch.Tensor:
    """The last taps - 1 inputs, of which x (batch, length, channels) holds the latest."""
    batch, length, channels = x.shape
    last = kernel.shape[1] - 1
    dtype = dtype if tail is None else tail.dtype
    if length >= last:
        return x[:, length - last :].to(dtype, copy=True)
    past = x.new_zeros(batch, last, channels, dtype=dtype) if tail is None else tail
    return torch.cat([past[:, length:], x.to(dtype)], dim=1)


def _check(
    operation: str,
    main: torch.Tensor,
    kernel: torch.Tensor,
    tail: torch.Tensor | None,
    length: int | None = None,
    **others: torch.Tensor | None,
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
    batch, channels, taps = main.shape[0], main.shape[2], kernel.shape[1]
    shape = (batch, main.shape[1] if length is None else length, channels)
    shapes = {"b": shape, "c": shape, "bias": (channels,)}
    expected = {
        name: (main, shape),
        "kernel": (kernel, (channels, taps)),
        "tail": (tail, (batch, taps - 1, channels)),
    }
    check_inputs(
        operation, {**expected, **{key: (tensor, shapes[key]) for key, tensor in others.items()}}
    )
