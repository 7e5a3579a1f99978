"""The gated delta rule in chunks, by matrix products and triangular inverses (arXiv 2412.06464,
section 3.3).

Inside a chunk with start state S, cumulative log decay G and D_ij = exp(G_i - G_j) for j <= i, the
corrections X (one row per position) solve (I + A) X = beta * (v - exp(G) k S) with A_ij = beta_i
(k_i . k_j) D_ij below the diagonal. So X = U - W S, where U and W solve the same system for beta *
v and beta * exp(G) * k, and

    y = exp(G) q S + ((q k^T) * D) X,    S' = exp(G_last) S + (exp(G_last - G) k)^T X.

Only the small product S' = transition S + addition runs in sequence. Backward keeps the start
states of the chunks and computes the rest again.
"""

from typing import NamedTuple

import torch
from torch.nn import functional as F

from ..checks import wide

LOWEST_DECAY = (
    -40.0
)  # exp(-40) is far below float32's precision; keeps differences of sums of decays exact and finite

Gradients = tuple[
    torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor
]


class _Chunks(NamedTuple):
    """Tensors with a leading dimension of sequences times chunks; rows are the positions of a
    chunk."""

    q: torch.Tensor  # scaled
    k: torch.Tensor
    v: torch.Tensor
    beta: torch.Tensor  # (chunks, rows, 1)
    decay_in: torch.Tensor  # exp(G): from the start of the chunk (chunks, rows, 1)
    decay_out: torch.Tensor  # exp(G_last - G): to its end (chunks, rows, 1)
    pairs: torch.Tensor  # D (chunks, rows, rows)
    inverse: torch.Tensor  # of I + A (chunks, rows, rows)
    solved: torch.Tensor  # U and W side by side (chunks, rows, value width + key width)

    @property
    def decay_whole(self) -> torch.Tensor:
        """exp(G_last): over the whole chunk (chunks, 1, 1)."""
        return self.decay_in[:, -1:]


def chunk_size(q: torch.Tensor) -> int:
    """Positions in a chunk. On a CPU small ones are faster, by measurement; on a GPU there should
    be few."""
    longest = 64 if q.is_cuda else 16 if q.shape[-1] <= 32 else 32
    return min(q.shape[2], longest)


