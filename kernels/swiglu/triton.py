# pyright: reportArgumentType=false, reportCallIssue=false, reportIndexIssue=false
"""SwiGLU's gate in Triton: one pass over memory forward, one backward.

Tensors are rows of elements that lie side by side, the rows of each at their own distance, so
halves of one wider tensor need no copies. Where all are contiguous they make one long row.
"""

import triton
import triton.language as tl
from torch import Tensor

TILE = 1024  # 8 elements a thread: 16 bytes of bfloat16, the widest load


@triton.jit
def _place(count, width, rows: tl.constexpr, columns: tl.constexpr):
    """Row (rows, 1) and column (1, columns) of each element of this program's tile, and which
    exist."""
    program, across = tl.program_id(0).to(tl.int64), tl.cdiv(width, columns)
    row = program // across * rows + tl.arange(0, rows)[:, None]
    column = program % across * columns + tl.arange(0, columns)[None, :]
    return row, column, (row < count) & (column < width)


@triton.jit
def _forward_kernel(
    c_pointer,
    v_pointer,
    y_pointer,
    count,
    width,
    c_stride,
    v_stride,
    rows: tl.constexpr,
    columns: tl.constexpr,
):
    row, column, mask = _place(count, width, rows, columns)
    c = tl.load(c_pointer + row * c_stride + column, mask=mask, other=0.0).to(tl.float32)
    v = tl.load(v_pointer + row * v_stride + column, mask=mask, other=0.0).to(tl.float32)
    y = (c * tl.sigmoid(c) * v).to(y_pointer.dtype.element_ty)
    tl.store(y_pointer + row * width + column, y, mask=mask)


@triton.jit
def _backward_kernel(
    grad_pointer, c_pointer, v_pointer, grad_c_pointer, grad_v_pointer, count, width, grad_stride,
    c_stride, v_stride,
    rows: tl.constexpr, columns: tl.constexpr,
):  # fmt: skip
    row, column, mask = _place(count, width, rows, columns)
    grad = tl.load(grad_pointer + row * grad_stride + column, mask=mask, other=0.0).to(tl.float32)
    c = tl.load(c_pointer + row * c_stride + column, mask=mask, other=0.0).to(tl.float32)
    v = tl.load(v_pointer + row * v_stride + column, mask=mask, other=0.0).to(tl.float32)
    sigmoid = tl.sigmoid(c)
    gate = c * sigmoid
    grad_c = grad * v * (sigmoid + gate - gate * sigmoid)
    offset = row * width + column
    tl.store(grad_c_pointer + offset, grad_c.to(grad_c_pointer.dtype.element_ty), mask=mask)
    tl.store(grad_v_pointer + offset, (grad * gate).to(grad_v_pointer.dtype.element_ty), mask=mask)


def _as_rows(*tensors: Tensor) -> list[Tensor]:
    """The tensors as (count, width) with elements of a row side by side, copied only where no view
    does."""
    if all(tensor.is_contiguous() for tensor in tensors):
        return [tensor.view(1, -1) for tensor in tensors]
    width = tensors[0].shape[-1] if tensors[0].dim() else 1
    rows = [tensor.reshape(-1, width) for tensor in tensors]
    return [
        row if row.stride(1) == 1 and row.stride(0) >= width else row.contiguous() for row in rows
    ]


def _blocks(count: int, width: int) -> tuple[tuple[int], dict[str, int]]:
    """The grid and the sizes of a tile."""
    columns = min(TILE, triton.next_power_of_2(width))
    rows = 1 if count == 1 else TILE // columns
    return (triton.cdiv(count, rows) * triton.cdiv(width, columns),), {
        "rows": rows,
        "columns": columns,
    }


def forward(c: Tensor, v: Tensor) -> Tensor:
    """`swiglu` for tensors that Triton can reach."""
    y = v.new_empty(v.shape)
    c, v = _as_rows(c, v)
    grid, blocks = _blocks(*v.shape)
    _forward_kernel[grid](c, v, y, *v.shape, c.stride(0), v.stride(0), **blocks)
    return y


def backward(grad: Tensor, c: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of c and v."""
    grad_c, grad_v = c.new_empty(c.shape), v.new_empty(v.shape)
    grad, c, v = _as_rows(grad, c, v)
    grid, blocks = _blocks(*v.shape)
    strides = (tensor.stride(0) for tensor in (grad, c, v))
    _backward_kernel[grid](grad, c, v, grad_c, grad_v, *v.shape, *strides, **blocks)
    return grad_c, grad_v
