"""SSD as its recurrence, position by position."""

import torch
from torch import Tensor


def ssd_reference(
    c: Tensor, b: Tensor, v: Tensor, decay: Tensor, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Shapes and dtypes as `ssd`; y and the last state, in float32, or float64 for float64 v."""
    dtype, out = torch.promote_types(v.dtype, torch.float32), v.dtype
    repeats = v.shape[1] // c.shape[1]
    c, b = (x.to(dtype).repeat_interleave(repeats, dim=1) for x in (c, b))
    v, decay = v.to(dtype), decay.to(dtype)
    memory = v.new_zeros(*v.shape[:2], b.shape[-1], v.shape[-1])
    if state is not None:
        memory = state.to(dtype)
    ys = []
    for t in range(v.shape[2]):
        product = b[:, :, t, :, None] * v[:, :, t, None, :]
        memory = memory * decay[:, :, t, None, None].exp() + product
        ys.append((c[:, :, t, :, None] * memory).sum(2))
    return torch.stack(ys, dim=2).to(out), memory
