"""Linear attention in PyTorch: quadratic within a chunk, a carried state between chunks.

Backward computes the scores and the states again: the gradient of C is the same recurrence with V
and B exchanged, those of B and V are it from the end to the start.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..dtypes import widest, without_autocast
from ..heads import mask, row_scale

NARROW = 32  # widths up to this one take the smaller chunk
CHUNKS = (32, 64)


class _Chunks(NamedTuple):
    """Operands (batch x groups, chunks, size, width), C with its heads folded into the size; each
    contiguous."""

    c: Tensor
    b: Tensor
    v: Tensor
    size: int
    repeats: int
    scale: Tensor  # of the rows, (length, 1)

    def split(self, x: Tensor, repeats: int = 1) -> Tensor:
        """(batch, heads, length, width) by chunks."""
        return _split(x.to(self.c.dtype), self.size, repeats)

    def join(self, x: Tensor, like: Tensor, repeats: int = 1) -> Tensor:
        """The inverse of `split`, with the batch, the heads and the length of another tensor."""
        if repeats > 1:
            x = x.unflatten(2, (repeats, self.size)).movedim(2, 1)
        return x.reshape(*like.shape[:2], -1, x.shape[-1])[:, :, : like.shape[2]]


def _split(x: Tensor, size: int, repeats: int) -> Tensor:
    missing = -x.shape[2] % size
    x = F.pad(x, (0, 0, 0, missing)) if missing else x
    x = x.unflatten(2, (-1, size))
    if repeats > 1:
        x = x.unflatten(1, (-1, repeats)).movedim(2, 3).flatten(3, 4)
    return x.flatten(0, 1).contiguous()


def _chunks(c: Tensor, b: Tensor, v: Tensor, position: int) -> _Chunks:
    dtype = widest(c, b, v)
    repeats, length = c.shape[1] // b.shape[1], c.shape[2]
    size = min(CHUNKS[max(c.shape[-1], v.shape[-1]) > NARROW], length)
    scale = row_scale(length, position + length, None, dtype, c.device, c.shape[-1] ** -0.5)
    c, b, v = (_split(x.to(dtype), size, number) for x, number in ((c, repeats), (b, 1), (v, 1)))
    return _Chunks(c, b, v, size, repeats, scale)


def _multiply(x: Tensor, y: Tensor) -> Tensor:
    return torch.bmm(x.flatten(0, 1), y.flatten(0, 1)).view(*x.shape[:-1], y.shape[-1])


def _add_product(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """X += Y Z."""
    x.flatten(0, 1).baddbmm_(y.flatten(0, 1), z.flatten(0, 1))
    return x


def _causal(scores: Tensor, size: int) -> Tensor:
    """Scores (..., repeats x size, size), in place with zeros for what comes after a query."""
    scores.unflatten(2, (-1, size)).mul_(mask(size, size, None, 0.0, scores.dtype, scores.device))
    return scores


def _carry(sums: Tensor, initial: Tensor | None, reverse: bool = False) -> Tensor:
    """Replaces each chunk's sum by that of the chunks before it (after it in reverse); returns the
    sum of all.

    A loop over the chunks, since a cumulative sum along a strided axis is slower on a CPU than the
    products are.
    """
    state = (
        torch.zeros_like(sums[:, 0]) if initial is None else initial.to(sums.dtype).flatten(0, 1)
    )
    chunks = range(sums.shape[1])
    for i in reversed(chunks) if reverse else chunks:
        following = state + sums[:, i]
        sums[:, i] = state
        state = following
    return state


def forward(
    c: Tensor, b: Tensor, v: Tensor, state: Tensor | None, position: int
) -> tuple[Tensor, Tensor]:
    """The output and the final state."""
    x = _chunks(c, b, v, position)
    before = _multiply(x.b.mT, x.v)
    final = _carry(before, state)
    y = _multiply(_causal(_multiply(x.c, x.b.mT), x.size), x.v)
    y = x.join(_add_product(y, x.c, before), c, x.repeats) * x.scale
    return y.to(v.dtype).contiguous(), final.unflatten(0, b.shape[:2])


def backward(
    grad: Tensor,
    grad_final: Tensor,
    c: Tensor,
    b: Tensor,
    v: Tensor,
    state: Tensor | None,
    position: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of C, B, V and the initial state."""
    x = _chunks(c, b, v, position)
    rows = x.split(grad * x.scale, x.repeats)
    before, after = _multiply(x.b.mT, x.v), _multiply(x.c.mT, rows)
    _carry(before, state)
    grad_state = _carry(after, grad_final, reverse=True)

    scores = _causal(_multiply(x.c, x.b.mT), x.size)
    grad_v = _add_product(_multiply(scores.mT, rows), x.b, after)
    torch.bmm(rows.flatten(0, 1), x.v.mT.flatten(0, 1), out=scores.flatten(0, 1))
    grad_scores = _causal(scores, x.size)
    grad_b = _add_product(_multiply(grad_scores.mT, x.c), x.v, after.mT)
    grad_c = _add_product(_multiply(grad_scores, x.b), rows, before.mT)
    grad_c, grad_b, grad_v = x.join(grad_c, c, x.repeats), x.join(grad_b, b), x.join(grad_v, v)
    grad_c, grad_b, grad_v = (
        x.to(like.dtype).contiguous() for x, like in ((grad_c, c), (grad_b, b), (grad_v, v))
    )
    return grad_c, grad_b, grad_v, grad_state.unflatten(0, b.shape[:2])


def step(
    c: Tensor, b: Tensor, v: Tensor, state: Tensor | None, position: int
) -> tuple[Tensor, Tensor]:
    """One position, by plain operations: the output and the sum with it."""
    dtype = widest(c, b, v)
    last = b.mT.to(dtype) * v.to(dtype)
    last = last if state is None else last + state
    grouped = c.to(dtype).reshape(*b.shape[:2], -1, c.shape[-1])
    with without_autocast(v):
        y = torch.matmul(grouped * (c.shape[-1] * (position + 1)) ** -0.5, last.to(dtype))
    return y.reshape(*c.shape[:3], v.shape[-1]).to(v.dtype), last.to(dtype)
