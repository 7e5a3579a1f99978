"""The channel-wise gated delta rule in chunks, by matrix products and triangular inverses (arXiv
2510.26692, section 3).

As kernels/gated_delta_rule/cpu.py, whose decays are one number a head: here G has a channel axis,
and what it does to a pair of positions is no factor in front of k_i . k_j, but inside it. With

    K_ij = sum of k_i k_j exp(G_i - G_j),   Q_ij = sum of q_i k_j exp(G_i - G_j)

over the channels (cpu_halves.py), and the start state S, the corrections X solve (I + A) X =
beta * (v - (exp(G) k) S) with A_ij = beta_i K_ij below the diagonal. So X = U - W S, and

    y = (exp(G) q) S + Q X,    S' = exp(G_last) S + (exp(G_last - G) k)^T X.

Only the small product S' = transition S + addition runs in sequence. Backward keeps the start
states of the chunks and computes the rest again.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ..chunks import (
    chunked,
    inverse_of_unit_lower,
    per_chunk,
    scan_gradients,
    scan_states,
    unchunked,
)
from ..dtypes import wide
from .cpu_halves import Halves, decay_gradient, halve, pair_gradients, pair_products

Gradients = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


class _Chunks(NamedTuple):
    """Tensors with a leading dimension of sequences times chunks; rows are the positions of a
    chunk."""

    q: Tensor  # scaled
    k: Tensor
    v: Tensor
    beta: Tensor  # (chunks, rows, 1)
    halves: Halves
    scores: Tensor  # Q (chunks, rows, rows)
    inverse: Tensor  # of I + A (chunks, rows, rows)
    solved: Tensor  # U and W side by side (chunks, rows, value width + key width)

    @property
    def pairs(self) -> tuple[Tensor, Tensor]:
        """What `pair_products` makes Q and A of: q beside beta k, and k."""
        return torch.stack([self.q, self.k * self.beta]), self.k

    @property
    def q_in(self) -> Tensor:
        """exp(G) q."""
        return self.q * self.halves.decay_in

    @property
    def k_out(self) -> Tensor:
        """exp(G_last - G) k."""
        return self.k * self.halves.decay_out

    @property
    def decay_whole(self) -> Tensor:
        """exp(G_last): over the whole chunk (chunks, key width)."""
        return self.halves.decay_in[:, -1]

    def split(self) -> tuple[Tensor, Tensor]:
        """U and W."""
        value = self.v.shape[-1]
        return self.solved[..., :value], self.solved[..., value:]


def chunk_size(q: Tensor) -> int:
    """Positions in a chunk, a power of two, so that it can be halved."""
    longest = 64 if q.is_cuda else 32
    return min(1 << (q.shape[2] - 1).bit_length(), longest)


def start_dtype(q: Tensor, k: Tensor, v: Tensor) -> torch.dtype:
    """Dtype of the kept states."""
    return wide(v.dtype)


def _prepare(q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor) -> _Chunks:
    rows, dtype, scale = chunk_size(q), wide(v.dtype), q.shape[-1] ** -0.5
    q, k, v, decay = (chunked(x, rows, dtype) for x in (q, k, v, decay))
    q, beta = q * scale, chunked(beta[..., None], rows, dtype)
    halves = halve(decay)
    scores, system = pair_products(torch.stack([q, k * beta]), k, halves)
    scores.diagonal(dim1=-2, dim2=-1).copy_((q * k).sum(-1))
    inverse = inverse_of_unit_lower(system)
    right = torch.cat([v, k * halves.decay_in], dim=-1).mul_(beta)
    return _Chunks(q, k, v, beta, halves, scores, inverse, torch.bmm(inverse, right))


def _transitions(chunks: _Chunks) -> tuple[Tensor, Tensor]:
    """What multiplies a chunk's start state and what is added to it."""
    value = chunks.v.shape[-1]
    moved = torch.bmm(chunks.k_out.mT, chunks.solved)
    return torch.diag_embed(chunks.decay_whole) - moved[..., value:], moved[..., :value]


def _corrections(chunks: _Chunks, starts: Tensor) -> Tensor:
    u, w = chunks.split()
    return torch.baddbmm(u, w, starts, alpha=-1)


def forward(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """y, the last state and the start states of all chunks (sequences * chunks, key width, value
    width)."""
    chunks, sequences = _prepare(q, k, v, decay, beta), v.shape[0] * v.shape[1]
    transitions, additions = (per_chunk(x, sequences) for x in _transitions(chunks))
    start, last = scan_states(transitions, additions, state)
    y = torch.bmm(chunks.q_in, start).baddbmm_(chunks.scores, _corrections(chunks, start))
    return unchunked(y, v), last.view(*v.shape[:2], *last.shape[1:]), start


def backward(
    grad: Tensor,
    grad_state: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor,
    beta: Tensor,
    start: Tensor,
) -> Gradients:
    """Gradients of q, k, v, decay, beta and the state before the first position, from those of y
    and the last state."""
    chunks, sequences = _prepare(q, k, v, decay, beta), v.shape[0] * v.shape[1]
    halves, (_, w) = chunks.halves, chunks.split()
    grad_y = chunked(grad, chunk_size(q), chunks.v.dtype)
    # Of the corrections, so far without what the end state passes back.
    grad_x = torch.bmm(chunks.scores.mT, grad_y)
    passed = torch.bmm(chunks.q_in.mT, grad_y).baddbmm_(w.mT, grad_x, alpha=-1)
    transitions = per_chunk(_transitions(chunks)[0], sequences)
    grad_end, grad_start = scan_gradients(transitions, per_chunk(passed, sequences), grad_state)
    grad_x.baddbmm_(chunks.k_out, grad_end)
    x = _corrections(chunks, start)
    right = torch.bmm(chunks.inverse.mT, grad_x)
    # What goes through pairs of positions, and through the start and the end state; of q, of
    # beta k as what is corrected, and of k as what is written.
    grad_pairs = torch.stack([torch.bmm(grad_y, x.mT), torch.bmm(right, x.mT).neg_()])
    (grad_q, grad_row), grad_k, sums = pair_gradients(grad_pairs, *chunks.pairs, halves)
    read = torch.bmm(grad_y, start.mT).mul_(halves.decay_in)
    corrected = torch.bmm(right, start.mT).mul_(halves.decay_in).neg_()
    written = torch.bmm(x, grad_end.mT).mul_(halves.decay_out)
    grad_in = (read * chunks.q).addcmul_(corrected, chunks.k * chunks.beta)
    grad_in[:, -1] += (start * grad_end).sum(-1) * chunks.decay_whole
    grad_decay = decay_gradient(sums, grad_in, written * chunks.k)
    own = grad_pairs[0].diagonal(dim1=-2, dim2=-1)[..., None]  # a position with itself: no decay
    grad_q.add_(read).addcmul_(own, chunks.k)
    grad_row.add_(corrected)
    grad_k.add_(written).addcmul_(own, chunks.q).addcmul_(grad_row, chunks.beta)
    grad_beta = (right * chunks.v).sum(-1, True) + (grad_row * chunks.k).sum(-1, True)
    return (
        unchunked(grad_q.mul_(q.shape[-1] ** -0.5), q),
        unchunked(grad_k, k),
        unchunked(right.mul_(chunks.beta), v),
        unchunked(grad_decay, decay),
        unchunked(grad_beta, beta),
        grad_start.view(*v.shape[:2], *grad_start.shape[1:]),
    )
