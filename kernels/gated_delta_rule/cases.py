"""Cases of `gated_delta_rule` for certificates, benchmarks and tests."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..harness.operation import Cost, Inputs, Operation, Sizes, normal
from .operator import NAME, gated_delta_rule_from
from .reference import gated_delta_rule_reference

Outputs = tuple[Tensor, ...]


def _inputs(
    sizes: Sizes, dtype: torch.dtype, device: torch.device, generator: torch.Generator
) -> Inputs:
    batch, heads, length, key, value, with_state = (
        sizes[name] for name in ("batch", "heads", "length", "key", "value", "state")
    )

    def draw(*shape: int) -> Tensor:
        return normal(shape, torch.float32, device, generator)

    q, k = (F.normalize(draw(batch, heads, length, key), dim=-1) for _ in range(2))
    decay, beta = (
        -F.softplus(draw(batch, heads, length) - 2),
        torch.sigmoid(draw(batch, heads, length)),
    )
    inputs: Inputs = {
        "q": q,
        "k": k,
        "v": draw(batch, heads, length, value),
        "decay": decay,
        "beta": beta,
    }
    inputs["state"] = draw(batch, heads, key, value) if with_state else None
    return {name: x if x is None else x.to(dtype) for name, x in inputs.items()}


def _cost(sizes: Sizes, dtype: torch.dtype) -> Cost:
    """Each input and y moved once, and again with their gradients; the recurrence's three products
    per position."""
    positions = sizes["batch"] * sizes["heads"] * sizes["length"]
    key, value = sizes["key"], sizes["value"]
    inputs = positions * (2 * key + value + 2) * dtype.itemsize
    output = positions * value * dtype.itemsize
    flops = 6 * positions * key * value
    forward = inputs + output
    return Cost(forward, forward + 2 * inputs + output, forward_flops=flops, both_flops=3 * flops)


def _transformers(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, state: Tensor | None
) -> Outputs:
    from transformers.models.qwen3_next import modeling_qwen3_next as model

    # Its plain form, also where the one of `fla` would stand in for it.
    chunk = getattr(
        model.torch_chunk_gated_delta_rule, "__wrapped__", model.torch_chunk_gated_delta_rule
    )
    rows = (x.transpose(1, 2) for x in (q, k, v, decay, beta))
    y, last = chunk(*rows, initial_state=state, output_final_state=True)
    return y.transpose(1, 2), last


def _fla(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, state: Tensor | None
) -> Outputs:
    from fla.ops.gated_delta_rule import (  # pyright: ignore[reportMissingImports]
        chunk_gated_delta_rule,
    )

    rows = (x.transpose(1, 2).contiguous() for x in (q, k, v, decay, beta))
    y, last = chunk_gated_delta_rule(*rows, initial_state=state, output_final_state=True)
    return y.transpose(1, 2), last


def _sizes(batch: int, heads: int, length: int, key: int, value: int, state: int = 0) -> Sizes:
    return {
        "batch": batch,
        "heads": heads,
        "length": length,
        "key": key,
        "value": value,
        "state": state,
    }


_QUICK = [_sizes(1, 1, 1, 16, 16, 1), _sizes(2, 3, 257, 48, 80, 1)]

GATED_DELTA_RULE = Operation(
    name=NAME,
    run=gated_delta_rule_from,
    reference=gated_delta_rule_reference,
    inputs=_inputs,
    interpreter=[_sizes(1, 1, 3, 2, 3, 1), _sizes(1, 2, 1, 3, 5, 1), _sizes(2, 1, 69, 10, 34, 1)],
    quick=_QUICK,
    full=[*_QUICK, _sizes(2, 4, 1024, 64, 64), _sizes(1, 2, 500, 128, 128, 1)],
    cpu=[_sizes(8, 4, 128, 16, 16), _sizes(8, 4, 256, 16, 16)],
    bench=[_sizes(8, 4, 128, 16, 16), _sizes(8, 16, 4096, 128, 128)],
    cost=_cost,
    peers={"transformers chunk": _transformers, "fla": _fla},
)
