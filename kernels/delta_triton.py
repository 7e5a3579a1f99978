"""What the delta rules share in Triton, around their kernels: which chunks, in which dtype."""

import torch
from torch import Tensor

from .triton_tools import chunk_size as rows_of


def supports(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether a chunk of keys fits into the fast memory, in a dtype that the kernels accumulate
    exactly enough."""
    return q.shape[-1] <= 128 and torch.float64 not in (q.dtype, k.dtype, v.dtype)


def chunk_size(q: Tensor) -> int:
    """Positions in a chunk."""
    return rows_of(q.shape[2])


def start_dtype(q: Tensor, k: Tensor, v: Tensor) -> torch.dtype:
    """Dtype of what goes into matrix products, and so of the kept states."""
    return v.dtype if q.dtype == k.dtype == v.dtype else torch.float32
