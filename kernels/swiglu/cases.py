"""Cases of `swiglu` for certificates, benchmarks and tests."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..harness.operation import Cost, Inputs, Operation, Sizes, normal
from . import swiglu
from .operator import NAME
from .reference import swiglu_reference


def _inputs(
    sizes: Sizes, dtype: torch.dtype, device: torch.device, generator: torch.Generator
) -> Inputs:
    shape = (sizes["batch"], sizes["length"], sizes["width"])
    return {name: normal(shape, dtype, device, generator) for name in ("c", "v")}


def _cost(sizes: Sizes, dtype: torch.dtype) -> Cost:
    elements = sizes["batch"] * sizes["length"] * sizes["width"] * dtype.itemsize
    return Cost(forward_bytes=3 * elements, both_bytes=8 * elements)


def _sizes(batch: int, length: int, width: int) -> Sizes:
    return {"batch": batch, "length": length, "width": width}


def _eager(c: Tensor, v: Tensor) -> Tensor:
    return F.silu(c) * v


def _fla(c: Tensor, v: Tensor) -> tuple[Tensor]:
    from fla.modules.activations import (  # pyright: ignore[reportMissingImports]
        swiglu as fla_swiglu,
    )

    return (fla_swiglu(c, v),)


def _liger(c: Tensor, v: Tensor) -> tuple[Tensor]:
    """Liger writes the gradients over its inputs, so it gets copies; their making is part of its
    time."""
    from liger_kernel.ops.swiglu import (  # pyright: ignore[reportMissingImports]
        LigerSiLUMulFunction,
    )

    return (LigerSiLUMulFunction.apply(c.clone(), v.clone()),)


SWIGLU = Operation(
    name=NAME,
    run=lambda c, v: (swiglu(c, v),),
    reference=lambda c, v: (swiglu_reference(c, v),),
    inputs=_inputs,
    interpreter=[_sizes(1, 1, 1), _sizes(2, 37, 30)],
    quick=[_sizes(1, 1, 64), _sizes(2, 257, 96)],
    full=[_sizes(1, 1, 64), _sizes(2, 257, 96), _sizes(8, 1024, 1024)],
    bench=[_sizes(8, 4096, 2048)],
    cpu=[_sizes(8, 128, 176), _sizes(8, 256, 176)],
    cost=_cost,
    peers={
        "torch eager": lambda c, v: (_eager(c, v),),
        "flash-linear-attention": _fla,
        "liger-kernel (inputs copied)": _liger,
    },
)
