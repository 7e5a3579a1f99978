"""Attention by structured operators in PyTorch, tile by tile.

A tile of queries meets only the positions that it sees, so a causal band costs length x window. The
scores that exist at one time are those of one tile, in buffers small enough for the cache of a CPU;
backward computes them again.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ..dtypes import widest
from ..heads import mask, row_scale

NONLINEARITIES = ("none", "relu", "swish", "softmax")  # by the code that kernels are given

aten = torch.ops.aten
CPU_TILE, GPU_TILE = 64, 1024  # queries of a tile
# Scores that one buffer should hold, unless a single sequence needs more.
CPU_SCORES, GPU_SCORES = 1 << 20, 1 << 28


class Tile(NamedTuple):
    """Sequences first..last of the batch; their queries start..end, which see positions low..high,
    some not all."""

    first: int
    last: int
    start: int
    end: int
    low: int
    high: int


class _Operators:
    """The operands of one call, a group's heads folded together, and the tiles of its operators.

    C (batch, copies x groups, repeats, length, width), B (batch, copies x groups, total, width),
    V (batch, groups, total, value width), with two copies of a differential operator and else one.
    """

    def __init__(
        self,
        c: Tensor,
        b: Tensor,
        v: Tensor,
        weight: Tensor | None,
        nonlinearity: str,
        window: int | None,
    ) -> None:
        self.dtype = widest(c, b, v)
        self.batch, _, self.length, width = c.shape
        self.total, self.window, self.nonlinearity = b.shape[2], window, nonlinearity
        self.weight = None if weight is None else weight.to(self.dtype)
        self.groups, self.copies = v.shape[1], 1 if weight is None else 2
        self.repeats = c.shape[1] // b.shape[1]
        self.scale = width**-0.5
        self.c = self.folded(c) * self.scale
        self.b, self.v = b.to(self.dtype).contiguous(), v.to(self.dtype).contiguous()
        self.rows, self.sequences = self._tile_sizes()
        self._buffers: dict[str, Tensor] = {}

    def folded(self, x: Tensor) -> Tensor:
        """(batch, groups, repeats, length, ...) in the dtype of the computation."""
        return x.to(self.dtype).reshape(self.batch, -1, self.repeats, *x.shape[2:])

    def scaled(self, x: Tensor) -> Tensor:
        """Divided by the square root of the number of visible positions, unless the operator is
        normalised."""
        if self.nonlinearity == "softmax":
            return x
        return x * row_scale(self.length, self.total, self.window, self.dtype, x.device)

    def _tile_sizes(self) -> tuple[int, int]:
        """Queries and sequences of a tile."""
        on_cpu = self.c.device.type == "cpu"
        rows = min(self.length, CPU_TILE if on_cpu else GPU_TILE)
        columns = self.total if self.window is None else min(self.total, rows + self.window)
        scores = self.copies * self.groups * self.repeats * rows * columns
        return rows, max(1, min(self.batch, (CPU_SCORES if on_cpu else GPU_SCORES) // scores))

    def tiles(self) -> Iterator[Tile]:
        """All queries of all sequences."""
        offset = self.total - self.length
        for first in range(0, self.batch, self.sequences):
            for start in range(0, self.length, self.rows):
                end = min(start + self.rows, self.length)
                low = 0 if self.window is None else max(0, start + offset + 1 - self.window)
                yield Tile(
                    first, min(first + self.sequences, self.batch), start, end, low, end + offset
                )

    def queries(self, x: Tensor, tile: Tile) -> Tensor:
        """(sequences x groups, repeats x rows, width) of x, folded."""
        part = x[tile.first : tile.last, :, :, tile.start : tile.end]
        return part.reshape(-1, self.repeats * part.shape[3], x.shape[-1])

    def positions(self, x: Tensor, tile: Tile) -> Tensor:
        """A view (sequences x groups, positions, width) of B or V."""
        return x[tile.first : tile.last].flatten(0, 1)[:, tile.low : tile.high]

    def buffer(self, name: str, tile: Tile, copies: int) -> Tensor:
        """Uninitialised (sequences x copies x groups, repeats x rows, positions), one memory per
        name."""
        sequences = tile.last - tile.first
        shape = (
            sequences * copies * self.groups,
            self.repeats * (tile.end - tile.start),
            tile.high - tile.low,
        )
        count = shape[0] * shape[1] * shape[2]
        if name not in self._buffers or self._buffers[name].numel() < count:
            self._buffers[name] = self.c.new_empty(count)
        return self._buffers[name][:count].view(shape)

    def hide(self, scores: Tensor, tile: Tile, fill: float) -> None:
        """Multiply what a query does not see by 0, or add a fill of -inf to it."""
        rows = tile.end - tile.start
        # Without a window every row sees all columns but the last `rows`, which the diagonal cuts.
        columns = rows if self.window is None else tile.high - tile.low
        shown = mask(rows, columns, self.window, fill, self.dtype, scores.device)
        part = scores.view(scores.shape[0], self.repeats, rows, -1)[..., -columns:]
        _ = part.mul_(shown) if fill == 0 else part.add_(shown)

    def values(self, tile: Tile) -> tuple[Tensor, Tensor]:
        """The scores and s of them, unscaled, for every copy."""
        scores = self.buffer("scores", tile, self.copies)
        torch.bmm(
            self.queries(self.c, tile), self.positions(self.b, tile).transpose(1, 2), out=scores
        )
        softmax = self.nonlinearity == "softmax"
        self.hide(scores, tile, float("-inf") if softmax else 0.0)
        if softmax:
            return scores, torch.softmax(
                scores, dim=-1, out=self.buffer("values", tile, self.copies)
            )
        if self.nonlinearity == "relu":
            return scores, torch.relu_(scores)
        if self.nonlinearity == "swish":
            return scores, aten.silu.out(scores, out=self.buffer("values", tile, self.copies))
        return scores, scores

    def by_copy(self, x: Tensor) -> Tensor:
        """(sequences, copies, groups, ...) of a buffer."""
        return x.unflatten(0, (-1, self.copies, self.groups))

    def difference(self, values: Tensor, tile: Tile) -> Tensor:
        """T1 - weight T2 of a differential operator, T of a plain one."""
        if self.weight is None:
            return values
        first, second = self.by_copy(values).unbind(1)
        result = self.buffer("difference", tile, 1)
        shaped = result.view(first.shape)
        torch.sub(first, torch.mul(second, self.weight, out=shaped), out=shaped)
        return result

    def _score_gradient(self, grad: Tensor, scores: Tensor, values: Tensor, out: Tensor) -> None:
        if self.nonlinearity == "softmax" and out.is_contiguous():
            aten._softmax_backward_data.out(grad, values, -1, self.dtype, grad_input=out)
        elif self.nonlinearity == "softmax":
            # One of a pair, a view with gaps: the operator above ignores the strides of its output.
            along = torch.mul(grad, values, out=out).sum(dim=-1, keepdim=True)
            torch.sub(grad, along, out=out).mul_(values)
        elif self.nonlinearity == "relu":
            aten.threshold_backward.grad_input(grad, scores, 0, grad_input=out)
        elif self.nonlinearity == "swish":
            aten.silu_backward.grad_input(grad, scores, grad_input=out)
        elif out is not grad:
            out.copy_(grad)

    def score_gradients(
        self, grad: Tensor, scores: Tensor, values: Tensor, tile: Tile
    ) -> tuple[Tensor, Tensor | None]:
        """Gradients of the scores of every copy, and of the weight, from the gradient of the
        difference.

        Of a plain operator without softmax they take the place of the argument.
        """
        in_place = self.weight is None and self.nonlinearity != "softmax"
        result = grad if in_place else self.buffer("score gradients", tile, self.copies)
        grad_weight = None
        if self.weight is None:
            self._score_gradient(grad, scores, values, result)
        else:
            grad_weight = self._pair_gradients(grad, scores, values, result)
        if self.nonlinearity in ("swish", "none"):
            self.hide(result, tile, 0.0)
        return result, grad_weight

    def _pair_gradients(self, grad: Tensor, scores: Tensor, values: Tensor, out: Tensor) -> Tensor:
        """The gradient of the weight, and into `out` those of both operators' scores; overwrites
        `grad`."""
        assert self.weight is not None
        grad = grad.unflatten(0, (-1, self.groups))
        first, second = zip(
            *(self.by_copy(x).unbind(1) for x in (scores, values, out)), strict=True
        )
        self._score_gradient(grad, *first)
        grad_weight = -torch.mul(grad, second[1], out=second[2]).sum()
        self._score_gradient(grad.mul_(-self.weight), *second)
        return grad_weight


def forward(
    c: Tensor, b: Tensor, v: Tensor, weight: Tensor | None, nonlinearity: str, window: int | None
) -> Tensor:
    """`structured_attention`, or `differential_attention` where there is a weight."""
    operators = _Operators(c, b, v, weight, nonlinearity, window)
    y = operators.c.new_empty(*v.shape[:2], operators.repeats, c.shape[2], v.shape[-1])
    for tile in operators.tiles():
        _, values = operators.values(tile)
        part = torch.bmm(operators.difference(values, tile), operators.positions(operators.v, tile))
        into = y[tile.first : tile.last, :, :, tile.start : tile.end]
        into.copy_(part.view(into.shape))
    return operators.scaled(y).flatten(1, 2).to(v.dtype)


def backward(
    grad: Tensor,
    c: Tensor,
    b: Tensor,
    v: Tensor,
    weight: Tensor | None,
    nonlinearity: str,
    window: int | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of C, B, V and the weight, an empty one for no weight."""
    operators = _Operators(c, b, v, weight, nonlinearity, window)
    grad = operators.scaled(operators.folded(grad))
    grad_c = torch.empty_like(operators.c)
    grad_b, grad_v = torch.zeros_like(operators.b), torch.zeros_like(operators.v)
    grad_weight = grad.new_zeros(() if weight is not None else 0)
    for tile in operators.tiles():
        scores, values = operators.values(tile)
        some_grad, some_v = operators.queries(grad, tile), operators.positions(operators.v, tile)
        difference = operators.difference(values, tile)
        operators.positions(grad_v, tile).add_(torch.bmm(difference.transpose(1, 2), some_grad))
        # Nobody reads the difference any more, so its buffer is free, unless it is that of the
        # values, which the gradients of ReLU and softmax read.
        spare = weight is not None or nonlinearity in ("none", "swish")
        grad_values = difference if spare else operators.buffer("value gradients", tile, 1)
        torch.bmm(some_grad, some_v.transpose(1, 2), out=grad_values)
        grad_scores, part = operators.score_gradients(grad_values, scores, values, tile)
        if part is not None:
            grad_weight += part
        into = grad_c[tile.first : tile.last, :, :, tile.start : tile.end]
        into.copy_(torch.bmm(grad_scores, operators.positions(operators.b, tile)).view(into.shape))
        some_c = operators.queries(operators.c, tile)
        operators.positions(grad_b, tile).add_(torch.bmm(grad_scores.transpose(1, 2), some_c))
    grad_c = (grad_c * operators.scale).reshape(c.shape).to(c.dtype)
    return (
        grad_c,
        grad_b.to(b.dtype),
        grad_v.to(v.dtype),
        grad_weight.to(v.dtype if weight is None else weight.dtype),
    )
