"""Cases of `linear_attention` for certificates, benchmarks and tests."""

import torch
from torch import Tensor

from ..dtypes import wide
from ..harness.operation import Cost, Inputs, Operation, Sizes, normal
from ..heads import row_scale
from .operator import NAME, linear_attention_from
from .reference import linear_attention_reference


def _sizes(
    batch: int, heads: int, groups: int, length: int, width: int, value: int, past: int = 0
) -> Sizes:
    """past: positions that the state has seen, 0 for none."""
    return {
        "batch": batch,
        "heads": heads,
        "groups": groups,
        "length": length,
        "width": width,
        "value": value,
        "past": past,
    }


def _inputs(
    sizes: Sizes, dtype: torch.dtype, device: torch.device, generator: torch.Generator
) -> Inputs:
    batch, groups, length, width, value = (
        sizes[name] for name in ("batch", "groups", "length", "width", "value")
    )
    shapes = {
        "c": (batch, sizes["heads"], length, width),
        "b": (batch, groups, length, width),
        "v": (batch, groups, length, value),
    }
    tensors = {name: normal(shape, dtype, device, generator) for name, shape in shapes.items()}
    if not sizes["past"]:
        return {**tensors, "state": None, "position": 0}
    scale = sizes["past"] ** 0.5  # a sum over that many positions
    state = normal((batch, groups, width, value), wide(dtype), device, generator, scale)
    return {**tensors, "state": state, "position": sizes["past"]}


def _cost(sizes: Sizes, dtype: torch.dtype) -> Cost:
    positions = sizes["batch"] * sizes["length"]
    heads, groups, width, value = (sizes[name] for name in ("heads", "groups", "width", "value"))
    inputs = positions * (heads * width + groups * (width + value)) * dtype.itemsize
    y = positions * heads * value * dtype.itemsize
    state = sizes["batch"] * groups * width * value * torch.float32.itemsize
    states = 2 if sizes["past"] else 1  # the first one, if any, and the last one
    flops = 2 * positions * (heads + groups) * width * value
    return Cost(
        inputs + y + states * state, 3 * inputs + 2 * y + (3 * states - 1) * state, flops, 3 * flops
    )


def _eager(
    c: Tensor, b: Tensor, v: Tensor, state: Tensor | None, position: int
) -> tuple[Tensor, Tensor]:
    repeats, length = c.shape[1] // b.shape[1], c.shape[2]
    final = b.mT @ v
    b, v = b.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1)
    y = (c @ b.mT).tril() @ v
    if state is not None:
        y, final = y + c @ state.to(c.dtype).repeat_interleave(repeats, dim=1), final + state
    scale = row_scale(length, position + length, None, v.dtype, v.device, c.shape[-1] ** -0.5)
    return y * scale, final


def _fla(
    c: Tensor, b: Tensor, v: Tensor, state: Tensor | None, position: int
) -> tuple[Tensor, Tensor]:
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


LINEAR_ATTENTION = Operation(
    name=NAME,
    run=linear_attention_from,
    reference=linear_attention_reference,
    inputs=_inputs,
    interpreter=[
        _sizes(1, 2, 1, 3, 2, 3, past=2),
        _sizes(1, 2, 1, 150, 17, 8, past=5),
        _sizes(1, 2, 2, 129, 8, 70),
    ],
    quick=[_sizes(2, 4, 2, 257, 64, 64, past=7), _sizes(1, 4, 4, 300, 32, 128)],
    full=[
        _sizes(2, 4, groups, length, width, value, past=past)
        for groups, past in ((4, 0), (2, 100))
        for length in (65, 257, 2048)
        for width, value in ((32, 64), (64, 64), (128, 128))
    ],
    cpu=[_sizes(8, 4, 4, 128, 16, 16), _sizes(8, 4, 4, 256, 16, 16)],
    bench=[_sizes(8, 32, 32, 4096, 64, 64), _sizes(8, 32, 8, 4096, 64, 64)],
    cost=_cost,
    peers={"torch eager": _eager, "flash-linear-attention": _fla},
)
