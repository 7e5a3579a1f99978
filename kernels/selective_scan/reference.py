"""The selective scan written as its definition, one step at a time under autograd."""

import torch
from torch import Tensor


def selective_scan_reference(
    v: Tensor,
    step: Tensor,
    rate: Tensor,
    b: Tensor,
    c: Tensor,
    skip: Tensor | None = None,
    gate: Tensor | None = None,
    state: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Output and last state, shapes and dtypes as `selective_scan`; keeps every state on the
    autograd tape."""
    dtype = torch.promote_types(v.dtype, torch.float32)
    x, step, rate, b, c = (tensor.to(dtype) for tensor in (v, step, rate, b, c))
    h = x.new_zeros(x.shape[0], *rate.shape) if state is None else state.to(dtype)
    outputs = []
    for t in range(x.shape[1]):
        decay = torch.exp(step[:, t, :, None] * rate)
        h = decay * h + (step[:, t] * x[:, t])[..., None] * b[:, t, None, :]
        outputs.append((h * c[:, t, None, :]).sum(-1))
    y = torch.stack(outputs, dim=1)
    if skip is not None:
        y = y + skip.to(dtype) * x
    if gate is not None:
        y = y * gate.to(dtype)
    return y.to(v.dtype), h
