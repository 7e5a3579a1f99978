"""A learned short convolution."""

import torch
from torch import nn

from star.kernels.gated_short_conv import short_conv

from .cache import Memory


class ShortConvolution(nn.Module):
    """A learned causal depthwise convolution over (batch, length, channels), then an optional
    swish.

    `weight` is (channels, taps); the last tap meets the present position.
    """

    def __init__(self, channels: int, taps: int, bias: bool, swish: bool) -> None:
        super().__init__()
        bound = taps**-0.5
        self.weight = nn.Parameter(torch.empty(channels, taps).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None
        self.swish = swish

    @property
    def tail_shape(self) -> tuple[int, int]:
        """What generation remembers of one sequence: (taps - 1, channels)."""
        channels, taps = self.weight.shape
        return taps - 1, channels

    def forward(self, x: torch.Tensor, memory: Memory | None = None, key: str = "") -> torch.Tensor:
        """x (batch, length, channels) to the same shape; with a memory, x continues the sequence in
        buffer `key`."""
        state = None if memory is None else memory.buffers[key]
        return short_conv(x, self.weight, self.bias, self.swish, state)
