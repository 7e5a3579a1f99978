"""Products of pairs of positions whose channels decay between them, without a positive exponent.

Of a chunk, with the cumulative log decays G of each channel, they are

    pairs_ij = sum over channels of x_i k_j exp(G_i - G_j),   j < i.

exp(G_i) and exp(-G_j) apart would overflow where decays are strong. So a chunk is halved: from j in
the first half to i in the second, what is left is what reaches the end of the first half, times
what reaches i from there. The halves are halved in turn, down to single positions. Of 4 positions,

    level 0: (1, 0), (3, 2)        level 1: (2, 0), (2, 1), (3, 0), (3, 1).

Both exponents are sums of decays, at most 0, and made by addition alone, so that nothing overflows
or cancels, whatever the decays are.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Level(NamedTuple):
    """What is left between the halves of all blocks of one size, (chunks, blocks, half, width)."""

    rows: Tensor  # of second halves: from the start of the half to the position, its own included
    columns: Tensor  # of first halves: from behind the position to the end of the half


class Halves(NamedTuple):
    """The decays of chunks."""

    levels: list[Level]  # from halves of one position on
    decay_in: Tensor  # exp(G): from the start of the chunk (chunks, rows, width)
    decay_out: Tensor  # exp(G_last - G): to its end (chunks, rows, width)


def halve(decay: Tensor) -> Halves:
    """From log decays (chunks, rows, width), rows a power of two."""
    arriving = decay[:, :, None]  # sums within blocks: (chunks, blocks, rows of a block, width)
    leaving = torch.zeros_like(arriving)
    levels = []
    while arriving.shape[1] > 1:
        first_in, second_in = arriving.unflatten(1, (-1, 2)).unbind(2)
        first_out, second_out = leaving.unflatten(1, (-1, 2)).unbind(2)
        levels.append(Level(second_in.exp(), first_out.exp()))
        arriving = torch.cat([first_in, second_in + first_in[:, :, -1:]], dim=2)
        leaving = torch.cat([first_out + second_in[:, :, -1:], second_out], dim=2)
    return Halves(levels, arriving[:, 0].exp(), leaving[:, 0].exp())


def _split(x: Tensor, half: int) -> tuple[Tensor, ...]:
    """First and second halves of blocks, (..., blocks, half, width) each, of (..., rows, width)."""
    return x.unflatten(-2, (-1, 2, half)).unbind(-3)


def _corners(pairs: Tensor, half: int) -> Tensor:
    """Pairs of a position in a second half with one in the first half of its block, a view
    (..., blocks, half, half) of (..., rows, rows)."""
    blocks = pairs.unflatten(-1, (-1, 2 * half)).unflatten(-3, (-1, 2 * half))
    return blocks.diagonal(dim1=-4, dim2=-2)[..., half:, :half, :].movedim(-1, -3)


def pair_products(x: Tensor, k: Tensor, halves: Halves) -> Tensor:
    """pairs (..., chunks, rows, rows), zeros on and above the diagonal.

    x: (..., chunks, rows, width), several for one k: (chunks, rows, width).
    """
    pairs = x.new_zeros(*x.shape[:-1], x.shape[-2])
    for level in halves.levels:
        half = level.rows.shape[-2]
        rows = _split(x, half)[1] * level.rows
        columns = _split(k, half)[0] * level.columns
        _corners(pairs, half).copy_(rows @ columns.mT)
    return pairs


class PairGradients(NamedTuple):
    """Gradients of what made the pairs; `sums` of the exponents of each level."""

    x: Tensor
    k: Tensor
    sums: list[Level]


def pair_gradients(grad: Tensor, x: Tensor, k: Tensor, halves: Halves) -> PairGradients:
    """From the gradient of `pair_products(x, k, halves)`, of which it reads what lies below the
    diagonal. x has one axis more than k."""
    grad_x, grad_k, sums = torch.zeros_like(x), torch.zeros_like(k), []
    for level in halves.levels:
        half = level.rows.shape[-2]
        rows = _split(x, half)[1] * level.rows
        columns = _split(k, half)[0] * level.columns
        corners = _corners(grad, half)
        grad_rows = corners @ columns
        grad_columns = (corners.mT @ rows).sum(0)
        _split(grad_x, half)[1].addcmul_(grad_rows, level.rows)
        _split(grad_k, half)[0].addcmul_(grad_columns, level.columns)
        sums.append(Level((grad_rows * rows).sum(0), grad_columns * columns))
    return PairGradients(grad_x, grad_k, sums)


def decay_gradient(sums: list[Level], grad_in: Tensor, grad_out: Tensor) -> Tensor:
    """The gradient of the log decays (chunks, rows, width), by the way of `halve` backwards.

    grad_in and grad_out are those of G and of G_last - G.
    """
    arriving, leaving = grad_in, grad_out
    for rows, columns in reversed(sums):
        first_in, second_in = _split(arriving, rows.shape[-2])
        first_out, second_out = _split(leaving, rows.shape[-2])
        arriving = torch.stack([first_in, second_in + rows], dim=2)
        arriving[:, :, 0, -1] += second_in.sum(-2)
        arriving[:, :, 1, -1] += first_out.sum(-2)
        leaving = torch.stack([first_out + columns, second_out], dim=2)
        arriving, leaving = arriving.flatten(1, 3), leaving.flatten(1, 3)
    return arriving
