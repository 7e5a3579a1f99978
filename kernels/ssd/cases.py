"""Cases of `ssd` for certificates, benchmarks and tests."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..harness.operation import Cost, Inputs, Operation, Sizes, normal
from .operator import NAME, ssd_from
from .reference import ssd_reference

Outputs = tuple[Tensor, ...]
CHUNK = 64  # that peers are told to take


def _inputs(
    sizes: Sizes, dtype: torch.dtype, device: torch.device, generator: torch.Generator
) -> Inputs:
    batch, heads, groups, length = (sizes[name] for name in ("batch", "heads", "groups", "length"))
    size, width = sizes["state_size"], sizes["width"]

    def draw(*shape: int, scale: float = 1.0) -> Tensor:
        return normal(shape, torch.float32, device, generator, scale)

    inputs: Inputs = {
        "c": draw(batch, groups, length, size, scale=size**-0.5),
        "b": draw(batch, groups, length, size),
        "v": draw(batch, heads, length, width),
        "decay": -F.softplus(draw(batch, heads, length) - 2),
    }
    inputs["state"] = draw(batch, heads, size, width) if sizes["state"] else None
    return {name: x if x is None else x.to(dtype) for name, x in inputs.items()}


def _cost(sizes: Sizes, dtype: torch.dtype) -> Cost:
    """Each input and y moved once, and again with their gradients; the recurrence's two products
    per position and head."""
    positions = sizes["batch"] * sizes["length"]
    size, width, heads = sizes["state_size"], sizes["width"], sizes["heads"]
    inputs = positions * (2 * sizes["groups"] * size + heads * (width + 1)) * dtype.itemsize
    output = positions * heads * width * dtype.itemsize
    flops = 4 * positions * heads * size * width
    forward = inputs + output
    return Cost(forward, forward + 2 * inputs + output, forward_flops=flops, both_flops=3 * flops)


def _mamba_arguments(
    c: Tensor, b: Tensor, v: Tensor, decay: Tensor, state: Tensor | None
) -> tuple[tuple[Tensor, ...], dict[str, object]]:
    """Those of `mamba_chunk_scan_combined`, (batch, length, heads, width): step sizes that are
    -decay for A = -1, and values that they are multiplied by."""
    c, b, v = (x.transpose(1, 2) for x in (c, b, v))
    step = -decay.transpose(1, 2)
    first = None if state is None else state.mT.contiguous()
    options = {"chunk_size": CHUNK, "initial_states": first, "return_final_states": True}
    rate = -torch.ones(v.shape[2], dtype=torch.float32, device=v.device)
    return (v / step[..., None], step, rate, b, c), options


def _transformers(c: Tensor, b: Tensor, v: Tensor, decay: Tensor, state: Tensor | None) -> Outputs:
    """The plain form of Hugging Face's Mamba-2, also where the package mamba-ssm would stand in."""
    from transformers.models.mamba2 import modeling_mamba2 as model

    scan = getattr(model.mamba2_chunk_scan, "__wrapped__", model.mamba2_chunk_scan)
    arguments, options = _mamba_arguments(c, b, v, decay, state)
    y, last = scan(*arguments, **options)
    return y.transpose(1, 2).to(v.dtype), last.mT


def _mamba_ssm(c: Tensor, b: Tensor, v: Tensor, decay: Tensor, state: Tensor | None) -> Outputs:
    from mamba_ssm.ops.triton.ssd_combined import (  # pyright: ignore[reportMissingImports]
        mamba_chunk_scan_combined,
    )

    arguments, options = _mamba_arguments(c, b, v, decay, state)
    y, last = mamba_chunk_scan_combined(*arguments, **options)
    return y.transpose(1, 2), last.mT


def _fla(c: Tensor, b: Tensor, v: Tensor, decay: Tensor, state: Tensor | None) -> Outputs:
    """Its linear attention with a gate of one number a head."""
    from fla.ops.simple_gla import chunk_simple_gla  # pyright: ignore[reportMissingImports]

    c, b = (x.repeat_interleave(v.shape[1] // x.shape[1], dim=1) for x in (c, b))
    rows = (x.transpose(1, 2).contiguous() for x in (c, b, v, decay))
    y, last = chunk_simple_gla(*rows, scale=1.0, initial_state=state, output_final_state=True)
    return y.transpose(1, 2), last


def _sizes(
    batch: int, heads: int, groups: int, length: int, state_size: int, width: int, state: int = 0
) -> Sizes:
    """state: 1 for cases that begin with one."""
    return {
        "batch": batch,
        "heads": heads,
        "groups": groups,
        "length": length,
        "state_size": state_size,
        "width": width,
        "state": state,
    }


_QUICK = [
    _sizes(1, 1, 1, 1, 16, 16, 1),
    _sizes(2, 6, 2, 257, 48, 80, 1),
    _sizes(2, 4, 1, 130, 64, 32),
]

SSD = Operation(
    name=NAME,
    run=ssd_from,
    reference=ssd_reference,
    inputs=_inputs,
    interpreter=[
        _sizes(1, 2, 1, 3, 2, 3, 1),
        _sizes(1, 2, 2, 1, 3, 5, 1),
        _sizes(1, 4, 2, 69, 10, 34, 1),
        _sizes(1, 2, 1, 70, 64, 17),
    ],
    quick=_QUICK,
    full=[*_QUICK, _sizes(2, 8, 1, 1024, 64, 64), _sizes(1, 4, 2, 500, 128, 128, 1)],
    cpu=[_sizes(8, 8, 1, 128, 64, 16), _sizes(8, 8, 1, 256, 64, 16)],
    bench=[_sizes(8, 8, 1, 256, 64, 16), _sizes(8, 64, 1, 4096, 128, 64)],
    cost=_cost,
    peers={"transformers chunk": _transformers, "mamba-ssm": _mamba_ssm, "fla simple_gla": _fla},
)
