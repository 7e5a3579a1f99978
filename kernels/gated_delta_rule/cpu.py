"""The gated delta rule in chunks, by matrix products and triangular inverses (arXiv 2412.06464,
section 3.3).

Inside a chunk with start state S, and with G and D of kernels/chunks.py, the corrections X (one row
per position) solve (I + A) X = beta * (v - exp(G) k S) with A_ij = beta_i (k_i . k_j) D_ij below
the diagonal. So X = U - W S, where U and W solve the same system for beta *
v and beta * exp(G) * k, and

    y = exp(G) q S + ((q k^T) * D) X,    S' = exp(G_last) S + (exp(G_last - G) k)^T X.

Only the small product S' = transition S + addition runs in sequence. Backward keeps the start
states of the chunks and computes the rest again.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ..chunks import (
    chunked,
    decay_gradient,
    inverse_of_unit_lower,
    pair_decays,
    per_chunk,
    scan_gradients,
    scan_states,
    summed_decays,
    unchunked,
)
from ..dtypes import wide

Gradients = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


class _Chunks(NamedTuple):
    """Tensors with a leading dimension of sequences times chunks; rows are the positions of a
    chunk."""

    q: Tensor  # scaled
    k: Tensor
    v: Tensor
    beta: Tensor  # (chunks, rows, 1)
    decay_in: Tensor  # exp(G): from the start of the chunk (chunks, rows, 1)
    decay_out: Tensor  # exp(G_last - G): to its end (chunks, rows, 1)
    pairs: Tensor  # D (chunks, rows, rows)
    inverse: Tensor  # of I + A (chunks, rows, rows)
    solved: Tensor  # U and W side by side (chunks, rows, value width + key width)

    @property
    def decay_whole(self) -> Tensor:
        """exp(G_last): over the whole chunk (chunks, 1, 1)."""
        return self.decay_in[:, -1:]


def chunk_size(q: Tensor) -> int:
    """Positions in a chunk. On a CPU small ones are faster, by measurement; on a GPU there should
    be few."""
    longest = 64 if q.is_cuda else 16 if q.shape[-1] <= 32 else 32
    return min(q.shape[2], longest)


def start_dtype(q: Tensor, k: Tensor, v: Tensor) -> torch.dtype:
    """Dtype of the kept states."""
    return wide(v.dtype)


def _prepare(q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, rows: int) -> _Chunks:
    dtype = wide(v.dtype)
    scale = q.shape[-1] ** -0.5
    q, k, v = (chunked(x, rows, dtype) for x in (q, k, v))
    q = q * scale
    beta = chunked(beta[..., None], rows, dtype)
    sums = summed_decays(decay, rows, dtype)
    pairs = pair_decays(sums)
    decay_in = sums.exp()
    right = torch.cat([v, k * decay_in], dim=-1).mul_(beta)
    inverse = inverse_of_unit_lower(torch.bmm(k * beta, k.mT).mul_(pairs))
    return _Chunks(
        q,
        k,
        v,
        beta,
        decay_in,
        (sums[:, -1:] - sums).exp_(),
        pairs,
        inverse,
        torch.bmm(inverse, right),
    )


def _transitions(chunks: _Chunks) -> tuple[Tensor, Tensor]:
    """What multiplies a chunk's start state and what is added to it."""
    key, value = chunks.k.shape[-1], chunks.v.shape[-1]
    moved = torch.bmm((chunks.k * chunks.decay_out).mT, chunks.solved)
    transition = torch.diag_embed(chunks.decay_whole[:, 0].expand(-1, key)) - moved[..., value:]
    return transition, moved[..., :value]


def _corrections(chunks: _Chunks, starts: Tensor) -> Tensor:
    value = chunks.v.shape[-1]
    return torch.baddbmm(chunks.solved[..., :value], chunks.solved[..., value:], starts, alpha=-1)


def forward(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """y, the last state and the start states of all chunks (sequences * chunks, key width, value
    width)."""
    chunks = _prepare(q, k, v, decay, beta, chunk_size(q))
    sequences = v.shape[0] * v.shape[1]
    transitions, additions = (per_chunk(x, sequences) for x in _transitions(chunks))
    start, last = scan_states(transitions, additions, state)
    y = torch.bmm(chunks.q * chunks.decay_in, start)
    y.baddbmm_(torch.bmm(chunks.q, chunks.k.mT).mul_(chunks.pairs), _corrections(chunks, start))
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
    rows = chunk_size(q)
    chunks = _prepare(q, k, v, decay, beta, rows)
    value = v.shape[-1]
    grad_y = chunked(grad, rows, chunks.v.dtype)
    scores = torch.bmm(chunks.q, chunks.k.mT).mul_(chunks.pairs)
    # Of the corrections, so far without what the end state passes back.
    grad_x = torch.bmm(scores.mT, grad_y)
    passed = torch.bmm((chunks.q * chunks.decay_in).mT, grad_y)
    passed.baddbmm_(chunks.solved[..., value:].mT, grad_x, alpha=-1)
    sequences = v.shape[0] * v.shape[1]
    transitions = per_chunk(_transitions(chunks)[0], sequences)
    grad_end, grad_start = scan_gradients(transitions, per_chunk(passed, sequences), grad_state)
    grad_x.baddbmm_(chunks.k * chunks.decay_out, grad_end)
    x = _corrections(chunks, start)
    right = torch.bmm(chunks.inverse.mT, grad_x)
    grad_scores = torch.bmm(grad_y, x.mT).mul_(chunks.pairs)
    grad_system = torch.bmm(right, x.mT).mul_(chunks.pairs).tril_(-1).neg_()
    # Gradients of q, of k as the row of a pair (before beta) and of k as its column.
    grad_q = torch.bmm(grad_scores, chunks.k).addcmul_(torch.bmm(grad_y, start.mT), chunks.decay_in)
    grad_row = torch.bmm(grad_system, chunks.k).addcmul_(
        torch.bmm(right, start.mT), chunks.decay_in, value=-1
    )
    grad_column = torch.bmm(grad_scores.mT, chunks.q).baddbmm_(
        grad_system.mT, chunks.k * chunks.beta
    )
    to_end = torch.bmm(x, grad_end.mT).mul_(chunks.decay_out)
    grad_column += to_end
    grad_beta = (right * chunks.v).sum(-1, True) + (grad_row * chunks.k).sum(-1, True)
    grad_row *= chunks.beta
    # G_i grows what row i reads and shrinks what column i is read as; G_last grows the end state.
    grad_sums = (grad_q * chunks.q).sum(-1) + ((grad_row - grad_column) * chunks.k).sum(-1)
    grad_sums[:, -1] += (to_end * chunks.k).sum((1, 2)) + (
        (start * grad_end).sum((1, 2)) * chunks.decay_whole[:, 0, 0]
    )
    return (
        unchunked(grad_q.mul_(q.shape[-1] ** -0.5), q),
        unchunked(grad_column.add_(grad_row), k),
        unchunked(right.mul_(chunks.beta), v),
        unchunked(decay_gradient(grad_sums)[..., None], decay),
        unchunked(grad_beta, beta),
        grad_start.view(*v.shape[:2], *grad_start.shape[1:]),
    )
