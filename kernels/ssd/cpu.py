"""SSD in chunks, by matrix products (arXiv 2405.21060, section 6), in PyTorch.

Inside a chunk with start state S, and with G and D of kernels/chunks.py,

    y = exp(G) c S + ((c b^T) * D) v,    S' = exp(G_last) S + (exp(G_last - G) b)^T v.

Only S' = decay S + addition runs in sequence. Heads of a group have b and c in common. So c b^T is
computed once a group, and what meets a state does so for all heads of the group in one product:
they lie side by side in the width, `wide` below. Of two heads with values of width 3, a row is

    v_1 v_1 v_1 v_2 v_2 v_2,

and likewise a row of S. Backward keeps the start states of the chunks and computes the rest again.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ..chunks import chunked, decay_gradient, pair_decays, per_chunk, summed_decays, unchunked
from ..dtypes import wide as accumulated
from ..dtypes import without_autocast


class _Chunks(NamedTuple):
    """Groups: (batch * groups * chunks, rows, width). Heads: (batch * heads * chunks, rows, width).

    Wide: (batch * groups * chunks, rows, heads of a group * value width).
    """

    c: Tensor  # groups
    b: Tensor  # groups
    v: Tensor  # heads
    sums: Tensor  # G of the heads, width 1
    repeats: int  # heads of a group
    chunks: int  # of a sequence

    def widened(self, x: Tensor) -> Tensor:
        """Heads to wide."""
        if self.repeats == 1:
            return x
        x = x.unflatten(0, (-1, self.repeats, self.chunks))
        return x.permute(0, 2, 3, 1, 4).reshape(*self.c.shape[:2], -1)

    def by_head(self, x: Tensor) -> Tensor:
        """Wide to heads; of any number of rows."""
        if self.repeats == 1:
            return x
        x = x.unflatten(-1, (self.repeats, -1)).unflatten(0, (-1, self.chunks))
        return x.permute(0, 3, 1, 2, 4).flatten(0, 2)

    def pairs_by_head(self, x: Tensor) -> Tensor:
        """Pairs of positions of the groups (..., rows, rows), seen as those of each head."""
        return x.unflatten(0, (-1, 1, self.chunks)).expand(-1, self.repeats, -1, -1, -1)

    def pairs(self, x: Tensor) -> Tensor:
        """Pairs of positions of the heads with an axis for the heads of a group."""
        return x.unflatten(0, (-1, self.repeats, self.chunks))

    @property
    def decay_in(self) -> Tensor:
        """exp(G): from the start of the chunk; heads."""
        return self.sums.exp()

    @property
    def decay_out(self) -> Tensor:
        """exp(G_last - G): to the end of the chunk; heads."""
        return (self.sums[:, -1:] - self.sums).exp_()

    @property
    def decay_whole(self) -> Tensor:
        """exp(G_last): over the whole chunk; (batch * heads * chunks, 1, 1)."""
        return self.sums[:, -1:].exp()

    def decays_of_states(self) -> Tensor:
        """What each column of a wide state keeps over its chunk, (groups * chunks, 1, wide)."""
        whole = self.decay_whole.expand(-1, 1, self.v.shape[-1])
        if self.repeats == 1:
            return whole
        whole = whole.unflatten(0, (-1, self.repeats, self.chunks))
        return whole.permute(0, 2, 3, 1, 4).flatten(-2).flatten(0, 1)


def chunk_size(c: Tensor, v: Tensor) -> int:
    """Positions in a chunk. On a CPU small ones are faster, by measurement; on a GPU there should
    be few."""
    return min(c.shape[2], 64 if c.is_cuda else 32)


def start_shape(c: Tensor, v: Tensor) -> tuple[int, ...]:
    """Of the kept states: (batch * groups * chunks, state size, wide)."""
    chunks, repeats = -(-c.shape[2] // chunk_size(c, v)), v.shape[1] // c.shape[1]
    return c.shape[0] * c.shape[1] * chunks, c.shape[-1], repeats * v.shape[-1]


def start_dtype(c: Tensor, b: Tensor, v: Tensor) -> torch.dtype:
    """Dtype of the kept states."""
    return accumulated(v.dtype)


def _prepare(c: Tensor, b: Tensor, v: Tensor, decay: Tensor) -> _Chunks:
    rows, dtype = chunk_size(c, v), accumulated(v.dtype)
    sums = summed_decays(decay, rows, dtype)
    repeats, chunks = v.shape[1] // c.shape[1], -(-c.shape[2] // rows)
    c, b, v = (chunked(x, rows, dtype) for x in (c, b, v))
    return _Chunks(c, b, v, sums, repeats, chunks)


def _widened_state(state: Tensor, groups: int, dtype: torch.dtype) -> Tensor:
    """(batch, heads, state size, value width) to (batch * groups, state size, wide)."""
    state = state.to(dtype).unflatten(1, (groups, -1)).movedim(2, 3)
    return state.flatten(-2).flatten(0, 1)


def _state_by_head(x: Tensor, like: Tensor, groups: int) -> Tensor:
    """The inverse of `_widened_state`, (batch, heads, state size, value width) for v as `like`."""
    x = x.unflatten(0, (-1, groups)).unflatten(-1, (-1, like.shape[-1])).movedim(3, 2)
    return x.flatten(1, 2).contiguous()


def _scores(chunks: _Chunks) -> tuple[Tensor, Tensor]:
    """c b^T of the groups, and D of the heads."""
    return torch.bmm(chunks.c, chunks.b.mT), pair_decays(chunks.sums)


def forward(
    c: Tensor, b: Tensor, v: Tensor, decay: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """y, the last state, and the start states of all chunks, shaped as `start_shape` says."""
    chunks = _prepare(c, b, v, decay)
    sequences, groups = c.shape[0] * c.shape[1], c.shape[1]
    additions = torch.bmm(chunks.b.mT, chunks.widened(chunks.v * chunks.decay_out))
    if state is None:
        now = additions.new_zeros(sequences, *additions.shape[1:])
    else:
        now = _widened_state(state, groups, additions.dtype)
    starts = []
    for kept, addition in zip(
        per_chunk(chunks.decays_of_states(), sequences),
        per_chunk(additions, sequences),
        strict=True,
    ):
        starts.append(now)
        now = torch.addcmul(addition, kept, now)
    start = torch.stack(starts, dim=1).flatten(0, 1)
    products, decays = _scores(chunks)
    scores = chunks.pairs(decays).mul_(chunks.pairs_by_head(products)).flatten(0, 2)
    y = torch.bmm(scores, chunks.v)
    y.addcmul_(chunks.by_head(torch.bmm(chunks.c, start)), chunks.decay_in)
    return unchunked(y, v), _state_by_head(now, v, groups), start


def backward(
    grad: Tensor,
    grad_state: Tensor | None,
    c: Tensor,
    b: Tensor,
    v: Tensor,
    decay: Tensor,
    start: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of c, b, v, decay and the state before the first position, from those of y and the
    last state."""
    chunks = _prepare(c, b, v, decay)
    grad_y = chunked(grad, chunk_size(c, v), chunks.v.dtype)
    read = chunks.widened(grad_y * chunks.decay_in)  # the gradient of c S
    grad_end, grad_start = _back_through_states(chunks, read, grad_state, c.shape[:2])
    products, decays = _scores(chunks)
    by_head = chunks.pairs_by_head(products)
    grad_scores = torch.bmm(grad_y, chunks.v.mT).mul_(decays)
    # G_i grows what row i reads and shrinks what row i is read as; the same numbers stand for both.
    pairs = chunks.pairs(grad_scores) * by_head
    grad_sums = (pairs.sum(-1) - pairs.sum(-2)).flatten(0, 2)
    grad_products = chunks.pairs(grad_scores).sum(1).flatten(0, 1)

    written = chunks.by_head(torch.bmm(chunks.b, grad_end)) * chunks.decay_out
    scores = chunks.pairs(decays).mul_(by_head).flatten(0, 2)
    grad_v = torch.bmm(scores.mT, grad_y).add_(written)
    from_start = chunks.by_head(torch.bmm(chunks.c, start)) * chunks.decay_in
    to_end = (written * chunks.v).sum(-1)
    grad_sums += (from_start * grad_y).sum(-1) - to_end
    held = chunks.by_head((start * grad_end).sum(1, keepdim=True)).sum((1, 2))
    grad_sums[:, -1] += to_end.sum(-1) + held * chunks.decay_whole[:, 0, 0]

    grad_c = torch.bmm(grad_products, chunks.b).baddbmm_(read, start.mT)
    inputs = chunks.widened(chunks.v * chunks.decay_out)
    grad_b = torch.bmm(grad_products.mT, chunks.c).baddbmm_(inputs, grad_end.mT)
    return (
        unchunked(grad_c, c),
        unchunked(grad_b, b),
        unchunked(grad_v, v),
        unchunked(decay_gradient(grad_sums)[..., None], decay),
        _state_by_head(grad_start, v, c.shape[1]),
    )


