"""Positions and memory of attention: rotary embedding; buffers of the keys and values of all
positions or a window."""

import torch

from star.kernels.tables import kept_table


@kept_table(64)
def _rotations(
    length: int, width: int, pairs: int, base: float, device: torch.device, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """`_turns` of the first `length` positions."""
    return _turns(0, length, width, pairs, base, device, dtype)


def _turns(
    position: int,
    length: int,
    width: int,
    pairs: int,
    base: float,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines (length, width), each for both halves; sines are negative for the first
    half. Of a half, the first `pairs` channels turn."""
    even = torch.arange(0, width, 2, device=device, dtype=torch.float32)
    frequencies = base ** (-even / width) * (even < 2 * pairs)
    positions = torch.arange(length, device=device, dtype=torch.float32) + position
    angles = positions[:, None] * frequencies
    cosine, sine = torch.cos(angles).to(dtype), torch.sin(angles).to(dtype)
    return torch.cat([cosine, cosine], dim=1), torch.cat([-sine, sine], dim=1)


def rotate(
    x: torch.Tensor, base: float, position: int = 0, pairs: int | None = None
) -> torch.Tensor:
    """Rotary position embedding (arXiv 2104.09864) on x (..., length, width), halves rotated as in
    Llama.

    Args:
        x: what is turned.
        base: of the frequencies.
        position: that of the first element along the length.
        pairs: how many pairs of channels turn, the fastest; None is all.
    """
    length, width = x.shape[-2:]
    pairs = width // 2 if pairs is None else pairs
    if torch.compiler.is_compiling():  # a table's size would be another graph for each position
        cosine, sine = _turns(position, length, width, pairs, base, x.device, x.dtype)
        return x * cosine + torch.roll(x, width // 2, dims=-1) * sine
    # A step of generation takes one row of a table whose length is the next power of two, so that
    # positions 64 to 127 share one table and no step computes its own.
    capacity = length if position == 0 else 1 << (position + length - 1).bit_length()
    cosine, sine = _rotations(capacity, width, pairs, base, x.device, x.dtype)
    if capacity > length:
        cosine, sine = cosine[position : position + length], sine[position : position + length]
    return x * cosine + torch.roll(x, width // 2, dims=-1) * sine


def rotate_share(
    x: torch.Tensor, base: float, position: int, share: float, proportional: bool
) -> torch.Tensor:
    """Turn a share of the channels of x (..., length, width).

    Args:
        x: what is turned.
        base: of the frequencies.
        position: that of the first element along the length.
        share: of the channels; 1 turns all, 0 none.
        proportional: whether the turned ones are the fastest pairs of the whole width, as in LFM3;
            else they are the first channels, turned as if there were no others, as in GPT-NeoX.
    """
    pairs = int(share * x.shape[-1]) // 2
    if not pairs:
        return x
    if proportional or share == 1:
        return rotate(x, base, position, pairs)
    turned, still = x.split([2 * pairs, x.shape[-1] - 2 * pairs], dim=-1)
    return torch.cat([rotate(turned, base, position), still], dim=-1)


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
