"""The channel-wise gated delta rule as its recurrence, position by position."""

import torch
from torch import Tensor


def channelwise_delta_rule_reference(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Shapes and dtypes as `channelwise_delta_rule`; y and the last state."""
    dtype, out = torch.promote_types(v.dtype, torch.float32), v.dtype
    q, k, v, decay, beta = (x.to(dtype) for x in (q, k, v, decay, beta))
    q = q * q.shape[-1] ** -0.5
    memory = (
        v.new_zeros(*q.shape[:2], q.shape[-1], v.shape[-1]) if state is None else state.to(dtype)
    )
    ys = []
    for t in range(v.shape[2]):
        memory = memory * decay[:, :, t].exp()[..., None]
        correction = v[:, :, t] - torch.einsum("bhk,bhkv->bhv", k[:, :, t], memory)
        memory = memory + torch.einsum("bh,bhk,bhv->bhkv", beta[:, :, t], k[:, :, t], correction)
        ys.append(torch.einsum("bhk,bhkv->bhv", q[:, :, t], memory))
    return torch.stack(ys, dim=2).to(out), memory
