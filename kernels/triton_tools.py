# pyright: reportArgumentType=false, reportCallIssue=false
"""What Triton kernels share: products, rounding, rows in and out, the decays of a chunk, and
operands as kernels want them.

Notation of decays as in chunks.py.
"""

import os

import torch
import triton
import triton.language as tl
from torch import Tensor

from . import chunks
from .dtypes import common

# Triton's interpreter multiplies the bits of bfloat16 matrices as integers, and truncates to
# bfloat16.
INTERPRETED = tl.constexpr(os.environ.get("TRITON_INTERPRET") == "1")
# Blocks on the diagonal of a system that are inverted row by row; larger ones by products.
DIAGONAL = tl.constexpr(16)
LOWEST_DECAY = tl.constexpr(chunks.LOWEST_DECAY)
SCAN_BLOCK = 32  # value columns of one program of a scan: few, so that there are enough programs
LOCAL_BLOCK = 32  # value columns at a time inside a chunk


@triton.jit
def dot(a, b):
    """Matrix product accumulated in float32. That of float32 is the sum of three in TF32, which
    loses about two bits of float32 and runs on tensor cores; exact ones of these sizes would not
    fit into registers."""
    if INTERPRETED:
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, input_precision="tf32x3")


@triton.jit
def rounded(x, kind: tl.constexpr):
    """x in another dtype, to the nearest."""
    if INTERPRETED and kind == tl.bfloat16:
        bits = x.to(tl.float32).to(tl.int32, bitcast=True)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & -0x10000
        x = bits.to(tl.float32, bitcast=True)
    return x.to(kind)


@triton.jit
def load_rows(pointer, rows, columns, length, width, stride):
    """A block of (length, width) whose rows lie `stride` elements apart, zeros outside."""
    mask = ((rows >= 0) & (rows < length))[:, None] & (columns < width)[None, :]
    offsets = rows.to(tl.int64)[:, None] * stride + columns[None, :]
    return tl.load(pointer + offsets, mask=mask, other=0.0)


@triton.jit
def store_rows(pointer, rows, columns, length, width, stride, values):
    """Write a block of (length, width), rounded to the dtype of the pointer."""
    mask = ((rows >= 0) & (rows < length))[:, None] & (columns < width)[None, :]
    offsets = rows.to(tl.int64)[:, None] * stride + columns[None, :]
    tl.store(pointer + offsets, rounded(values, pointer.dtype.element_ty), mask=mask)


@triton.jit
def head_pointer(pointer, batch, head, batch_stride, head_stride):
    """The first element of one head of an operand."""
    return pointer + tl.cast(batch, tl.int64) * batch_stride + tl.cast(head, tl.int64) * head_stride


@triton.jit
def load_decays(pointer, rows, length):
    """G at the rows of one chunk, and G at its end."""
    decay = tl.load(pointer + rows, mask=rows < length, other=0.0).to(tl.float32)
    decay = tl.maximum(decay, LOWEST_DECAY)
    return tl.cumsum(decay, 0), tl.sum(decay, 0)


@triton.jit
def pair_decays(sums, size: tl.constexpr):
    """D: exp(G_i - G_j) on and below the diagonal, 0 above."""
    lower = tl.arange(0, size)[:, None] >= tl.arange(0, size)[None, :]
    return tl.exp(tl.where(lower, sums[:, None] - sums[None, :], float("-inf")))


@triton.jit
def sums_from_end(x, size: tl.constexpr):
    """The sum of each element of a chunk and all later ones."""
    later = tl.arange(0, size)[:, None] <= tl.arange(0, size)[None, :]
    return tl.sum(tl.where(later, x[None, :], 0.0), 1)


@triton.jit
def inverse_of_unit_lower(system, kind: tl.constexpr, size: tl.constexpr):
    """Of I + A for A strictly lower triangular. Rows of all diagonal blocks at once, then
    neighbours merged: the inverse of [[P, 0], [R, Q]] is that of its diagonal blocks, T, less T
    [[0, 0], [R, 0]] T."""
    rows, columns = tl.arange(0, size)[:, None], tl.arange(0, size)[None, :]
    same = rows // DIAGONAL == columns // DIAGONAL
    diagonal = tl.where(same, system, 0.0)
    inverse = tl.where(rows == columns, 1.0, 0.0)
    for number in range(1, DIAGONAL):
        # The blocks share no column, so that row `number` of each fits into one row.
        row = tl.sum(tl.where(rows % DIAGONAL == number, diagonal, 0.0), 0)
        solved = tl.sum(row[:, None] * inverse, 0)
        inverse -= tl.where(same & (rows % DIAGONAL == number), solved[None, :], 0.0)
    if size > DIAGONAL:
        inverse = _merge_diagonal_blocks(inverse, system, kind, DIAGONAL, size)
    if size > 2 * DIAGONAL:
        inverse = _merge_diagonal_blocks(inverse, system, kind, 2 * DIAGONAL, size)
    return inverse


@triton.jit
def _merge_diagonal_blocks(
    inverse, system, kind: tl.constexpr, block: tl.constexpr, size: tl.constexpr
):
    rows, columns = tl.arange(0, size)[:, None], tl.arange(0, size)[None, :]
    between = (rows // block != columns // block) & (rows // (2 * block) == columns // (2 * block))
    inner = dot(rounded(tl.where(between, system, 0.0), kind), rounded(inverse, kind))
    return inverse - dot(rounded(inverse, kind), rounded(inner, kind))


def operands(*tensors: Tensor) -> list[Tensor]:
    """The tensors in their common dtype with a stride of 1 along the last axis."""
    return [x if x.stride(-1) == 1 else x.contiguous() for x in common(*tensors)]


def padded(width: int) -> int:
    """The power of two that a tile of this width takes, at least what a product of tiles needs."""
    return max(16, triton.next_power_of_2(width))


def chunk_size(length: int) -> int:
    """Positions in a chunk: 64 make few states; matrix products need 16 at least."""
    return min(64, padded(length))


def chunk_blocks(keys: Tensor, values: Tensor, scan: bool) -> dict[str, int]:
    """Block sizes and launch options of kernels that go chunk by chunk.

    keys and values (batch, heads, length, width) are what a state is made of; scan: the kernel goes
    over the chunks, and does not stay inside one.
    """
    key = padded(keys.shape[-1])
    return {
        "size": chunk_size(keys.shape[2]),
        "key_block": key,
        "value_block": min(SCAN_BLOCK if scan else LOCAL_BLOCK, padded(values.shape[-1])),
        "num_warps": 8 if key > 32 else 4,  # what fits into registers
        # Prefetching float32 blocks would not fit into shared memory at key width 128.
        "num_stages": 1 if values.dtype == torch.float32 else 2,
    }
