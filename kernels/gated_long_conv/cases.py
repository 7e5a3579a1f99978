"""Cases of `gated_long_conv` for certificates, benchmarks and tests."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..dtypes import wide
from ..harness.operation import Cost, Inputs, Operation, Sizes, normal
from . import gated_long_conv
from .operator import NAME
from .reference import gated_long_conv_reference


def _inputs(
    sizes: Sizes, dtype: torch.dtype, device: torch.device, generator: torch.Generator
) -> Inputs:
    length, width = sizes["length"], sizes["width"]
    inputs = {
        name: normal((sizes["batch"], length, width), dtype, device, generator)
        for name in ("b", "v", "c")
    }
    return {
        **inputs,
        "kernel": normal((length, width), dtype, device, generator, scale=length**-0.5),
    }


def _cost(sizes: Sizes, dtype: torch.dtype) -> Cost:
    """Each tensor moved once, and again with the gradients; operations of what is no FFT are not
    counted."""
    kernel = sizes["length"] * sizes["width"] * dtype.itemsize
    elements = sizes["batch"] * kernel
    forward = 4 * elements + kernel
    return Cost(forward_bytes=forward, both_bytes=forward + 7 * elements + 2 * kernel)


def _fft(b: Tensor, v: Tensor, c: Tensor, kernel: Tensor) -> tuple[Tensor]:
    length, dtype = v.shape[1], wide(v.dtype)
    spectrum = torch.fft.rfft((b * v).to(dtype), n=2 * length, dim=1)
    response = torch.fft.rfft(kernel.to(dtype), n=2 * length, dim=0)
    return (c * torch.fft.irfft(spectrum * response, n=2 * length, dim=1)[:, :length].to(v.dtype),)


def _conv1d(b: Tensor, v: Tensor, c: Tensor, kernel: Tensor) -> tuple[Tensor]:
    length, channels = kernel.shape
    gated = F.pad((b * v).transpose(1, 2), (length - 1, 0))
    return (c * F.conv1d(gated, kernel.t().flip(1)[:, None], groups=channels).transpose(1, 2),)


def _sizes(batch: int, length: int, width: int) -> Sizes:
    return {"batch": batch, "length": length, "width": width}


_QUICK = [_sizes(1, 1, 16), _sizes(2, 257, 40), _sizes(3, 1000, 17)]

GATED_LONG_CONV = Operation(
    name=NAME,
    run=lambda b, v, c, kernel: (gated_long_conv(b, v, c, kernel),),
    reference=lambda b, v, c, kernel: (gated_long_conv_reference(b, v, c, kernel),),
    inputs=_inputs,
    interpreter=[_sizes(2, 3, 2), _sizes(1, 1, 1), _sizes(2, 37, 3)],
    quick=_QUICK,
    full=[*_QUICK, _sizes(8, 512, 256), _sizes(2, 2048, 64), _sizes(1, 3000, 8)],
    cpu=[_sizes(8, 128, 64), _sizes(8, 256, 64)],
    bench=[_sizes(8, 256, 64), _sizes(8, 2048, 2048), _sizes(8, 4096, 2048)],
    cost=_cost,
    peers={"torch FFT": _fft, "F.conv1d": _conv1d},
)
