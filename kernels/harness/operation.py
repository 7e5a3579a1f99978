"""What certificates, benchmarks and tests need to know of a primitive; one registry drives all
three."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Sizes = Mapping[str, int]
Inputs = dict[str, Any]  # keyword arguments of the operation: tensors, None, numbers

ALL_DTYPES = (torch.float32, torch.bfloat16, torch.float16)

# Largest norm of the error, relative to the reference's norm in float64. The inputs are rounded to
# the dtype before the reference sees them, so only the arithmetic inside and the rounding of the
# result count.
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 1.5e-2, torch.float16: 2e-3, torch.float64: 1e-12}


@dataclass(frozen=True)
class Cost:
    """Bytes that must be moved and operations that must be done at least, forward and forward with
    backward."""

    forward_bytes: int
    both_bytes: int
    forward_flops: int = 0
    both_flops: int = 0


@dataclass(frozen=True)
class Operation:
    """One primitive with its cases.

    run: the public operation; reference: the plain definition; both take the keyword arguments that
    `inputs` makes and return a tuple of tensors. inputs(sizes, dtype, device, generator) draws
    fresh random arguments; floating tensors among them get gradients. interpreter, quick and full
    are the sizes checked under the interpreter, by `certify --quick` and by `certify`; bench and
    cpu those measured on a GPU and on a CPU. peers: other implementations with the same arguments,
    by name; a peer that cannot run here raises ImportError or RuntimeError.
    """

    name: str
    run: Callable[..., tuple[Tensor, ...]]
    reference: Callable[..., tuple[Tensor, ...]]
    inputs: Callable[[Sizes, torch.dtype, torch.device, torch.Generator], Inputs]
    interpreter: Sequence[Sizes]
    quick: Sequence[Sizes]
    full: Sequence[Sizes]
    bench: Sequence[Sizes]
    cpu: Sequence[Sizes]
    cost: Callable[[Sizes, torch.dtype], Cost]
    peers: Mapping[str, Callable[..., tuple[Tensor, ...]]] = field(default_factory=dict)
    dtypes: Sequence[torch.dtype] = ALL_DTYPES
    tolerance: Mapping[torch.dtype, float] = field(default_factory=lambda: TOLERANCE)


def normal(
    shape: Sequence[int],
    dtype: torch.dtype,
    device: torch.device,
    generator: torch.Generator,
    scale: float = 1.0,
) -> Tensor:
    """Normal random numbers, drawn on the generator's device in float32, so that they agree between
    dtypes."""
    drawn = torch.randn(tuple(shape), generator=generator, device=generator.device) * scale
    return drawn.to(device, dtype)
