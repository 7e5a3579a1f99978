"""The gated long convolution as a sum over lags."""

import torch

from ..checks import wide


def gated_long_conv_reference(
    b: torch.Tensor, v: torch.Tensor, c: torch.Tensor, kernel: torch.Tensor
) -> torch.Tensor:
    """Shapes and dtype as `gated_long_conv`."""
    dtype = wide(v.dtype)
    gated = b.to(dtype) * v.to(dtype)
    length = v.shape[1]
    y = torch.zeros_like(gated)
    for lag in range(length):
        shifted = torch.nn.functional.pad(gated[:, : length - lag], (0, 0, lag, 0))
        y = y + shifted * kernel[lag].to(dtype)
    return (c.to(dtype) * y).to(v.dtype)
