"""In which dtype primitives compute."""

import torch
from torch import Tensor


def wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype to accumulate in: float32, or float64 for float64."""
    return torch.promote_types(dtype, torch.float32)


def widest(*tensors: Tensor) -> torch.dtype:
    """The dtype to accumulate in for several: float32, or float64 where one of them has it."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype


def common(*tensors: Tensor) -> list[Tensor]:
    """The tensors in the dtype that all of them promote to."""
    dtype = tensors[0].dtype
    if all(tensor.dtype == dtype for tensor in tensors):
        return list(tensors)
    for tensor in tensors[1:]:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return [tensor.to(dtype) for tensor in tensors]


def without_autocast(tensor: Tensor) -> torch.autocast:
    """Operators run below autograd but not below autocast, which would narrow their products."""
    return torch.autocast(tensor.device.type, enabled=False)
