# pyright: reportArgumentType=false, reportCallIssue=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false
"""Short convolutions in Triton: one kernel forward and one backward serve the gated and the plain
form.

A tile is `rows` positions of `columns` channels. Its window, (lags, rows, columns), is loaded once
for every tap; all but the first of these loads hit the L1 cache, so device memory is read once plus
a halo of taps - 1 rows. Backward computes what it needs of the convolution again. Each backward
program adds up the gradients of kernel and bias over its own tiles in float32 and writes them
apart; PyTorch adds those, so results do not depend on the order of programs.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

# 4 warps hold a tile of 1,024 elements at 8 a thread: 16 bytes of bfloat16, the widest load. Tiles
# are halved from 5 taps on, whose window is twice as large, and to go back through the swish: ptxas
# for sm_90 then needs 86 to 168 registers up to 4 taps without spills (with a tail 207), 128 for
# the swish, and at most 216 up to 8 taps.
TILE, MAX_COLUMNS, WARPS = 1024, 128, 4
# Backward programs go over several tiles as long as this many remain: 15 on each SM of an H200.
PROGRAMS = 2048
MAX_TILES = 16

OptionalTensor = Tensor | None


@triton.jit
def _window(
    x_pointer, b_pointer, tail_pointer, batch, start, length, width, row, lag, column,
    taps: tl.constexpr, gated: tl.constexpr, has_tail: tl.constexpr,
):  # fmt: skip
    """Inputs of the convolution `lag` positions before `start + row`; zeros where there are
    none."""
    position = start + row - lag
    inside = (lag < taps) & (column < width)
    mask = inside & (position >= 0) & (position < length)
    offset = (batch * length + start) * width + ((row - lag) * width + column)
    x = tl.load(x_pointer + offset, mask=mask, other=0.0).to(tl.float32)
    if gated:
        x *= tl.load(b_pointer + offset, mask=mask, other=0.0).to(tl.float32)
    if has_tail:
        before = batch * (taps - 1) * width + ((taps - 1 + position) * width + column)
        x += tl.load(tail_pointer + before, mask=inside & (position < 0), other=0.0).to(tl.float32)
    return x


@triton.jit
def _place(length, width, tiles, rows: tl.constexpr, columns: tl.constexpr):
    """Batch entry, first position, and the tile's rows (rows, 1) and channels (1, columns) of this
    program."""
    program, spans = tl.program_id(0).to(tl.int64), tl.cdiv(length, rows * tiles)
    row = tl.arange(0, rows)[:, None]
    column = tl.program_id(1) * columns + tl.arange(0, columns)[None, :]
    return program // spans, (program % spans) * (rows * tiles), row, column


@triton.jit
def _forward_kernel(
    x_pointer, b_pointer, c_pointer, kernel_pointer, bias_pointer, tail_pointer, y_pointer, length,
    width,
    taps: tl.constexpr, lags: tl.constexpr, rows: tl.constexpr, columns: tl.constexpr,
    gated: tl.constexpr, has_bias: tl.constexpr, swish: tl.constexpr, has_tail: tl.constexpr,
):  # fmt: skip
    batch, start, row, column = _place(length, width, 1, rows, columns)
    lag = tl.arange(0, lags)[:, None, None]
    tap_mask = (lag < taps) & (column[None] < width)
    kernel = tl.load(
        kernel_pointer + column[None] * taps + (taps - 1 - lag), mask=tap_mask, other=0.0
    ).to(tl.float32)
    x = _window(
        x_pointer, b_pointer, tail_pointer, batch, start, length, width, row[None], lag,
        column[None],
        taps, gated, has_tail,
    )  # fmt: skip
    y = tl.sum(x * kernel, axis=0)
    if has_bias:
        y += tl.load(bias_pointer + column, mask=column < width, other=0.0).to(tl.float32)
    if swish:
        y *= tl.sigmoid(y)
    offset = (batch * length + start) * width + (row * width + column)
    mask = (start + row < length) & (column < width)
    if gated:
        y *= tl.load(c_pointer + offset, mask=mask, other=0.0).to(tl.float32)
    tl.store(y_pointer + offset, y.to(y_pointer.dtype.element_ty), mask=mask)


@triton.jit
def _backward_kernel(
    grad_pointer, x_pointer, b_pointer, c_pointer, kernel_pointer, bias_pointer, tail_pointer,
    grad_x_pointer, grad_b_pointer, grad_c_pointer, grad_kernel_pointer, grad_bias_pointer, length,
    width, tiles,
    taps: tl.constexpr, lags: tl.constexpr, rows: tl.constexpr, columns: tl.constexpr,
    gated: tl.constexpr, has_bias: tl.constexpr, swish: tl.constexpr, has_tail: tl.constexpr,
):  # fmt: skip
    batch, first, row, column = _place(length, width, tiles, rows, columns)
    lag = tl.arange(0, lags)[:, None, None]
    tap_mask = (lag < taps) & (column[None] < width)
    tap_offset = column[None] * taps + (taps - 1 - lag)
    kernel = tl.load(kernel_pointer + tap_offset, mask=tap_mask, other=0.0).to(tl.float32)
    bias = tl.zeros((1, columns), tl.float32)
    if has_bias:
        bias += tl.load(bias_pointer + column, mask=column < width, other=0.0).to(tl.float32)
    grad_kernel = tl.zeros((lags, rows, columns), tl.float32)
    grad_bias = tl.zeros((rows, columns), tl.float32)
    for tile in range(tiles):
        start = first + tile * rows
        origin = (batch * length + start) * width
        window = _window(
            x_pointer, b_pointer, tail_pointer, batch, start, length, width, row[None], lag,
            column[None],
            taps, gated, has_tail,
        )  # fmt: skip
        offset = origin + (row * width + column)
        mask = (start + row < length) & (column < width)
        grad_x = tl.zeros((rows, columns), tl.float32)
        # What x gets from the output `ahead` positions later, whose gradient before the gate or the
        # swish is `inner`.
        for ahead in tl.static_range(taps):
            later = offset + ahead * width
            later_mask = (start + row + ahead < length) & (column < width)
            inner = tl.load(grad_pointer + later, mask=later_mask, other=0.0).to(tl.float32)
            if gated:
                if ahead == 0:
                    grad_c = inner * tl.sum(window * kernel, axis=0)
                    tl.store(
                        grad_c_pointer + offset,
                        grad_c.to(grad_c_pointer.dtype.element_ty),
                        mask=mask,
                    )
                inner *= tl.load(c_pointer + later, mask=later_mask, other=0.0).to(tl.float32)
            if swish:  # tap by tap, since whole windows would not fit in registers
                before = tl.zeros((rows, columns), tl.float32)
                for back in tl.static_range(taps):
                    tap = tl.load(
                        kernel_pointer + column * taps + (taps - 1 - back),
                        mask=column < width,
                        other=0.0,
                    )
                    before += tap.to(tl.float32) * _window(
                        x_pointer, b_pointer, tail_pointer, batch, start, length, width,
                        row + ahead, back, column,
                        taps, gated, has_tail,
                    )  # fmt: skip
                before += bias
                sigmoid = tl.sigmoid(before)
                inner *= sigmoid * (1 + before * (1 - sigmoid))
            if ahead == 0:
                grad_kernel += inner[None] * window
                grad_bias += inner
            tap = tl.load(
                kernel_pointer + column * taps + (taps - 1 - ahead), mask=column < width, other=0.0
            )
            grad_x += inner * tap.to(tl.float32)
        if gated:
            b = tl.load(b_pointer + offset, mask=mask, other=0.0).to(tl.float32)
            v = tl.load(x_pointer + offset, mask=mask, other=0.0).to(tl.float32)
            tl.store(
                grad_b_pointer + offset, (grad_x * v).to(grad_b_pointer.dtype.element_ty), mask=mask
            )
            grad_x *= b
        tl.store(grad_x_pointer + offset, grad_x.to(grad_x_pointer.dtype.element_ty), mask=mask)
    mine = tl.program_id(0).to(tl.int64) * width
    total = tl.sum(grad_kernel, axis=1)[:, None, :]
    tl.store(grad_kernel_pointer + mine * taps + tap_offset, total, mask=tap_mask)
    if has_bias:
        total_bias = tl.sum(grad_bias, axis=0)[None, :]
        tl.store(grad_bias_pointer + mine + column, total_bias, mask=column < width)


def _blocks(width: int, taps: int, tile: int) -> dict[str, int]:
    """Sizes of a tile of so many elements, halved from 5 taps on."""
    columns = min(MAX_COLUMNS, triton.next_power_of_2(width))
    rows = min(128, (tile if taps <= 4 else tile // 2) // columns)
    return {
        "taps": taps,
        "lags": triton.next_power_of_2(taps),
        "rows": rows,
        "columns": columns,
        "num_warps": WARPS,
    }


def _forward(
    x: Tensor,
    b: OptionalTensor,
    c: OptionalTensor,
    kernel: Tensor,
    bias: OptionalTensor,
    swish: bool,
    tail: OptionalTensor,
) -> Tensor:
    batch, length, width = x.shape
    x, kernel = x.contiguous(), kernel.contiguous()
    b, c, bias, tail = _contiguous(b, c, bias, tail)
    y = torch.empty_like(x)
    blocks = _blocks(width, kernel.shape[1], TILE)
    grid = (batch * triton.cdiv(length, blocks["rows"]), triton.cdiv(width, blocks["columns"]))
    flags = {
        "gated": b is not None,
        "has_bias": bias is not None,
        "swish": swish,
        "has_tail": tail is not None,
    }
    _forward_kernel[grid](x, b, c, kernel, bias, tail, y, length, width, **blocks, **flags)
    return y


def _backward(
    grad: Tensor,
    x: Tensor,
    b: OptionalTensor,
    c: OptionalTensor,
    kernel: Tensor,
    bias: OptionalTensor,
    swish: bool,
    tail: OptionalTensor,
) -> tuple[Tensor, OptionalTensor, OptionalTensor, Tensor, OptionalTensor]:
    """Gradients of x, b, c, kernel and bias."""
    batch, length, width = x.shape
    grad, x, kernel = grad.contiguous(), x.contiguous(), kernel.contiguous()
    b, c, bias, tail = _contiguous(b, c, bias, tail)
    blocks = _blocks(width, kernel.shape[1], TILE // 2 if swish else TILE)
    rows, across = blocks["rows"], triton.cdiv(width, blocks["columns"])
    tiles = min(MAX_TILES, max(1, batch * triton.cdiv(length, rows) * across // PROGRAMS))
    grid = (batch * triton.cdiv(length, rows * tiles), across)
    grad_x = torch.empty_like(x)
    grad_b, grad_c = (None if tensor is None else torch.empty_like(tensor) for tensor in (b, c))
    grad_kernel = x.new_empty(grid[0], *kernel.shape, dtype=torch.float32)
    grad_bias = None if bias is None else x.new_empty(grid[0], width, dtype=torch.float32)
    flags = {
        "gated": b is not None,
        "has_bias": bias is not None,
        "swish": swish,
        "has_tail": tail is not None,
    }
    _backward_kernel[grid](
        grad, x, b, c, kernel, bias, tail, grad_x, grad_b, grad_c, grad_kernel, grad_bias, length,
        width, tiles,
        **blocks, **flags,
    )  # fmt: skip
    total_bias = None if grad_bias is None or bias is None else grad_bias.sum(0).to(bias.dtype)
    return grad_x, grad_b, grad_c, grad_kernel.sum(0).to(kernel.dtype), total_bias


def _contiguous(*tensors: OptionalTensor) -> list[OptionalTensor]:
    return [None if tensor is None else tensor.contiguous() for tensor in tensors]


def gated_forward(b: Tensor, v: Tensor, c: Tensor, kernel: Tensor, tail: OptionalTensor) -> Tensor:
    """`gated_short_conv` for tensors that Triton can reach."""
    return _forward(v, b, c, kernel, None, False, tail)


def gated_backward(
    grad: Tensor, b: Tensor, v: Tensor, c: Tensor, kernel: Tensor, tail: OptionalTensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of b, v, c and kernel."""
    grad_v, grad_b, grad_c, grad_kernel, _ = _backward(grad, v, b, c, kernel, None, False, tail)
    assert grad_b is not None and grad_c is not None
    return grad_b, grad_v, grad_c, grad_kernel


def plain_forward(
    x: Tensor, kernel: Tensor, bias: OptionalTensor, swish: bool, tail: OptionalTensor
) -> Tensor:
    """`short_conv` for tensors that Triton can reach."""
    return _forward(x, None, None, kernel, bias, swish, tail)


def plain_backward(
    grad: Tensor, x: Tensor, kernel: Tensor, bias: OptionalTensor, swish: bool, tail: OptionalTensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, kernel and bias (empty without one)."""
    grad_x, _, _, grad_kernel, grad_bias = _backward(grad, x, None, None, kernel, bias, swish, tail)
    return grad_x, grad_kernel, x.new_empty(0) if grad_bias is None else grad_bias
