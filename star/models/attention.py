"""Low-rank structures, `y_i = sum_j s(C_i . B_j) V_j`: softmax, linear, ReLU and swish attention, full or banded.

Without softmax the sum over j is divided by the square root of the number of visible positions, which keeps
the output's scale over the length; the paper leaves this open. Keys and values are remembered rotated, all of them or
in a ring of the window's length; linear attention remembers the sum of B_j V_j alone.
"""

import math
from functools import lru_cache

import torch
from torch.nn import functional as F

from star.genomes.alphabets import IDENTITY, RELU, SOFTMAX, SWISH

CHUNK = 64
_PAIRWISE = {IDENTITY: lambda scores: scores, RELU: F.relu, SWISH: F.silu}


@lru_cache(maxsize=64)
def _rotations(
    length: int, width: int, base: float, device: torch.device, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines (length, width), each for both halves; sines are negative for the first half."""
    with torch.inference_mode(False):
        frequencies = base ** (-torch.arange(0, width, 2, device=device, dtype=torch.float32) / width)
        angles = torch.arange(length, device=device, dtype=torch.float32)[:, None] * frequencies
        cosine, sine = torch.cos(angles), torch.sin(angles)
        return torch.cat([cosine, cosine], dim=1).to(dtype), torch.cat([-sine, sine], dim=1).to(dtype)


def rotate(x: torch.Tensor, base: float, position: int = 0) -> torch.Tensor:
    """Rotary position embedding (arXiv 2104.09864) on x (..., length, width), halves rotated as in Llama.

    position: that of the first element along the length.
    """
    length, width = x.shape[-2:]
    capacity = length if position == 0 else 1 << (position + length - 1).bit_length()  # one table serves many steps
    cosine, sine = _rotations(capacity, width, base, x.device, x.dtype)
    if capacity > length:
        cosine, sine = cosine[position : position + length], sine[position : position + length]
    return x * cosine + torch.roll(x, width // 2, dims=-1) * sine


@lru_cache(maxsize=16)
def _visible(length: int, total: int, window: int | None, device: torch.device) -> torch.Tensor:
    """Boolean (length, total): which of `total` positions each of the last `length` sees."""
    with torch.inference_mode(False):
        ones = torch.ones(length, total, dtype=torch.bool, device=device)
        causal = ones.tril(total - length)
        return causal if window is None else causal & ones.triu(total - length + 1 - window)


def remember_all(x: torch.Tensor, buffer: torch.Tensor, position: int) -> torch.Tensor:
    """Append x (batch, heads, length, width) to buffer (batch, heads, context, width); returns all positions."""
    end = position + x.shape[2]
    buffer[:, :, position:end] = x
    return buffer[:, :, :end].to(x.dtype)


def remember_window(x: torch.Tensor, buffer: torch.Tensor, position: int) -> torch.Tensor:
    """Append x (batch, heads, length, width) to a ring buffer (batch, heads, window, width).

    Returns the positions that any of x sees, x included. Their order is lost for a single position, which sees all.
    """
    length, slots = x.shape[2], buffer.shape[2]
    if length == 1:
        buffer[:, :, position % slots] = x[:, :, 0]
        return buffer[:, :, : position + 1].to(x.dtype)
    past = torch.arange(max(0, position - slots + 1), position, device=x.device) % slots
    seen = torch.cat([buffer[:, :, past].to(x.dtype), x], dim=2)
    kept = min(length, slots)
    buffer[:, :, torch.arange(position + length - kept, position + length, device=x.device) % slots] = x[
        :, :, -kept:
    ].to(buffer.dtype)
    return seen


def structured_attention(
    c: torch.Tensor, b: torch.Tensor, v: torch.Tensor, nonlinearity: int, window: int | None
) -> torch.Tensor:
    """Causal `s(C B^T / sqrt(width)) V`.

    c: (batch, heads, length, width); b: (batch, groups, total, width); v: (batch, groups, total, value width); heads is
    a multiple of groups, and c belongs to the last `length` of the total positions. window: positions seen, the
    present one included; None sees all. Returns (batch, heads, length, value width).
    """
    length, total = c.shape[2], b.shape[2]
    if length == 1 and total > 1:
        return _single_position(c, b, v, nonlinearity)
    if nonlinearity == SOFTMAX:
        return _softmax_attention(c, b, v, window)
    if c.shape[1] != b.shape[1]:
        repeats = c.shape[1] // b.shape[1]
        b, v = b.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1)
    scores = _PAIRWISE[nonlinearity](torch.matmul(c, b.transpose(-1, -2)) / math.sqrt(c.shape[-1]))
    y = torch.matmul(scores * _visible(length, total, window, c.device), v)
    return y * _scale(length, total - length, window, y)


def _scale(length: int, earlier: int, window: int | None, like: torch.Tensor) -> torch.Tensor:
    """1 / sqrt(number of visible positions), (length, 1), where `earlier` positions came before."""
    seen = torch.arange(earlier + 1, earlier + length + 1, device=like.device, dtype=torch.float32)
    return torch.rsqrt(seen if window is None else seen.clamp(max=window))[:, None].to(like.dtype)


def _single_position(c: torch.Tensor, b: torch.Tensor, v: torch.Tensor, nonlinearity: int) -> torch.Tensor:
    """One position that sees all of b and v: a group's heads take the place of the length, so nothing is copied."""
    grouped = c.reshape(c.shape[0], b.shape[1], -1, c.shape[-1])
    if nonlinearity == SOFTMAX and b.shape[-1] == v.shape[-1]:
        y = F.scaled_dot_product_attention(grouped, b, v)
    else:
        scores = torch.matmul(grouped, b.transpose(-1, -2)) / math.sqrt(c.shape[-1])
        if nonlinearity == SOFTMAX:
            weights = torch.softmax(scores, dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(v.dtype)
        else:
            weights = _PAIRWISE[nonlinearity](scores) / math.sqrt(b.shape[2])
        y = torch.matmul(weights, v)
    return y.reshape(*c.shape[:3], v.shape[-1])


def _softmax_attention(c: torch.Tensor, b: torch.Tensor, v: torch.Tensor, window: int | None) -> torch.Tensor:
    """Through torch's fused attention. Its fast paths want equal widths, so narrower C and B are padded with zeros."""
    scale = c.shape[-1] ** -0.5
    length, total = c.shape[2], b.shape[2]
    missing = v.shape[-1] - c.shape[-1]
    if missing > 0:
        c, b = F.pad(c, (0, missing)), F.pad(b, (0, missing))
    plain = window is None and length == total
    mask = None if plain else _visible(length, total, window, c.device)
    grouped = c.shape[1] != b.shape[1]
    return F.scaled_dot_product_attention(c, b, v, attn_mask=mask, is_causal=plain, scale=scale, enable_gqa=grouped)


def linear_attention(
    c: torch.Tensor, b: torch.Tensor, v: torch.Tensor, state: torch.Tensor | None = None, earlier: int = 0
) -> torch.Tensor:
    """Unnormalised causal linear attention in chunks: quadratic within a chunk, a carried state between chunks.

    Shapes as `structured_attention` with total = length. state: (batch, groups, width, value width), the sum of
    `B_j V_j` over the `earlier` positions. Time and memory grow with the length alone.
    """
    repeats = c.shape[1] // b.shape[1]
    if repeats > 1:
        b, v = b.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1)
    length = c.shape[2]
    size = min(CHUNK, length)
    padding = (0, 0, 0, -length % size)
    c, b, v = (F.pad(x, padding).unflatten(2, (-1, size)) for x in (c / math.sqrt(c.shape[-1]), b, v))
    within = torch.matmul(c, b.transpose(-1, -2)) * _visible(size, size, None, c.device)
    sums = torch.matmul(b.transpose(-1, -2), v)
    before = sums.cumsum(dim=2) - sums
    if state is not None:
        before = before + state.to(before.dtype).repeat_interleave(repeats, dim=1)[:, :, None]
    y = (torch.matmul(within, v) + torch.matmul(c, before)).flatten(2, 3)[:, :, :length]
    return y * _scale(length, earlier, None, y)
