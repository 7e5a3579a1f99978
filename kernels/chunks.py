"""What recurrences that are computed chunk by chunk share in PyTorch: the layout and the decays.

Of a chunk, G is the cumulative log decay at each position, and D_ij = exp(G_i - G_j) for j <= i
what is left at position i of what came in at position j.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

# exp(-40) is far below float32's precision; differences of sums of decays stay exact and finite.
LOWEST_DECAY = -40.0


def chunked(x: Tensor, rows: int, dtype: torch.dtype) -> Tensor:
    """(batch, heads, length, width) to (sequences * chunks, rows, width), zeros behind the last
    position. A sequence is one head of one batch entry."""
    missing = -x.shape[2] % rows
    x = x.to(dtype)
    if missing:
        x = F.pad(x, (0, 0, 0, missing))
    return x.reshape(-1, rows, x.shape[-1])


def unchunked(x: Tensor, like: Tensor) -> Tensor:
    """The inverse of `chunked`, in the shape and dtype of `like`."""
    batch, heads, length = like.shape[:3]
    return (
        x.reshape(batch, heads, -1, x.shape[-1])[:, :, :length]
        .to(like.dtype)
        .reshape(like.shape)
        .contiguous()
    )


def summed_decays(decay: Tensor, rows: int, dtype: torch.dtype) -> Tensor:
    """G from log decays (batch, heads, length): (sequences * chunks, rows, 1)."""
    return chunked(decay[..., None].clamp(min=LOWEST_DECAY), rows, dtype).cumsum(1)


def pair_decays(sums: Tensor) -> Tensor:
    """D (..., rows, rows) from G (..., rows, 1), zeros above the diagonal."""
    return (sums - sums.mT).exp_().tril_()


def decay_gradient(grad_sums: Tensor) -> Tensor:
    """The gradient of the log decays (..., rows) from that of G: a decay is in all later sums."""
    return grad_sums.flip(-1).cumsum(-1).flip(-1)


def per_chunk(x: Tensor, sequences: int) -> tuple[Tensor, ...]:
    """(sequences * chunks, ...) to one tensor (sequences, ...) for each chunk."""
    return x.unflatten(0, (sequences, -1)).unbind(1)
