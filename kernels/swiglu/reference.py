"""SwiGLU's gate as its definition."""

import torch


def swiglu_reference(c: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Shapes and dtype as `swiglu`."""
    return (c * torch.sigmoid(c) * v).to(v.dtype)
