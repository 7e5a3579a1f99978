"""What the Triton kernels of structured attention share: rows in and out, products, operands as
kernels want them."""

import os

import torch
import triton
import triton.language as tl

# The interpreter keeps bfloat16 as integers and would multiply those.
INTERPRETED = tl.constexpr(os.environ.get("TRITON_INTERPRET") == "1")


@triton.jit
def base(pointer, batch, head, batch_stride, head_stride):
    """The first element of one head of an operand."""
    return pointer + tl.cast(batch, tl.int64) * batch_stride + tl.cast(head, tl.int64) * head_stride


@triton.jit
def load_rows(pointer, rows, columns, length, width, row_stride):
    """Rows x columns of one head, zeros beyond its length and width."""
    mask = ((rows >= 0) & (rows < length))[:, None] & (columns < width)[None, :]
    return tl.load(
        pointer + rows.to(tl.int64)[:, None] * row_stride + columns[None, :], mask=mask, other=0.0
    )


@triton.jit
def store_rows(pointer, values, rows, columns, length, width):
    """Rows x columns of one contiguous head, within its length and width."""
    mask = ((rows >= 0) & (rows < length))[:, None] & (columns < width)[None, :]
    offsets = rows.to(tl.int64)[:, None] * width + columns[None, :]
    tl.store(pointer + offsets, values.to(pointer.dtype.element_ty), mask=mask)


@triton.jit
def multiply(x, y):
    """The product of two tiles, summed in float32.

    Float32 operands go to the tensor cores in two parts of TF32 each, which loses about 2^-21; as
    scalar products their tiles would not fit in the registers.
    """
    if INTERPRETED:
        x, y = x.to(tl.float32), y.to(tl.float32)
    return tl.dot(x, y, input_precision="tf32x3")


def operands(*tensors: torch.Tensor) -> list[torch.Tensor]:
    """The tensors in their common dtype with a stride of 1 along the last axis."""
    dtype = tensors[0].dtype
    for tensor in tensors[1:]:
        dtype = torch.promote_types(dtype, tensor.dtype)
    converted = (tensor.to(dtype) for tensor in tensors)
    return [tensor if tensor.stride(-1) == 1 else tensor.contiguous() for tensor in converted]


def padded(width: int) -> int:
    """The power of two that a tile of this width takes, at least what a product of tiles needs."""
    return max(16, triton.next_power_of_2(width))
