"""Cases of structured attention for certificates, benchmarks and tests: three operations."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ..dtypes import wide
from ..harness.operation import Cost, Inputs, Operation, Sizes, normal
from ..heads import row_scale, visible
from . import differential_attention, structured_attention
from .cpu import NONLINEARITIES
from .operator import BANDED_SOFTMAX, DIFFERENTIAL, PAIRWISE
from .reference import differential_attention_reference, structured_attention_reference

NONE, RELU, SWISH, SOFTMAX = range(len(NONLINEARITIES))
Draw = Callable[[Sizes, torch.dtype, torch.device, torch.Generator], Inputs]


def _sizes(
    nonlinearity: int,
    batch: int,
    heads: int,
    groups: int,
    length: int,
    width: int,
    value: int,
    window: int = 0,
    past: int = 0,
) -> Sizes:
    """window: 0 for none. past: positions before those of C."""
    return {
        "nonlinearity": nonlinearity,
        "batch": batch,
        "heads": heads,
        "groups": groups,
        "length": length,
        "width": width,
        "value": value,
        "window": window,
        "past": past,
    }


def _draw(copies: int) -> Draw:
    """Arguments of `structured_attention`, or with two copies of `differential_attention`."""

    def inputs(
        sizes: Sizes, dtype: torch.dtype, device: torch.device, generator: torch.Generator
    ) -> Inputs:
        batch, total = sizes["batch"], sizes["past"] + sizes["length"]
        shapes = {
            "c": (batch, copies * sizes["heads"], sizes["length"], sizes["width"]),
            "b": (batch, copies * sizes["groups"], total, sizes["width"]),
            "v": (batch, sizes["groups"], total, sizes["value"]),
        }
        tensors = {name: normal(shape, dtype, device, generator) for name, shape in shapes.items()}
        if copies == 2:
            tensors["weight"] = normal((1,), wide(dtype), device, generator)[0]
        options = {
            "nonlinearity": NONLINEARITIES[sizes["nonlinearity"]],
            "window": sizes["window"] or None,
        }
        return {**tensors, **options}

    return inputs


def _cost(copies: int) -> Callable[[Sizes, torch.dtype], Cost]:
    def cost(sizes: Sizes, dtype: torch.dtype) -> Cost:
        length, total = sizes["length"], sizes["past"] + sizes["length"]
        c = copies * sizes["heads"] * length * sizes["width"]
        inputs = c + sizes["groups"] * total * (copies * sizes["width"] + sizes["value"])
        y = sizes["heads"] * length * sizes["value"]
        bytes_each = sizes["batch"] * dtype.itemsize
        seen = sum(min(i, sizes["window"] or total) for i in range(sizes["past"] + 1, total + 1))
        flops = (
            2 * sizes["batch"] * sizes["heads"] * seen * (copies * sizes["width"] + sizes["value"])
        )
        return Cost((inputs + y) * bytes_each, (3 * inputs + 2 * y) * bytes_each, flops, 3 * flops)

    return cost


def _eager_pairwise(
    c: Tensor, b: Tensor, v: Tensor, nonlinearity: str, window: int | None
) -> tuple[Tensor]:
    repeats, total = c.shape[1] // b.shape[1], b.shape[2]
    b, v = b.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1)
    scores = c @ b.mT * c.shape[-1] ** -0.5
    scores = {"none": lambda x: x, "relu": F.relu, "swish": F.silu}[nonlinearity](scores)
    scores = scores * visible(c.shape[2], total, window, c.device)
    return ((scores @ v) * row_scale(c.shape[2], total, window, v.dtype, v.device),)


def _torch_softmax(
    c: Tensor, b: Tensor, v: Tensor, nonlinearity: str, window: int | None
) -> tuple[Tensor]:
    mask = None if window is None else visible(c.shape[2], b.shape[2], window, c.device)
    grouped = c.shape[1] != b.shape[1]
    return (
        F.scaled_dot_product_attention(c, b, v, mask, is_causal=mask is None, enable_gqa=grouped),
    )


def _eager_differential(
    c: Tensor, b: Tensor, v: Tensor, weight: Tensor, nonlinearity: str, window: int | None
) -> tuple[Tensor]:
    one = _torch_softmax if nonlinearity == "softmax" else _eager_pairwise
    pairs = zip(c.chunk(2, dim=1), b.chunk(2, dim=1), strict=True)
    (first,), (second,) = (one(*pair, v, nonlinearity, window) for pair in pairs)
    return (first - weight.to(second.dtype) * second,)


PAIRWISE_ATTENTION = Operation(
    name=PAIRWISE,
    run=lambda **inputs: (structured_attention(**inputs),),
    reference=lambda **inputs: (structured_attention_reference(**inputs),),
    inputs=_draw(1),
    interpreter=[
        _sizes(SWISH, 1, 2, 1, 3, 2, 3),
        _sizes(RELU, 1, 2, 1, 70, 8, 16, past=5),
        _sizes(SWISH, 1, 2, 2, 70, 17, 5, window=9),
        _sizes(NONE, 1, 2, 1, 65, 5, 7, window=33),
        _sizes(RELU, 2, 2, 1, 70, 8, 8, window=20),
    ],
    quick=[
        _sizes(RELU, 2, 4, 2, 257, 64, 64),
        _sizes(SWISH, 2, 4, 4, 257, 32, 64, past=70),
        _sizes(SWISH, 1, 4, 1, 257, 64, 64, window=100),
        _sizes(NONE, 2, 3, 3, 129, 16, 128, window=65),
    ],
    full=[
        _sizes(nonlinearity, 2, 4, 2, length, width, 64, window=window)
        for nonlinearity in (NONE, RELU, SWISH)
        for length, window in ((257, 100), (1024, 0), (1024, 256))
        for width in (32, 64, 128)
    ],
    cpu=[_sizes(RELU, 8, 4, 4, 128, 16, 16), _sizes(SWISH, 8, 4, 4, 256, 16, 16)],
    bench=[
        _sizes(RELU, 8, 32, 32, 4096, 64, 64),
        _sizes(SWISH, 8, 32, 8, 4096, 64, 64),
        _sizes(SWISH, 8, 32, 32, 4096, 64, 64, window=512),
    ],
    cost=_cost(1),
    peers={"torch eager": _eager_pairwise},
)

BANDED_SOFTMAX_ATTENTION = Operation(
    name=BANDED_SOFTMAX,
    run=lambda **inputs: (structured_attention(**inputs),),
    reference=lambda **inputs: (structured_attention_reference(**inputs),),
    inputs=_draw(1),
    interpreter=[
        _sizes(SOFTMAX, 1, 2, 1, 6, 3, 4, window=4),
        _sizes(SOFTMAX, 1, 2, 1, 140, 17, 8, window=40),
        _sizes(SOFTMAX, 1, 2, 2, 70, 8, 20, window=9, past=5),
    ],
    quick=[
        _sizes(SOFTMAX, 2, 4, 2, 257, 64, 64, window=100),
        _sizes(SOFTMAX, 2, 4, 4, 300, 32, 64, window=17, past=70),
    ],
    full=[
        _sizes(SOFTMAX, 2, 4, groups, length, width, width, window=window)
        for groups in (4, 1)
        for length, window in ((257, 100), (1024, 256), (1500, 33), (1500, 1400))
        for width in (32, 64, 128)
    ],
    cpu=[
        _sizes(SOFTMAX, 8, 4, 4, 128, 16, 16, window=64),
        _sizes(SOFTMAX, 8, 4, 4, 256, 16, 16, window=64),
    ],
    bench=[
        _sizes(SOFTMAX, 8, 32, 32, 4096, 64, 64, window=512),
        _sizes(SOFTMAX, 8, 32, 8, 4096, 64, 64, window=128),
    ],
    cost=_cost(1),
    peers={"torch scaled_dot_product_attention": _torch_softmax},
)

DIFFERENTIAL_ATTENTION = Operation(
    name=DIFFERENTIAL,
    run=lambda **inputs: (differential_attention(**inputs),),
    reference=lambda **inputs: (differential_attention_reference(**inputs),),
    inputs=_draw(2),
    interpreter=[
        _sizes(SOFTMAX, 1, 2, 1, 6, 3, 4),
        _sizes(SOFTMAX, 1, 2, 1, 70, 8, 16, window=30),
        _sizes(RELU, 1, 2, 2, 65, 4, 8, window=20, past=3),
        _sizes(SWISH, 1, 2, 1, 37, 8, 16),
        _sizes(NONE, 1, 2, 1, 37, 8, 16),
        _sizes(SOFTMAX, 2, 2, 1, 140, 8, 8, window=40),
    ],
    quick=[
        _sizes(SOFTMAX, 2, 4, 2, 257, 32, 64),
        _sizes(SOFTMAX, 2, 4, 2, 257, 32, 64, window=100),
        _sizes(SWISH, 2, 4, 4, 257, 32, 64, past=70),
    ],
    full=[
        _sizes(nonlinearity, 2, 4, 2, length, width, 2 * width, window=window)
        for nonlinearity in (SOFTMAX, RELU, SWISH, NONE)
        for length, window in ((257, 100), (1024, 0), (1024, 256))
        for width in (32, 64)
    ],
    cpu=[_sizes(SOFTMAX, 8, 4, 4, 128, 8, 16), _sizes(SOFTMAX, 8, 4, 4, 256, 8, 16)],
    bench=[
        _sizes(SOFTMAX, 8, 32, 32, 4096, 32, 64),
        _sizes(SOFTMAX, 8, 32, 8, 4096, 32, 64, window=512),
        _sizes(RELU, 8, 32, 32, 4096, 32, 64),
    ],
    cost=_cost(2),
    peers={"torch eager": _eager_differential},
)
