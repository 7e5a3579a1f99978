"""What recurrences that are computed chunk by chunk share in PyTorch: the layout and the decays.

Of a chunk, G is the cumulative log decay at each position, and D_ij = exp(G_i - G_j) for j <= i
what is left at position i of what came in at position j.
"""

from collections.abc import Sequence

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


def inverse_of_unit_lower(system: Tensor) -> Tensor:
    """Of I + A, where A is what lies below the diagonal of `system` (..., rows, rows). One is
    faster than solves with wide sides."""
    identity = torch.eye(system.shape[-1], dtype=system.dtype, device=system.device)
    # `unitriangular` takes the diagonal for 1 and never reads it: that is the I of I + A.
    return torch.linalg.solve_triangular(
        system, identity.expand_as(system), upper=False, unitriangular=True
    )


def scan_states(
    transitions: Sequence[Tensor], additions: Sequence[Tensor], first: Tensor | None
) -> tuple[Tensor, Tensor]:
    """S' = transition S + addition, chunk by chunk: what is before each of them, and the last.

    Args:
        transitions: (sequences, key width, key width) for each chunk.
        additions: (sequences, key width, value width) for each chunk.
        first: before the first chunk, in any dtype and grouping of the sequences; None is zeros.

    Returns (sequences * chunks, key width, value width) and (sequences, key width, value width).
    """
    shape = additions[0].shape
    now = additions[0].new_zeros(shape) if first is None else first.to(additions[0]).reshape(shape)
    befores = []
    for transition, addition in zip(transitions, additions, strict=True):
        befores.append(now)
        now = torch.baddbmm(addition, transition, now)
    return torch.stack(befores, dim=1).flatten(0, 1), now


def scan_gradients(
    transitions: Sequence[Tensor], additions: Sequence[Tensor], last: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Gradients behind each chunk and before the first, as `scan_states` from the last chunk on.

    additions: what each chunk's outputs pass back to its start; last: behind the last chunk.
    """
    turned = [transition.mT for transition in reversed(transitions)]
    behind, first = scan_states(turned, additions[::-1], last)
    return behind.unflatten(0, (-1, len(turned))).flip(1).flatten(0, 1), first
