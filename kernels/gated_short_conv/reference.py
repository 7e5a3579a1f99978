"""Short causal depthwise convolutions as their definition: a sum over the taps of the padded
sequence."""

import torch
from torch import Tensor
from torch.nn import functional as F


def short_conv_reference(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    swish: bool = False,
    tail: Tensor | None = None,
) -> Tensor:
    """Shapes and dtype as `short_conv`."""
    taps, length = kernel.shape[1], x.shape[1]
    padded = (
        F.pad(x, (0, 0, taps - 1, 0)) if tail is None else torch.cat([tail.to(x.dtype), x], dim=1)
    )
    windows = torch.stack([padded[:, tap : tap + length] for tap in range(taps)], dim=-1)
    y = (windows * kernel).sum(-1)
    y = y if bias is None else y + bias
    return (y * torch.sigmoid(y) if swish else y).to(x.dtype)


def gated_short_conv_reference(
    b: Tensor, v: Tensor, c: Tensor, kernel: Tensor, tail: Tensor | None = None
) -> Tensor:
    """Shapes and dtype as `gated_short_conv` without its new tail."""
    return (c * short_conv_reference(b * v, kernel, tail=tail)).to(v.dtype)
