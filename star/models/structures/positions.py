"""Positions and memory of attention: rotary embedding; buffers of the keys and values of all
positions or a window."""

import torch

from star.kernels.tables import kept_table


@kept_table(64)
def _rotations(
    length: int, width: int, base: float, device: torch.device, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines (length, width), each for both halves; sines are negative for the first
    half."""
    even = torch.arange(0, width, 2, device=device, dtype=torch.float32)
    frequencies = base ** (-even / width)
    angles = torch.arange(length, device=device, dtype=torch.float32)[:, None] * frequencies
    cosine, sine = torch.cos(angles).to(dtype), torch.sin(angles).to(dtype)
    return torch.cat([cosine, cosine], dim=1), torch.cat([-sine, sine], dim=1)


def rotate(x: torch.Tensor, base: float, position: int = 0) -> torch.Tensor:
    """Rotary position embedding (arXiv 2104.09864) on x (..., length, width), halves rotated as in
    Llama.

    position: that of the first element along the length.
    """
    length, width = x.shape[-2:]
    # A step of generation takes one row of a table whose length is the next power of two, so that
    # positions 64 to 127 share one table and no step computes its own.
    capacity = length if position == 0 else 1 << (position + length - 1).bit_length()
    cosine, sine = _rotations(capacity, width, base, x.device, x.dtype)
    if capacity > length:
        cosine, sine = cosine[position : position + length], sine[position : position + length]
    return x * cosine + torch.roll(x, width // 2, dims=-1) * sine


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
        buffer[:, :, position % slots] = x[:, :, 0]
        return buffer[:, :, : position + 1].to(x.dtype)
    past = torch.arange(max(0, position - slots + 1), position, device=x.device) % slots
    seen = torch.cat([buffer[:, :, past].to(x.dtype), x], dim=2)
    kept = min(length, slots)
    new = torch.arange(position + length - kept, position + length, device=x.device) % slots
    buffer[:, :, new] = x[:, :, -kept:].to(buffer.dtype)
    return seen