def _back_through_states(
    chunks: _Chunks, read: Tensor, grad_state: Tensor | None, groups: torch.Size
) -> tuple[Tensor, Tensor]:
    """Wide gradients of the chunks' end states, and of the first chunk's start state; groups:
    (batch, groups)."""
    sequences = groups.numel()
    additions = torch.bmm(chunks.c.mT, read)
    if grad_state is None:
        now = additions.new_zeros(sequences, *additions.shape[1:])
    else:
        now = _widened_state(grad_state, groups[1], additions.dtype)
    ends = []
    for kept, addition in zip(
        reversed(per_chunk(chunks.decays_of_states(), sequences)),
        reversed(per_chunk(additions, sequences)),
        strict=True,
    ):
        ends.append(now)
        now = torch.addcmul(addition, kept, now)
    return torch.stack(ends[::-1], dim=1).flatten(0, 1), now


def step(c: Tensor, b: Tensor, v: Tensor, decay: Tensor, state: Tensor) -> Tensor:
    """One position; advances the state in place."""
    dtype, groups = accumulated(v.dtype), (c.shape[1], -1)
    memory = state.to(dtype).mul_(decay.to(dtype).exp()[..., None])
    column, row = b.to(dtype).mT[:, :, None], v.to(dtype).unflatten(1, groups)
    by_group = memory.unflatten(1, groups).addcmul_(column, row)
    if memory is not state:
        state.copy_(memory)
    with without_autocast(v):
        return (c.to(dtype)[:, :, None] @ by_group).flatten(1, 2).to(v.dtype)
