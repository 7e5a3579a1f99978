"""Positions and memory of attention: rotary embedding; buffers of the keys and values of all
positions or a window."""

import math
from typing import NamedTuple

import torch

from star.genomes import ModelConfig
from star.kernels.tables import kept_table


class Frequencies(NamedTuple):
    """How fast pairs of channels turn: in radians a position, `base ** (-2 pair / width)`, less
    where they are scaled for more positions than a model was first trained at.

    Attributes:
        base: of the geometric series.
        factor: that the slowest are divided by.
        original: positions of the first training; of them on depends which are slow, as in Llama
            3.1 (arXiv 2407.21783; the formula is that of Meta's llama-models). None divides all by
            the factor (position interpolation, arXiv 2306.15595).
        low: pairs of fewer full turns than this in the original positions are divided in full.
        high: pairs of more turns are left as they are; between both it goes over linearly.
    """

    base: float
    factor: float = 1.0
    original: int | None = None
    low: float = 1.0
    high: float = 4.0

    @classmethod
    def of(cls, model: ModelConfig, base: float | None = None) -> "Frequencies":
        """Those of a model's sizes. base: in place of its own."""
        return cls(
            base or model.rope_base,
            model.rope_factor,
            model.rope_original_positions,
            model.rope_low_factor,
            model.rope_high_factor,
        )

    def values(self, width: int, device: torch.device) -> torch.Tensor:
        """(width / 2,), float32, the fastest first."""
        even = torch.arange(0, width, 2, device=device, dtype=torch.float32)
        frequencies = self.base ** (-even / width)
        if self.original is None:
            return frequencies / self.factor
        turns = frequencies * (self.original / (2 * math.pi))
        kept = ((turns - self.low) / (self.high - self.low)).clamp(0, 1)
        return frequencies * (kept + (1 - kept) / self.factor)


@kept_table(64)
def _rotations(
    length: int,
    width: int,
    pairs: int,
    frequencies: Frequencies,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`_turns` of the first `length` positions."""
    return _turns(0, length, width, pairs, frequencies, device, dtype)


def _turns(
    position: int,
    length: int,
    width: int,
    pairs: int,
    frequencies: Frequencies,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines (length, width), each for both halves; sines are negative for the first
    half. Of a half, the first `pairs` channels turn."""
    turning = torch.arange(width // 2, device=device) < pairs
    positions = torch.arange(length, device=device, dtype=torch.float32) + position
    angles = positions[:, None] * (frequencies.values(width, device) * turning)
    cosine, sine = torch.cos(angles).to(dtype), torch.sin(angles).to(dtype)
    return torch.cat([cosine, cosine], dim=1), torch.cat([-sine, sine], dim=1)


def rotate(
    x: torch.Tensor, frequencies: Frequencies, position: int = 0, pairs: int | None = None
) -> torch.Tensor:
    """Rotary position embedding (arXiv 2104.09864) on x (..., length, width), halves rotated as in
    Llama.

    Args:
        x: what is turned.
        frequencies: of the pairs of channels.
        position: that of the first element along the length.
        pairs: how many pairs of channels turn, the fastest; None is all.
    """
    length, width = x.shape[-2:]
    pairs = width // 2 if pairs is None else pairs
    if torch.compiler.is_compiling():  # a table's size would be another graph for each position
        cosine, sine = _turns(position, length, width, pairs, frequencies, x.device, x.dtype)
        return x * cosine + torch.roll(x, width // 2, dims=-1) * sine
    # A step of generation takes one row of a table whose length is the next power of two, so that
    # positions 64 to 127 share one table and no step computes its own.
    capacity = length if position == 0 else 1 << (position + length - 1).bit_length()
    cosine, sine = _rotations(capacity, width, pairs, frequencies, x.device, x.dtype)
    if capacity > length:
        cosine, sine = cosine[position : position + length], sine[position : position + length]
    return x * cosine + torch.roll(x, width // 2, dims=-1) * sine


def rotate_share(
    x: torch.Tensor, frequencies: Frequencies, position: int, share: float, proportional: bool
) -> torch.Tensor:
    """Turn a share of the channels of x (..., length, width).

    Args:
        x: what is turned.
        frequencies: of the pairs of channels.
        position: that of the first element along the length.
        share: of the channels; 1 turns all, 0 none.
        proportional: whether the turned ones are the fastest pairs of the whole width, as in LFM3;
            else they are the first channels, turned as if there were no others, as in GPT-NeoX.
    """
    pairs = int(share * x.shape[-1]) // 2
    if not pairs:
        return x
    if proportional or share == 1:
        return rotate(x, frequencies, position, pairs)
    turned, still = x.split([2 * pairs, x.shape[-1] - 2 * pairs], dim=-1)
    return torch.cat([rotate(turned, frequencies, position), still], dim=-1)


def remember_all(x: torch.Tensor, buffer: torch.Tensor, position: int) -> torch.Tensor:
    """Append x (batch, heads, length, width) to buffer (batch, heads, context, width); returns all
    positions."""
    end = position + x.shape[2]
    buffer[:, :, position:end] = x
    return buffer[:, :, :end].to(x.dtype)


def remember_window(x: torch.Tensor, buffer: torch.Tensor, position: int) -> torch.Tensor:
    """Append x (batch, heads, length, width) to a ring buffer (batch, heads, window, width).

    Returns the positions that any of x sees, x included. Their order is lost for a single position,
    which sees all.
    """
    # Position p lies in slot p % slots. With 4 slots and 6 positions seen, the slots hold 4 5 2 3;
    # positions 6 and 7 see 3 4 5 of the past (slots 3 0 1), and take the slots 2 and 3.
    length, slots = x.shape[2], buffer.shape[2]
    if length == 1:
        slot = position % slots
        buffer[:, :, slot : slot + 1] = x  # as a slice: an index would be compiled in
        return buffer[:, :, : position + 1].to(x.dtype)
    past = torch.arange(max(0, position - slots + 1), position, device=x.device) % slots
    seen = torch.cat([buffer[:, :, past].to(x.dtype), x], dim=2)
    kept = min(length, slots)
    new = torch.arange(position + length - kept, position + length, device=x.device) % slots
    buffer[:, :, new] = x[:, :, -kept:].to(buffer.dtype)
    return seen
