"""Projectors between a component's width and the common one."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F


def fitted(x: torch.Tensor, width: int) -> torch.Tensor:
    """x (batch, length, channels) cut, or padded with zeros, to (batch, length, width)."""
    missing = width - x.shape[-1]
    return x[..., :width] if missing <= 0 else F.pad(x, (0, missing))


def _linear(width: int, new: int) -> nn.Module:
    return nn.Linear(width, new)


def _identity(width: int, new: int) -> nn.Module:
    """Linear; begins as `fitted`."""
    made = nn.Linear(width, new)
    nn.init.eye_(made.weight)
    nn.init.zeros_(made.bias)
    return made


def _two_layer(width: int, new: int) -> nn.Module:
    hidden = max(width, new)
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, new))


class Skip(nn.Module):
    """`fitted` and a linear map beside it that begins at zero."""

    def __init__(self, width: int, new: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, new)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (batch, length, width) to (batch, length, new)."""
        return fitted(x, self.linear.out_features) + self.linear(x)


_KINDS: dict[str, Callable[[int, int], nn.Module]] = {
    "linear": _linear,
    "identity": _identity,
    "two_layer": _two_layer,
    "skip": Skip,
}


def build_projector(kind: str, width: int, new: int) -> nn.Module:
    """A projector (batch, length, width) to (batch, length, new). kind: of
    `star.genomes.hybrids.PROJECTORS`."""
    return _KINDS[kind](width, new)
