"""Cases of `gated_short_conv` and `short_conv` for certificates, benchmarks and tests."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ..harness.operation import Cost, Inputs, Operation, Sizes, normal
from .operator import GATED_NAME, NAME, gated_short_conv_from, short_conv_from
from .reference import gated_short_conv_reference, short_conv_reference

OptionalTensor = Tensor | None
Outputs = tuple[Tensor]


def _sizes(
    batch: int, length: int, width: int, taps: int, bias: int = 0, swish: int = 0, tail: int = 0
) -> dict[str, int]:
    """bias, swish and tail: 1 for cases that have one."""
    return {
        "batch": batch, "length": length, "width": width, "taps": taps,
        "bias": bias, "swish": swish, "tail": tail,
    }  # fmt: skip


def _shared(
    sizes: Sizes, dtype: torch.dtype, device: torch.device, generator: torch.Generator
) -> Inputs:
    taps, width = sizes["taps"], sizes["width"]
    tail = (
        normal((sizes["batch"], taps - 1, width), dtype, device, generator)
        if sizes["tail"]
        else None
    )
    return {
        "kernel": normal((width, taps), dtype, device, generator, scale=taps**-0.5),
        "tail": tail,
    }


def _gated_inputs(
    sizes: Sizes, dtype: torch.dtype, device: torch.device, generator: torch.Generator
) -> Inputs:
    shape = (sizes["batch"], sizes["length"], sizes["width"])
    values = {name: normal(shape, dtype, device, generator) for name in ("b", "v", "c")}
    return {**values, **_shared(sizes, dtype, device, generator)}


def _plain_inputs(
    sizes: Sizes, dtype: torch.dtype, device: torch.device, generator: torch.Generator
) -> Inputs:
    x = normal((sizes["batch"], sizes["length"], sizes["width"]), dtype, device, generator)
    bias = normal((sizes["width"],), dtype, device, generator) if sizes["bias"] else None
    return {
        "x": x,
        **_shared(sizes, dtype, device, generator),
        "bias": bias,
        "swish": bool(sizes["swish"]),
    }


def _counts(sizes: Sizes) -> tuple[int, int, int]:
    """Elements of a value, of the kernel and of the tail."""
    kernel = sizes["width"] * sizes["taps"]
    tail = sizes["tail"] * sizes["batch"] * (kernel - sizes["width"])
    return sizes["batch"] * sizes["length"] * sizes["width"], kernel, tail


def _gated_cost(sizes: Sizes, dtype: torch.dtype) -> Cost:
    """Backward computes the convolution again, for the gradient of c."""
    values, kernel, tail = _counts(sizes)
    taps = sizes["taps"]
    return Cost(
        forward_bytes=(4 * values + kernel + tail) * dtype.itemsize,
        both_bytes=(11 * values + 3 * kernel + 3 * tail) * dtype.itemsize,
        forward_flops=(2 * taps + 1) * values,
        both_flops=(8 * taps + 4) * values,
    )


def _plain_cost(sizes: Sizes, dtype: torch.dtype) -> Cost:
    values, kernel, tail = _counts(sizes)
    taps, bias, swish = sizes["taps"], sizes["bias"], sizes["swish"]
    once = 2 * taps - 1 + bias + 4 * swish
    again = (
        2 * taps - 1 + bias + 8
    ) * swish  # the derivative of the swish needs the convolution again
    return Cost(
        forward_bytes=(2 * values + kernel + tail + bias * sizes["width"]) * dtype.itemsize,
        both_bytes=(5 * values + 3 * kernel + 3 * tail + (2 + swish) * bias * sizes["width"])
        * dtype.itemsize,
        forward_flops=once * values,
        both_flops=(once + again + 4 * taps - 1 + bias) * values,
    )


def _without_tail(tail: OptionalTensor) -> None:
    if tail is not None:
        raise RuntimeError("this peer takes no tail")


def _conv1d(x: Tensor, kernel: Tensor, bias: OptionalTensor = None, swish: bool = False) -> Tensor:
    padded = F.pad(x.transpose(1, 2), (kernel.shape[1] - 1, 0))
    y = F.conv1d(padded, kernel[:, None], bias, groups=kernel.shape[0]).transpose(1, 2)
    return F.silu(y) if swish else y


def _causal_conv1d(
    x: Tensor, kernel: Tensor, bias: OptionalTensor = None, swish: bool = False
) -> Tensor:
    from causal_conv1d import causal_conv1d_fn  # pyright: ignore[reportMissingImports]

    return causal_conv1d_fn(
        x.transpose(1, 2), kernel, bias, activation="silu" if swish else None
    ).transpose(1, 2)


def _fla(x: Tensor, kernel: Tensor, bias: OptionalTensor = None, swish: bool = False) -> Tensor:
    try:
        from fla.modules.convolution import causal_conv1d  # pyright: ignore[reportMissingImports]
    except ImportError:  # its place since 2026
        from fla.modules.conv import causal_conv1d  # pyright: ignore[reportMissingImports]

    return causal_conv1d(x, kernel, bias, activation="silu" if swish else None)[0]


Convolution = Callable[..., Tensor]


def _gated_peer(convolution: Convolution) -> Callable[..., Outputs]:
    """A convolution as a peer of the gated form."""

    def run(b: Tensor, v: Tensor, c: Tensor, kernel: Tensor, tail: OptionalTensor) -> Outputs:
        _without_tail(tail)
        return (c * convolution(b * v, kernel),)

    return run


def _plain_peer(convolution: Convolution) -> Callable[..., Outputs]:
    """A convolution, swish included, as a peer of the plain form."""

    def run(
        x: Tensor, kernel: Tensor, bias: OptionalTensor, swish: bool, tail: OptionalTensor
    ) -> Outputs:
        _without_tail(tail)
        return (convolution(x, kernel, bias, swish),)

    return run


_CONVOLUTIONS = {
    "F.conv1d": _conv1d,
    "causal-conv1d": _causal_conv1d,
    "flash-linear-attention": _fla,
}

GATED_SHORT_CONV = Operation(
    name=GATED_NAME,
    run=lambda **inputs: (gated_short_conv_from(**inputs),),
    reference=lambda **inputs: (gated_short_conv_reference(**inputs),),
    inputs=_gated_inputs,
    interpreter=[
        _sizes(1, 3, 2, 3, tail=1),
        _sizes(1, 1, 1, 1),
        _sizes(2, 5, 3, 8, tail=1),
        _sizes(1, 40, 130, 5),
        _sizes(2, 37, 30, 3),
    ],
    quick=[
        _sizes(1, 1, 64, 3),
        _sizes(2, 257, 96, 3),
        _sizes(2, 5, 200, 8, tail=1),
        _sizes(3, 130, 130, 4, tail=1),
    ],
    full=[
        _sizes(1, 1, 64, 3),
        _sizes(2, 257, 96, 3),
        _sizes(2, 5, 200, 8, tail=1),
        _sizes(3, 130, 130, 4, tail=1),
        *(_sizes(2, 1023, 320, taps) for taps in range(1, 9)),
        _sizes(8, 1024, 1024, 3),
    ],
    bench=[_sizes(8, 4096, 2048, 3)],
    cpu=[_sizes(8, 128, 64, 3), _sizes(8, 256, 64, 3)],
    cost=_gated_cost,
    peers={name: _gated_peer(convolution) for name, convolution in _CONVOLUTIONS.items()},
)

SHORT_CONV = Operation(
    name=NAME,
    run=lambda **inputs: (short_conv_from(**inputs),),
    reference=lambda **inputs: (short_conv_reference(**inputs),),
    inputs=_plain_inputs,
    interpreter=[
        _sizes(1, 3, 2, 3, bias=1, swish=1, tail=1),
        _sizes(1, 1, 1, 1, bias=1),
        _sizes(2, 5, 3, 8, swish=1, tail=1),
        _sizes(1, 40, 130, 3),
        _sizes(2, 37, 30, 4, bias=1, swish=1),
    ],
    quick=[
        _sizes(1, 1, 64, 3),
        _sizes(2, 257, 96, 4, bias=1, swish=1),
        _sizes(2, 5, 200, 8, swish=1, tail=1),
        _sizes(3, 130, 130, 4, bias=1, tail=1),
    ],
    full=[
        _sizes(1, 1, 64, 3),
        _sizes(2, 257, 96, 4, bias=1, swish=1),
        _sizes(2, 5, 200, 8, swish=1, tail=1),
        _sizes(3, 130, 130, 4, bias=1, tail=1),
        *(_sizes(2, 1023, 320, taps, bias=taps % 2, swish=1) for taps in range(1, 9)),
        _sizes(8, 1024, 1024, 4, bias=1, swish=1),
    ],
    bench=[_sizes(8, 4096, 2048, 4, bias=1, swish=1), _sizes(8, 4096, 2048, 3)],
    cpu=[_sizes(8, 128, 64, 4, bias=1, swish=1), _sizes(8, 256, 64, 4, bias=1, swish=1)],
    cost=_plain_cost,
    peers={name: _plain_peer(convolution) for name, convolution in _CONVOLUTIONS.items()},
)
