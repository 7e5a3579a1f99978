"""Causal depthwise convolutions: short ones as a sum of shifts, long ones through the FFT."""

import torch
from torch import nn
from torch.nn import functional as F


def short_convolution(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Causal depthwise convolution of x (batch, length, channels) with kernel (channels, taps).

    The last tap meets the present position, as in `torch.nn.functional.conv1d` with left padding. A sum of shifted
    products is faster than a grouped `conv1d` on CPUs at these lengths.
    """
    taps, length = kernel.shape[-1], x.shape[1]
    padded = F.pad(x, (0, 0, taps - 1, 0))
    shifted = (padded[:, tap : tap + length] * kernel[:, tap] for tap in range(taps))
    return torch.stack(list(shifted)).sum(0) if taps > 8 else sum(shifted, start=x.new_zeros(()))


def long_convolution(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Causal depthwise convolution of x (batch, length, channels) with kernel (length, channels); lag 0 first.

    Through a zero-padded FFT in float32 or wider; returns x's dtype.
    """
    length = x.shape[1]
    dtype = torch.promote_types(x.dtype, torch.float32)
    spectrum = torch.fft.rfft(x.to(dtype), n=2 * length, dim=1)
    response = torch.fft.rfft(kernel.to(dtype), n=2 * length, dim=0)
    return torch.fft.irfft(spectrum * response, n=2 * length, dim=1)[:, :length].to(x.dtype)


class ShortConvolution(nn.Module):
    """A learned causal depthwise convolution over (batch, length, channels); `weight` is (channels, taps)."""

    def __init__(self, channels: int, taps: int, bias: bool) -> None:
        super().__init__()
        bound = taps**-0.5
        self.weight = nn.Parameter(torch.empty(channels, taps).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (batch, length, channels) to the same shape."""
        y = short_convolution(x, self.weight)
        return y if self.bias is None else y + self.bias
