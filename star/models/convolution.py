"""A learned short convolution, and the continuation of a long one over its history."""

import torch
from torch import nn

from star.kernels.gated_short_conv import short_conv, step_short_conv

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
        if memory is None:
            return short_conv(x, self.weight, self.bias, self.swish)
        tail = memory.buffers[key]
        if x.shape[1] == 1:
            return step_short_conv(x, self.weight, tail, self.bias, self.swish)
        y, last = short_conv(x, self.weight, self.bias, self.swish, tail, return_tail=True)
        tail.copy_(last)
        return y


def continue_long_convolution(
    x: torch.Tensor, kernel: torch.Tensor, history: torch.Tensor, position: int
) -> torch.Tensor:
    """Causal depthwise convolution of the next positions of a sequence, x (batch, length,
    channels).

    kernel: (at least position + length, channels), lag 0 first. history: (batch, context, channels)
    holds the inputs so far in its first `position` rows; x is written behind them. One position is
    a sum over the history; several go through a zero-padded FFT in float32 or wider. Returns the
    shape and dtype of x.
    """
    end = position + x.shape[1]
    history[:, position:end] = x
    dtype = torch.promote_types(x.dtype, torch.float32)
    seen, kernel = history[:, :end].to(dtype), kernel[:end].to(dtype)
    if x.shape[1] == 1:
        return torch.einsum("btc,tc->bc", seen, kernel.flip(0))[:, None].to(x.dtype)
    size = 2 * end
    spectrum = torch.fft.rfft(seen, n=size, dim=1) * torch.fft.rfft(kernel, n=size, dim=0)
    return torch.fft.irfft(spectrum, n=size, dim=1)[:, position:end].to(x.dtype)
