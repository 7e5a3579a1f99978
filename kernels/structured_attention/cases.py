"""Cases of structured attention for certificates, benchmarks and tests: four operations."""

from collections.abc import Callable

import torch
from torch.nn import functional as F

from ..checks import wide
from ..operation import Cost, Inputs, Operation, Sizes, normal
from . import differential_attention, structured_attention
from .linear import NAME as LINEAR
from .linear import linear_attention_from
from .operators import BANDED_SOFTMAX, DIFFERENTIAL, PAIRWISE
from .reference import (
    NONLINEARITIES,
    differential_attention_reference,
    linear_attention_reference,
    structured_attention_reference,
    visible,
)
from .tiles import row_scale

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


def _linear_inputs(
    sizes: Sizes, dtype: torch.dtype, device: torch.device, generator: torch.Generator
) -> Inputs:
    batch, groups, length, width, value = (
        sizes[name] for name in ("batch", "groups", "length", "width", "value")
    )
    shapes = {"c": (batch, sizes["heads"], length, width), "b": (batch, groups, length, width)}
    tensors = {name: normal(shape, dtype, device, generator) for name, shape in shapes.items()}
    tensors["v"] = normal((batch, groups, length, value), dtype, device, generator)
    if not sizes["past"]:
        return {**tensors, "state": None, "position": 0}
    scale = sizes["past"] ** 0.5  # a sum over that many positions
    state = normal((batch, groups, width, value), wide(dtype), device, generator, scale)
    return {**tensors, "state": state, "position": sizes["past"]}


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


def _linear_cost(sizes: Sizes, dtype: torch.dtype) -> Cost:
    quadratic = _cost(1)({**sizes, "past": 0}, dtype)
    state = (
        sizes["batch"] * sizes["groups"] * sizes["width"] * sizes["value"] * torch.float32.itemsize
    )
    states = 2 if sizes["past"] else 1  # the initial one, if any, and the final one
    rows = sizes["batch"] * (sizes["heads"] + sizes["groups"]) * sizes["length"]
    flops = 2 * rows * sizes["width"] * sizes["value"]
    return Cost(
        quadratic.forward_bytes + states * state,
        quadratic.both_bytes + (3 * states - 1) * state,
        flops,
        3 * flops,
    )


def _eager_pairwise(
    c: torch.Tensor, b: torch.Tensor, v: torch.Tensor, nonlinearity: str, window: int | None
) -> tuple[torch.Tensor]:
    repeats, total = c.shape[1] // b.shape[1], b.shape[2]
    b, v = b.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1)
    scores = c @ b.mT * c.shape[-1] ** -0.5
    scores = {"none": lambda x: x, "relu": F.relu, "swish": F.silu}[nonlinearity](scores)
    scores = scores * visible(c.shape[2], total, window, c.device)
    return ((scores @ v) * row_scale(c.shape[2], total, window, v.dtype, v.device),)


def _torch_softmax(
    c: torch.Tensor, b: torch.Tensor, v: torch.Tensor, nonlinearity: str, window: int | None
) -> tuple[torch.Tensor]:
    mask = None if window is None else visible(c.shape[2], b.shape[2], window, c.device)
    grouped = c.shape[1] != b.shape[1]
    return (
        F.scaled_dot_product_attention(c, b, v, mask, is_causal=mask is None, enable_gqa=grouped),
    )


def _eager_differential(
    c: torch.Tensor,
    b: torch.Tensor,
    v: torch.Tensor,
    weight: torch.Tensor,
    nonlinearity: str,
    window: int | None,
) -> tuple[torch.Tensor]:
    one = _torch_softmax if nonlinearity == "softmax" else _eager_pairwise
    pairs = zip(c.chunk(2, dim=1), b.chunk(2, dim=1), strict=True)
    (first,), (second,) = (one(*pair, v, nonlinearity, window) for pair in pairs)
    return (first - weight.to(second.dtype) * second,)


def _eager_linear(
    c: torch.Tensor, b: torch.Tensor, v: torch.Tensor, state: torch.Tensor | None, position: int
) -> tuple[torch.Tensor, torch.Tensor]:
    repeats, length = c.shape[1] // b.shape[1], c.shape[2]
    final = b.mT @ v
    b, v = b.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1)
    y = (c @ b.mT).tril() @ v
    if state is not None:
        y, final = y + c @ state.to(c.dtype).repeat_interleave(repeats, dim=1), final + state
    scale = row_scale(length, position + length, None, v.dtype, v.device, c.shape[-1] ** -0.5)
    return y * scale, final


def _fla_linear(
    c: torch.Tensor, b: torch.Tensor, v: torch.Tensor, state: torch.Tensor | None, position: int
) -> tuple[torch.Tensor, torch.Tensor]:
    from fla.ops.linear_attn import chunk_linear_attn  # type: ignore[import-not-found]

    repeats, length = c.shape[1] // b.shape[1], c.shape[2]
    b, v = b.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1)
    state = None if state is None else state.repeat_interleave(repeats, dim=1)
    rows = (x.transpose(1, 2).contiguous() for x in (c, b, v))
    options = {
        "scale": c.shape[-1] ** -0.5,
        "initial_state": state,
        "output_final_state": True,
        "normalize": False,
    }
    y, final = chunk_linear_attn(*rows, **options)
    return y.transpose(1, 2) * row_scale(length, position + length, None, v.dtype, v.device), final[
        :, ::repeats
    ]


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

LINEAR_ATTENTION = Operation(
    name=LINEAR,
    run=linear_attention_from,
    reference=linear_attention_reference,
    inputs=_linear_inputs,
    interpreter=[
        _sizes(NONE, 1, 2, 1, 3, 2, 3, past=2),
        _sizes(NONE, 1, 2, 1, 150, 17, 8, past=5),
        _sizes(NONE, 1, 2, 2, 129, 8, 70),
    ],
    quick=[_sizes(NONE, 2, 4, 2, 257, 64, 64, past=7), _sizes(NONE, 1, 4, 4, 300, 32, 128)],
    full=[
        _sizes(NONE, 2, 4, groups, length, width, value, past=past)
        for groups, past in ((4, 0), (2, 100))
        for length in (65, 257, 2048)
        for width, value in ((32, 64), (64, 64), (128, 128))
    ],
    cpu=[_sizes(NONE, 8, 4, 4, 128, 16, 16), _sizes(NONE, 8, 4, 4, 256, 16, 16)],
    bench=[_sizes(NONE, 8, 32, 32, 4096, 64, 64), _sizes(NONE, 8, 32, 8, 4096, 64, 64)],
    cost=_linear_cost,
    peers={"torch eager": _eager_linear, "flash-linear-attention": _fla_linear},
)
