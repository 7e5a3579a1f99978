"""Low-rank structures, `y_i = sum_j s(C_i . B_j) V_j`: softmax, linear, ReLU and swish attention, full or banded.

Without softmax the sum over j is divided by the square root of the number of visible positions, which keeps
the output's scale over the length; the paper leaves this open.
"""

import math
from functools import lru_cache

import torch
from torch.nn import functional as F

from star.genomes.alphabets import IDENTITY, RELU, SOFTMAX, SWISH

CHUNK = 64
_PAIRWISE = {IDENTITY: lambda scores: scores, RELU: F.relu, SWISH: F.silu}


@lru_cache(maxsize=64)
def _rotations(length: int, width: int, base: float, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines, (length, width / 2)."""
    with torch.inference_mode(False):
        frequencies = base ** (-torch.arange(0, width, 2, device=device, dtype=torch.float32) / width)
        angles = torch.arange(length, device=device, dtype=torch.float32)[:, None] * frequencies
        return torch.cos(angles), torch.sin(angles)


def rotate(x: torch.Tensor, base: float) -> torch.Tensor:
    """Rotary position embedding (arXiv 2104.09864) on x (..., length, width), halves rotated as in Llama."""
    cosine, sine = _rotations(x.shape[-2], x.shape[-1], base, x.device)
    cosine, sine = cosine.to(x.dtype), sine.to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


@lru_cache(maxsize=64)
def _visible(length: int, window: int | None, device: torch.device) -> torch.Tensor:
    """Boolean (length, length): which positions j each position i sees."""
    with torch.inference_mode(False):
        ones = torch.ones(length, length, dtype=torch.bool, device=device)
        causal = ones.tril()
        return causal if window is None else causal & ones.triu(1 - window)


def structured_attention(
    c: torch.Tensor, b: torch.Tensor, v: torch.Tensor, nonlinearity: int, window: int | None
) -> torch.Tensor:
    """Causal `s(C B^T / sqrt(width)) V`.

    c: (batch, heads, length, width); b: (batch, groups, length, width); v: (batch, groups, length, value width);
    heads is a multiple of groups. window: positions seen, the present one included; None sees all. Returns
    (batch, heads, length, value width).
    """
    grouped = c.shape[1] != b.shape[1]
    if nonlinearity == SOFTMAX:
        return _softmax_attention(c, b, v, window, grouped)
    if grouped:
        repeats = c.shape[1] // b.shape[1]
        b, v = b.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1)
    if nonlinearity == IDENTITY and window is None:
        y = _linear_attention(c, b, v)
    else:
        visible = _visible(c.shape[2], window, c.device)
        scores = _PAIRWISE[nonlinearity](torch.matmul(c, b.transpose(-1, -2)) / math.sqrt(c.shape[-1]))
        y = torch.matmul(scores * visible, v)
    seen = torch.arange(1, c.shape[2] + 1, device=c.device, dtype=torch.float32)
    if window is not None:
        seen = seen.clamp(max=window)
    return y * torch.rsqrt(seen)[:, None].to(y.dtype)


def _softmax_attention(
    c: torch.Tensor, b: torch.Tensor, v: torch.Tensor, window: int | None, grouped: bool
) -> torch.Tensor:
    """Through torch's fused attention. Its fast paths want equal widths, so narrower C and B are padded with zeros."""
    scale = c.shape[-1] ** -0.5
    missing = v.shape[-1] - c.shape[-1]
    if missing > 0:
        c, b = F.pad(c, (0, missing)), F.pad(b, (0, missing))
    mask = None if window is None else _visible(c.shape[2], window, c.device)
    return F.scaled_dot_product_attention(
        c, b, v, attn_mask=mask, is_causal=mask is None, scale=scale, enable_gqa=grouped
    )


def _linear_attention(c: torch.Tensor, b: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Unnormalised causal linear attention in chunks: quadratic within a chunk, a carried state between chunks."""
    length = c.shape[2]
    size = min(CHUNK, length)
    padding = (0, 0, 0, -length % size)
    c, b, v = (F.pad(x, padding).unflatten(2, (-1, size)) for x in (c / math.sqrt(c.shape[-1]), b, v))
    within = torch.matmul(c, b.transpose(-1, -2)) * _visible(size, None, c.device)
    states = torch.matmul(b.transpose(-1, -2), v)
    before = states.cumsum(dim=2) - states
    y = torch.matmul(within, v) + torch.matmul(c, before)
    return y.flatten(2, 3)[:, :, :length]
