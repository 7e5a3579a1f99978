"""The selective scan written as its definition, one step at a time under autograd; for tests only."""

import torch


def selective_scan_reference(
    v: torch.Tensor, step: torch.Tensor, rate: torch.Tensor, b: torch.Tensor, c: torch.Tensor
) -> torch.Tensor:
    """Shapes as `selective_scan`; keeps every state on the autograd tape."""
    h = v.new_zeros(v.shape[0], v.shape[2], rate.shape[-1])
    outputs = []
    for t in range(v.shape[1]):
        decay = torch.exp(step[:, t, :, None] * rate)
        h = decay * h + (step[:, t] * v[:, t])[..., None] * b[:, t, None, :]
        outputs.append((h * c[:, t, None, :]).sum(-1))
    return torch.stack(outputs, dim=1)
