"""Where plain operations of PyTorch beat tiles: softmax through its fused attention, and one
position of a generation."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..dtypes import common
from ..heads import visible
from ..tables import kept_table

# Up to these lengths a mask over all positions is faster on a CPU than tiles of the band.
SHORT = 128


def masks_all(b: Tensor, window: int) -> bool:
    """Whether torch's attention with a mask is faster on a CPU than tiles that skip what the band
    hides."""
    return b.device.type == "cpu" and (b.shape[2] <= SHORT or 2 * window >= b.shape[2])


_visible = kept_table(16)(visible)


def softmax_attention(c: Tensor, b: Tensor, v: Tensor, window: int | None) -> Tensor:
    """Through torch's fused attention. Its fast paths want equal widths, so narrower C and B are
    padded with zeros."""
    scale, result = c.shape[-1] ** -0.5, v.dtype
    length, total = c.shape[2], b.shape[2]
    c, b, v = common(c, b, v)
    missing = v.shape[-1] - c.shape[-1]
    if missing > 0:
        c, b = F.pad(c, (0, missing)), F.pad(b, (0, missing))
    plain = window is None and length == total
    mask = None if plain else _visible(length, total, window, c.device)
    grouped = c.shape[1] != b.shape[1]
    y = F.scaled_dot_product_attention(
        c, b, v, attn_mask=mask, is_causal=plain, scale=scale, enable_gqa=grouped
    )
    return y.to(result)


def single_position(
    c: Tensor, b: Tensor, v: Tensor, weight: Tensor | None, nonlinearity: str, window: int | None
) -> Tensor:
    """The last position alone: a group's heads take the place of the length, so nothing is
    copied."""
    if window is not None:
        b, v = b[:, :, -window:], v[:, :, -window:]
    result, (c, b, v) = v.dtype, common(c, b, v)
    batch, heads, _, width = c.shape
    grouped = c.reshape(batch, b.shape[1], -1, width)
    if weight is None and nonlinearity == "softmax" and width == v.shape[-1]:
        y = F.scaled_dot_product_attention(grouped, b, v)
    else:
        scores = torch.matmul(grouped * width**-0.5, b.mT)
        operator = _apply(scores if scores.dtype == torch.float64 else scores.float(), nonlinearity)
        if weight is not None:
            first, second = operator.chunk(2, dim=1)
            heads, operator = heads // 2, first - weight * second
        y = torch.matmul(operator.to(v.dtype), v)
    return y.reshape(batch, heads, 1, v.shape[-1]).to(result)


def _apply(scores: Tensor, nonlinearity: str) -> Tensor:
    """s of the scores of one position that sees all others."""
    if nonlinearity == "softmax":
        return torch.softmax(scores, dim=-1)
    if nonlinearity != "none":
        scores = F.relu(scores) if nonlinearity == "relu" else F.silu(scores)
    return scores / math.sqrt(scores.shape[-1])
