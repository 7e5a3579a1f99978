"""SwiGLU's gate as its definition."""

import torch
from torch import Tensor


def swiglu_reference(c: Tensor, v: Tensor) -> Tensor:
    """Shapes and dtype as `swiglu`."""
    return (c * torch.sigmoid(c) * v).to(v.dtype)