def start_dtype(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.dtype:
    """Dtype of the kept states."""
    return wide(v.dtype)


def _chunked(x: torch.Tensor, rows: int, dtype: torch.dtype) -> torch.Tensor:
    """(batch, heads, length, width) to (sequences * chunks, rows, width), zeros behind the last
    position."""
    missing = -x.shape[2] % rows
    x = x.to(dtype)
    if missing:
        x = F.pad(x, (0, 0, 0, missing))
    return x.reshape(-1, rows, x.shape[-1])


def _unchunked(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """The inverse of `_chunked`, in the shape and dtype of `like`."""
    batch, heads, length = like.shape[:3]
    return (
        x.reshape(batch, heads, -1, x.shape[-1])[:, :, :length]
        .to(like.dtype)
        .reshape(like.shape)
        .contiguous()
    )


def _inverse(system: torch.Tensor) -> torch.Tensor:
    """Of I + A, where A is what lies below the diagonal of `system`. One is faster than solves with
    the wide sides."""
    identity = torch.eye(system.shape[-1], dtype=system.dtype, device=system.device).expand_as(
        system
    )
    return torch.linalg.solve_triangular(system, identity, upper=False, unitriangular=True)


def _prepare(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    decay: torch.Tensor,
    beta: torch.Tensor,
    rows: int,
) -> _Chunks:
    dtype = wide(v.dtype)
    q, k, v = (
        _chunked(q, rows, dtype) * q.shape[-1] ** -0.5,
        _chunked(k, rows, dtype),
        _chunked(v, rows, dtype),
    )
    beta = _chunked(beta[..., None], rows, dtype)
    sums = _chunked(decay[..., None].clamp(min=LOWEST_DECAY), rows, dtype).cumsum(1)
    pairs = (sums - sums.mT).exp_().tril_()
    decay_in = sums.exp()
    right = torch.cat([v, k * decay_in], dim=-1).mul_(beta)
    inverse = _inverse(torch.bmm(k * beta, k.mT).mul_(pairs))
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


def _per_sequence(x: torch.Tensor, sequences: int) -> tuple[torch.Tensor, ...]:
    """(sequences * chunks, ...) to one tensor (sequences, ...) for each chunk."""
    return x.unflatten(0, (sequences, -1)).unbind(1)


def _transitions(chunks: _Chunks) -> tuple[torch.Tensor, torch.Tensor]:
    """What multiplies a chunk's start state and what is added to it."""
    key, value = chunks.k.shape[-1], chunks.v.shape[-1]
    moved = torch.bmm((chunks.k * chunks.decay_out).mT, chunks.solved)
    transition = torch.diag_embed(chunks.decay_whole[:, 0].expand(-1, key)) - moved[..., value:]
    return transition, moved[..., :value]


def _corrections(chunks: _Chunks, starts: torch.Tensor) -> torch.Tensor:
    value = chunks.v.shape[-1]
    return torch.baddbmm(chunks.solved[..., :value], chunks.solved[..., value:], starts, alpha=-1)


def forward(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    decay: torch.Tensor,
    beta: torch.Tensor,
    state: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """y, the last state and the start states of all chunks (sequences * chunks, key width, value
    width)."""
    chunks = _prepare(q, k, v, decay, beta, chunk_size(q))
    sequences = v.shape[0] * v.shape[1]
    shape = (sequences, q.shape[-1], v.shape[-1])
    now = chunks.v.new_zeros(shape) if state is None else state.to(chunks.v.dtype).reshape(shape)
    starts = []
    for transition, addition in zip(
        *(_per_sequence(x, sequences) for x in _transitions(chunks)), strict=True
    ):
        starts.append(now)
        now = torch.baddbmm(addition, transition, now)
    start = torch.stack(starts, dim=1).flatten(0, 1)
    y = torch.bmm(chunks.q * chunks.decay_in, start)
    y.baddbmm_(torch.bmm(chunks.q, chunks.k.mT).mul_(chunks.pairs), _corrections(chunks, start))
    return _unchunked(y, v), now.view(*v.shape[:2], *shape[1:]), start


def backward(
    grad: torch.Tensor,
    grad_state: torch.Tensor | None,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    decay: torch.Tensor,
    beta: torch.Tensor,
    start: torch.Tensor,
) -> Gradients:
    """Gradients of q, k, v, decay, beta and the state before the first position, from those of y
    and the last state."""
    rows = chunk_size(q)
    chunks = _prepare(q, k, v, decay, beta, rows)
    value = v.shape[-1]
    grad_y = _chunked(grad, rows, chunks.v.dtype)
    scores = torch.bmm(chunks.q, chunks.k.mT).mul_(chunks.pairs)
    grad_x = torch.bmm(
        scores.mT, grad_y
    )  # of the corrections, so far without what the end state passes back
    passed = torch.bmm((chunks.q * chunks.decay_in).mT, grad_y)
    passed.baddbmm_(chunks.solved[..., value:].mT, grad_x, alpha=-1)
    grad_end, grad_start = _back_through_states(chunks, passed, grad_state, v.shape[0] * v.shape[1])
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
    grad_decay = grad_sums.flip(1).cumsum(1).flip(1)[..., None]
    return (
        _unchunked(grad_q.mul_(q.shape[-1] ** -0.5), q),
        _unchunked(grad_column.add_(grad_row), k),
        _unchunked(right.mul_(chunks.beta), v),
        _unchunked(grad_decay, decay),
        _unchunked(grad_beta, beta),
        grad_start.view(*v.shape[:2], *grad_start.shape[1:]),
    )


def _back_through_states(
    chunks: _Chunks, passed: torch.Tensor, grad_state: torch.Tensor | None, sequences: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of the chunks' end states, and of the first chunk's start state."""
    transitions = _per_sequence(_transitions(chunks)[0], sequences)
    additions = _per_sequence(passed, sequences)
    shape = additions[0].shape
    now = (
        passed.new_zeros(shape)
        if grad_state is None
        else grad_state.to(passed.dtype).reshape(shape)
    )
    ends = []
    for transition, addition in zip(reversed(transitions), reversed(additions), strict=True):
        ends.append(now)
        now = torch.baddbmm(addition, transition.mT, now)
    return torch.stack(ends[::-1], dim=1).flatten(0, 1), now
