"""Linear attention as its definition: every product of C and B in one matrix."""

import torch
from torch import Tensor


def linear_attention_reference(
    c: Tensor, b: Tensor, v: Tensor, state: Tensor | None = None, position: int = 0
) -> tuple[Tensor, Tensor]:
    """The output and the last sum; shapes and dtypes as `linear_attention`."""
    dtype = torch.float32
    for x in (c, b, v):
        dtype = torch.promote_types(dtype, x.dtype)
    c, b, values = c.to(dtype), b.to(dtype), v.to(dtype)
    length, repeats = c.shape[2], c.shape[1] // b.shape[1]
    last = b.transpose(-1, -2) @ values
    repeated, values = b.repeat_interleave(repeats, dim=1), values.repeat_interleave(repeats, dim=1)
    y = (c @ repeated.transpose(-1, -2)).tril() @ values
    if state is not None:
        state = state.to(dtype)
        y, last = y + c @ state.repeat_interleave(repeats, dim=1), last + state
    seen = torch.arange(position + 1, position + length + 1, device=c.device, dtype=dtype)[:, None]
    return (y * (c.shape[-1] * seen).rsqrt()).to(v.dtype), last
