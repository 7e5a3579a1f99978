"""Cases that the delta rules share, for certificates, benchmarks and tests. They differ in what is
drawn as decay: a number a position, or one for each channel of a key."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .harness.operation import Cost, Inputs, Operation, Sizes, normal

# Log decays from normal numbers (batch, heads, length), and (..., key width) where by channel.
DrawDecay = Callable[[Tensor], Tensor]


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


def delta_operation(
    name: str,
    run: Callable[..., Any],
    reference: Callable[..., Any],
    decay: DrawDecay,
    by_channel: bool,
    peers: Mapping[str, Callable[..., Any]],
    strongest: float = 1.0,
) -> Operation:
    """The operation of a delta rule.

    Args:
        name: of the operation.
        run: y and the last state from q, k, v, decay, beta and a state.
        reference: the same by its definition.
        decay: log decays from normal numbers.
        by_channel: whether every channel of a key decays apart.
        peers: others' implementations by name.
        strongest: writing strengths are drawn between 0 and it.
    """

    def inputs(
        sizes: Sizes, dtype: torch.dtype, device: torch.device, generator: torch.Generator
    ) -> Inputs:
        batch, heads, length, key, value, with_state = (
            sizes[name] for name in ("batch", "heads", "length", "key", "value", "state")
        )

        def draw(*shape: int) -> Tensor:
            return normal(shape, torch.float32, device, generator)

        q, k = (F.normalize(draw(batch, heads, length, key), dim=-1) for _ in range(2))
        decays = decay(draw(batch, heads, length, *((key,) if by_channel else ())))
        drawn: Inputs = {
            "q": q,
            "k": k,
            "decay": decays,
            "beta": strongest * torch.sigmoid(draw(batch, heads, length)),
            "v": draw(batch, heads, length, value),
            "state": draw(batch, heads, key, value) if with_state else None,
        }
        order = ("q", "k", "v", "decay", "beta", "state")
        return {name: x if (x := drawn[name]) is None else x.to(dtype) for name in order}

    def cost(sizes: Sizes, dtype: torch.dtype) -> Cost:
        """Each input and y moved once, and again with their gradients; the recurrence's three
        products per position."""
        positions = sizes["batch"] * sizes["heads"] * sizes["length"]
        key, value = sizes["key"], sizes["value"]
        columns = 2 * key + value + 1 + (key if by_channel else 1)  # q and k, v, beta, decay
        moved = positions * columns * dtype.itemsize
        output = positions * value * dtype.itemsize
        flops, forward = 6 * positions * key * value, moved + output
        return Cost(
            forward, forward + 2 * moved + output, forward_flops=flops, both_flops=3 * flops
        )

    return Operation(
        name=name,
        run=run,
        reference=reference,
        inputs=inputs,
        interpreter=[
            _sizes(1, 1, 3, 2, 3, 1), _sizes(1, 2, 1, 3, 5, 1), _sizes(2, 1, 69, 10, 34, 1),
        ],
        quick=_QUICK,
        full=[
            *_QUICK, _sizes(2, 4, 1024, 64, 64), _sizes(1, 2, 500, 128, 128, 1),
            _sizes(1, 2, 300, 96, 192, 1),  # OLMo-Hybrid's heads
        ],
        cpu=[_sizes(8, 4, 128, 16, 16), _sizes(8, 4, 256, 16, 16)],
        bench=[_sizes(8, 4, 128, 16, 16), _sizes(8, 16, 4096, 128, 128)],
        cost=cost,
        peers=peers,
    )  # fmt: skip
