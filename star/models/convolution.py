"""Causal depthwise convolutions: short ones as a sum of shifts, long ones through the FFT.

The forms with a past continue a sequence: a tail of earlier inputs, or the whole history.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .cache import Memory


def short_convolution(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Causal depthwise convolution of x (batch, length, channels) with kernel (channels, taps).

    The last tap meets the present position, as in `torch.nn.functional.conv1d` with left padding. A sum of shifted
    products is faster than a grouped `conv1d` on CPUs at these lengths.
    """
    return _sum_of_shifts(F.pad(x, (0, 0, kernel.shape[-1] - 1, 0)), kernel)


def continue_short_convolution(x: torch.Tensor, kernel: torch.Tensor, tail: torch.Tensor) -> torch.Tensor:
    """The same for the next positions of a sequence, whose last inputs are `tail` (batch, taps - 1, channels).

    Writes the new last inputs to `tail`. Time and memory do not depend on how much came before.
    """
    padded = torch.cat([tail.to(x.dtype), x], dim=1)
    if tail.shape[1]:
        tail.copy_(padded[:, -tail.shape[1] :])
    return _sum_of_shifts(padded, kernel)


def _sum_of_shifts(padded: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    taps = kernel.shape[-1]
    length = padded.shape[1] - taps + 1
    shifted = (padded[:, tap : tap + length] * kernel[:, tap] for tap in range(taps))
    return torch.stack(list(shifted)).sum(0) if taps > 8 else sum(shifted, start=padded.new_zeros(()))


def long_convolution(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Causal depthwise convolution of x (batch, length, channels) with kernel (length, channels); lag 0 first.

    Through a zero-padded FFT in float32 or wider; returns x's dtype.
    """
    length = x.shape[1]
    dtype = torch.promote_types(x.dtype, torch.float32)
    spectrum = torch.fft.rfft(x.to(dtype), n=2 * length, dim=1)
    response = torch.fft.rfft(kernel.to(dtype), n=2 * length, dim=0)
    return torch.fft.irfft(spectrum * response, n=2 * length, dim=1)[:, :length].to(x.dtype)


def continue_long_convolution(
    x: torch.Tensor, kernel: torch.Tensor, history: torch.Tensor, position: int
) -> torch.Tensor:
    """The same for the next positions of a sequence, whose inputs so far are `history[:, :position]`.

    kernel: (at least position + length, channels). history: (batch, context, channels); x is written to it. One
    position is a sum over the history; several go through the FFT.
    """
    length, end = x.shape[1], position + x.shape[1]
    history[:, position:end] = x
    if length > 1:
        seen = history[:, :end].to(x.dtype)
        return long_convolution(seen, kernel[:end])[:, position:]
    return torch.einsum("btc,tc->bc", history[:, :end].to(kernel.dtype), kernel[:end].flip(0))[:, None].to(x.dtype)


class ShortConvolution(nn.Module):
    """A learned causal depthwise convolution over (batch, length, channels); `weight` is (channels, taps)."""

    def __init__(self, channels: int, taps: int, bias: bool) -> None:
        super().__init__()
        bound = taps**-0.5
        self.weight = nn.Parameter(torch.empty(channels, taps).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None

    @property
    def tail_shape(self) -> tuple[int, int]:
        """What generation remembers of one sequence: (taps - 1, channels)."""
        channels, taps = self.weight.shape
        return taps - 1, channels

    def forward(self, x: torch.Tensor, memory: Memory | None = None, key: str = "") -> torch.Tensor:
        """x (batch, length, channels) to the same shape; with a memory, x continues the sequence in buffer `key`."""
        if memory is None:
            y = short_convolution(x, self.weight)
        else:
            y = continue_short_convolution(x, self.weight, memory.buffers[key])
        return y if self.bias is None else y + self.bias
