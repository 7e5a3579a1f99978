"""The gated long convolution as a sum over lags."""

import torch
from torch import Tensor


def gated_long_conv_reference(b: Tensor, v: Tensor, c: Tensor, kernel: Tensor) -> Tensor:
    """Shapes and dtype as `gated_long_conv`."""
    dtype = torch.promote_types(v.dtype, torch.float32)
    gated = b.to(dtype) * v.to(dtype)
    length = v.shape[1]
    y = torch.zeros_like(gated)
    for lag in range(length):
        shifted = torch.nn.functional.pad(gated[:, : length - lag], (0, 0, lag, 0))
        y = y + shifted * kernel[lag].to(dtype)
    return (c.to(dtype) * y).to(v.dtype)
