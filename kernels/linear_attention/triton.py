# pyright: reportArgumentType=false, reportCallIssue=false, reportIndexIssue=false
"""Linear attention in Triton: one pass over the states between chunks, one over the chunks.

Each pass is one of three kernels with its operands exchanged. With G = dY scaled by row, S the
states before each chunk and R the sums of C^T G over the later chunks:

    Y = causal(C B^T) V + C S        dC = causal(G V^T) B + G S^T
    dV = causal(C B^T)^T G + B R     dB = causal(G V^T)^T C + V R^T
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..triton_tools import dot, head_pointer, load_rows, operands, padded, store_rows

CHUNK = 64
PART = 64  # columns of a result, or rows and columns of a state, that one program makes


@triton.jit
def _row_scale(rows, position, scale):
    """scale / sqrt(number of visible positions)."""
    return tl.rsqrt((tl.maximum(rows, 0) + position + 1).to(tl.float32)) * scale


@triton.jit
def _state_kernel(
    x_pointer, z_pointer, initial_pointer, states_pointer, final_pointer,
    x_batch, x_head, x_row, z_batch, z_head, z_row,
    groups, repeats, chunks, length, x_width, z_width, position, scale,
    reverse: tl.constexpr, has_initial: tl.constexpr,
    chunk: tl.constexpr, part_x: tl.constexpr, part_z: tl.constexpr,
):  # fmt: skip
    """Sums of X^T Z before each chunk and of all; in reverse after each chunk, with the rows of Z
    scaled."""
    batch, group = tl.program_id(0) // groups, tl.program_id(0) % groups
    x_column = tl.program_id(1) * part_x + tl.arange(0, part_x)
    z_column = tl.program_id(2) * part_z + tl.arange(0, part_z)
    size = tl.cast(x_width, tl.int64) * z_width
    place = tl.cast(tl.program_id(0), tl.int64) * size
    state = tl.zeros((part_x, part_z), tl.float32)
    if has_initial:
        state += load_rows(initial_pointer + place, x_column, z_column, x_width, z_width, z_width)
    for number in range(chunks):
        at = chunks - 1 - number if reverse else number
        rows = at * chunk + tl.arange(0, chunk)
        kept = states_pointer + place * chunks + at * size
        store_rows(kept, x_column, z_column, x_width, z_width, z_width, state)
        for repeat in range(repeats):
            head = group * repeats + repeat
            x_base = head_pointer(x_pointer, batch, head, x_batch, x_head)
            z_base = head_pointer(z_pointer, batch, head, z_batch, z_head)
            x = load_rows(x_base, rows, x_column, length, x_width, x_row)
            z = load_rows(z_base, rows, z_column, length, z_width, z_row)
            if reverse:
                z = (z * _row_scale(rows, position, scale)[:, None]).to(x.dtype)
            state += dot(tl.trans(x), z)
    store_rows(final_pointer + place, x_column, z_column, x_width, z_width, z_width, state)


@triton.jit
def _output_kernel(
    x_pointer, y_pointer, z_pointer, states_pointer, result_pointer,
    x_batch, x_head, x_row, y_batch, y_head, y_row, z_batch, z_head, z_row, state_row, state_column,
    heads, groups, chunks, length, width, z_width, position, scale,
    chunk: tl.constexpr, block_width: tl.constexpr, part: tl.constexpr,
):  # fmt: skip
    """`causal(X Y^T) Z + X S`, rows scaled; X has `heads` heads, Y and Z `groups`."""
    batch, head = tl.program_id(0) // heads, tl.program_id(0) % heads
    group = head // (heads // groups)
    at = tl.program_id(1)
    rows = at * chunk + tl.arange(0, chunk)
    column, z_column = tl.arange(0, block_width), tl.program_id(2) * part + tl.arange(0, part)
    x_base = head_pointer(x_pointer, batch, head, x_batch, x_head)
    y_base = head_pointer(y_pointer, batch, group, y_batch, y_head)
    z_base = head_pointer(z_pointer, batch, group, z_batch, z_head)
    x = load_rows(x_base, rows, column, length, width, x_row)
    y = load_rows(y_base, rows, column, length, width, y_row)
    z = load_rows(z_base, rows, z_column, length, z_width, z_row)
    scores = dot(x, tl.trans(y))
    scores = tl.where(rows[:, None] >= rows[None, :], scores, 0.0)
    result = dot(scores.to(z.dtype), z)
    place = (tl.cast(batch * groups + group, tl.int64) * chunks + at) * width * z_width
    mask = (column < width)[:, None] & (z_column < z_width)[None, :]
    offsets = column[:, None] * state_row + z_column[None, :] * state_column
    state = tl.load(states_pointer + place + offsets, mask=mask, other=0.0)
    # The sum grows with the positions before the chunk; shrunk by their root, which is taken back
    # behind the product, it does not overflow float16.
    shrink = tl.rsqrt((at * chunk + position + 1).to(tl.float32))
    result += dot(x, (state * shrink).to(x.dtype)) / shrink
    result *= _row_scale(rows, position, scale)[:, None]
    place = tl.cast(tl.program_id(0), tl.int64) * length * z_width
    store_rows(result_pointer + place, rows, z_column, length, z_width, z_width, result)


@triton.jit
def _key_gradient_kernel(
    x_pointer, y_pointer, z_pointer, states_pointer, result_pointer,
    x_batch, x_head, x_row, y_batch, y_head, y_row, z_batch, z_head, z_row, state_row, state_column,
    heads, groups, chunks, length, width, z_width, position, scale,
    chunk: tl.constexpr, block_width: tl.constexpr, part: tl.constexpr,
):  # fmt: skip
    """`causal(X Y^T)^T Z + Y R` with the rows of X scaled, summed over a group's heads; Y has
    `groups` heads."""
    batch, group = tl.program_id(0) // groups, tl.program_id(0) % groups
    repeats = heads // groups
    at = tl.program_id(1)
    rows = at * chunk + tl.arange(0, chunk)
    column, z_column = tl.arange(0, block_width), tl.program_id(2) * part + tl.arange(0, part)
    y_base = head_pointer(y_pointer, batch, group, y_batch, y_head)
    y = load_rows(y_base, rows, column, length, width, y_row)
    place = (tl.cast(tl.program_id(0), tl.int64) * chunks + at) * width * z_width
    mask = (column < width)[:, None] & (z_column < z_width)[None, :]
    offsets = column[:, None] * state_row + z_column[None, :] * state_column
    state = tl.load(states_pointer + place + offsets, mask=mask, other=0.0)
    result = dot(y, state.to(y.dtype))
    row_scale = _row_scale(rows, position, scale)
    for head in range(group * repeats, (group + 1) * repeats):
        x_base = head_pointer(x_pointer, batch, head, x_batch, x_head)
        z_base = head_pointer(z_pointer, batch, head, z_batch, z_head)
        x = load_rows(x_base, rows, column, length, width, x_row)
        z = load_rows(z_base, rows, z_column, length, z_width, z_row)
        scores = dot(x, tl.trans(y)) * row_scale[:, None]
        scores = tl.where(rows[:, None] >= rows[None, :], scores, 0.0)
        result += dot(tl.trans(scores.to(z.dtype)), z)
    place = tl.cast(tl.program_id(0), tl.int64) * length * z_width
    store_rows(result_pointer + place, rows, z_column, length, z_width, z_width, result)


def _warps(x: Tensor) -> int:
    return 8 if x.dtype == torch.float32 else 4  # float32 products take more registers


def _states(
    x: Tensor,
    z: Tensor,
    groups: int,
    initial: Tensor | None,
    position: int,
    scale: float,
    reverse: bool,
) -> tuple[Tensor, Tensor]:
    """The sums around each chunk (batch, groups, chunks, ...) and of all."""
    batch, heads, length, x_width = x.shape
    z_width, chunks = z.shape[-1], triton.cdiv(length, CHUNK)
    states = torch.empty(
        batch, groups, chunks, x_width, z_width, dtype=torch.float32, device=x.device
    )
    final = torch.empty(batch, groups, x_width, z_width, dtype=torch.float32, device=x.device)
    part_x, part_z = min(PART, padded(x_width)), min(PART, padded(z_width))
    strides = (*x.stride()[:3], *z.stride()[:3])
    start = final if initial is None else initial.float().contiguous()
    sizes = (groups, heads // groups, chunks, length, x_width, z_width, position, scale)
    constants = {
        "reverse": reverse,
        "has_initial": initial is not None,
        "chunk": CHUNK,
        "num_warps": _warps(x),
    }
    grid = (batch * groups, triton.cdiv(x_width, part_x), triton.cdiv(z_width, part_z))
    arguments = (x, z, start, states, final, *strides, *sizes)
    _state_kernel[grid](*arguments, **constants, part_x=part_x, part_z=part_z)
    return states, final


def _chunks(
    kernel: Any,
    result: Tensor,
    x: Tensor,
    y: Tensor,
    z: Tensor,
    states: Tensor,
    sizes: tuple[int, int, int, float],
) -> Tensor:
    """Runs one of the kernels over the chunks; sizes: heads, groups, position, scale."""
    heads, groups, position, scale = sizes
    batch, count, length, z_width = result.shape
    chunks = triton.cdiv(length, CHUNK)
    part, block_width = min(PART, padded(z_width)), padded(x.shape[-1])
    strides = (*x.stride()[:3], *y.stride()[:3], *z.stride()[:3], *states.stride()[-2:])
    lengths = (heads, groups, chunks, length, x.shape[-1], z_width, position, scale)
    grid = (batch * count, chunks, triton.cdiv(z_width, part))
    constants = {
        "chunk": CHUNK,
        "block_width": block_width,
        "part": part,
        "num_warps": _warps(x),
        "num_stages": 2,
    }
    kernel[grid](x, y, z, states, result, *strides, *lengths, **constants)
    return result


def forward(
    c: Tensor, b: Tensor, v: Tensor, state: Tensor | None, position: int
) -> tuple[Tensor, Tensor]:
    """The output and the final state."""
    y = torch.empty(*c.shape[:3], v.shape[-1], dtype=v.dtype, device=v.device)
    c, b, v = operands(c, b, v)
    groups, scale = b.shape[1], c.shape[-1] ** -0.5
    states, final = _states(b, v, groups, state, position, scale, reverse=False)
    return _chunks(_output_kernel, y, c, b, v, states, (c.shape[1], groups, position, scale)), final


def backward(
    grad: Tensor,
    grad_final: Tensor,
    c: Tensor,
    b: Tensor,
    v: Tensor,
    state: Tensor | None,
    position: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of C, B, V and the initial state."""
    grad_c, grad_b, grad_v = (
        torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (c, b, v)
    )
    grad, c, b, v = operands(grad, c, b, v)
    groups, scale = b.shape[1], c.shape[-1] ** -0.5
    sizes = (c.shape[1], groups, position, scale)
    states, _ = _states(b, v, groups, state, position, scale, reverse=False)
    later, grad_state = _states(c, grad, groups, grad_final, position, scale, reverse=True)
    _chunks(_output_kernel, grad_c, grad, v, b, states.mT, sizes)
    _chunks(_key_gradient_kernel, grad_v, c, b, grad, later, sizes)
    _chunks(_key_gradient_kernel, grad_b, grad, v, c, later.mT, sizes)
    return grad_c, grad_b, grad_v, grad_state
