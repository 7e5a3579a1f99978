# pyright: reportArgumentType=false, reportCallIssue=false, reportIndexIssue=false
"""SSD in Triton: the scan over the chunks' states, the outputs, and their gradients. Notation of
cpu.py.

Matrix products take operands in the inputs' dtype and accumulate in float32; states are carried in
float32. Buffers are (sequences, length, width), rows beyond the length read as 0, where a decay and
a value of 0 change nothing. A sequence is a head of a batch entry, and the group of sequence i is
i // repeats.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..triton_tools import (
    chunk_blocks,
    dot,
    load_decays,
    load_rows,
    pair_decays,
    rounded,
    store_rows,
    sums_from_end,
)
from ..triton_tools import chunk_size as rows_of

WIDEST = 128  # states that fit into the fast memory


@triton.jit
def _states_kernel(
    x_pointer, z_pointer, decay_pointer, first_pointer, states_pointer, last_pointer,
    repeats, chunks, length, key, value, has_first: tl.constexpr, reverse: tl.constexpr,
    size: tl.constexpr, key_block: tl.constexpr, value_block: tl.constexpr,
):  # fmt: skip
    """States before each chunk, from x = b and z = v. In reverse the gradients of those after each
    chunk, from x = c and z = the gradient of y."""
    sequence = tl.program_id(1).to(tl.int64)
    kind = x_pointer.dtype.element_ty
    keys = tl.arange(0, key_block)
    columns = tl.program_id(0) * value_block + tl.arange(0, value_block)
    x_pointer += sequence // repeats * length * key
    z_pointer += sequence * length * value
    state = tl.zeros((key_block, value_block), tl.float32)
    if has_first:
        first = first_pointer + sequence * key * value
        state += load_rows(first, keys, columns, key, value, value).to(tl.float32)
    for number in range(chunks):
        chunk = chunks - 1 - number if reverse else number
        place = states_pointer + (sequence * chunks + chunk) * key * value
        store_rows(place, keys, columns, key, value, value, state)
        rows = chunk * size + tl.arange(0, size)
        sums, whole = load_decays(decay_pointer + sequence * length, rows, length)
        x = load_rows(x_pointer, rows, keys, length, key, key)
        x = rounded(x * tl.exp(sums if reverse else whole - sums)[:, None], kind)
        z = load_rows(z_pointer, rows, columns, length, value, value)
        state = state * tl.exp(whole) + dot(tl.trans(x), z)
    store_rows(last_pointer + sequence * key * value, keys, columns, key, value, value, state)


@triton.jit
def _output_kernel(
    c_pointer, b_pointer, v_pointer, decay_pointer, start_pointer, y_pointer,
    repeats, chunks, length, key, value,
    size: tl.constexpr, key_block: tl.constexpr, value_block: tl.constexpr,
):  # fmt: skip
    sequence = tl.program_id(1).to(tl.int64)
    kind = c_pointer.dtype.element_ty
    rows = tl.program_id(0) * size + tl.arange(0, size)
    keys = tl.arange(0, key_block)
    group = sequence // repeats * length * key
    c = load_rows(c_pointer + group, rows, keys, length, key, key)
    b = load_rows(b_pointer + group, rows, keys, length, key, key)
    sums, _ = load_decays(decay_pointer + sequence * length, rows, length)
    scores = rounded(dot(c, tl.trans(b)) * pair_decays(sums, size), kind)
    start_pointer += (sequence * chunks + tl.program_id(0)) * key * value
    offset = sequence * length * value
    for first in range(0, value, value_block):
        columns = first + tl.arange(0, value_block)
        start = load_rows(start_pointer, keys, columns, key, value, value)
        v = load_rows(v_pointer + offset, rows, columns, length, value, value)
        y = dot(c, start) * tl.exp(sums)[:, None] + dot(scores, v)
        store_rows(y_pointer + offset, rows, columns, length, value, value, y)


@triton.jit
def _value_gradient_kernel(
    grad_pointer, c_pointer, b_pointer, v_pointer, decay_pointer, start_pointer, grad_end_pointer,
    grad_v_pointer, grad_decay_pointer, grad_scores_pointer,
    repeats, chunks, length, key, value,
    size: tl.constexpr, key_block: tl.constexpr, value_block: tl.constexpr,
):  # fmt: skip
    """Gradients of v, of the decays, and of the pairs of positions before their decay."""
    sequence = tl.program_id(1).to(tl.int64)
    kind = c_pointer.dtype.element_ty
    index = tl.arange(0, size)
    rows = tl.program_id(0) * size + index
    keys = tl.arange(0, key_block)
    group = sequence // repeats * length * key
    c = load_rows(c_pointer + group, rows, keys, length, key, key)
    b = load_rows(b_pointer + group, rows, keys, length, key, key)
    sums, whole = load_decays(decay_pointer + sequence * length, rows, length)
    products, decays = dot(c, tl.trans(b)), pair_decays(sums, size)
    scores = tl.trans(rounded(products * decays, kind))
    states = (sequence * chunks + tl.program_id(0)) * key * value
    offset = sequence * length * value
    grad_scores = tl.zeros((size, size), tl.float32)
    from_start = tl.zeros((size,), tl.float32)  # what the gradient of y and the start state give
    to_end = tl.zeros((size,), tl.float32)  # what v and the gradient of the end state give
    kept = tl.zeros((key_block,), tl.float32)  # what both states give
    for first in range(0, value, value_block):
        columns = first + tl.arange(0, value_block)
        grad = load_rows(grad_pointer + offset, rows, columns, length, value, value)
        v = load_rows(v_pointer + offset, rows, columns, length, value, value)
        start = load_rows(start_pointer + states, keys, columns, key, value, value)
        grad_end = load_rows(grad_end_pointer + states, keys, columns, key, value, value)
        written = dot(b, grad_end) * tl.exp(whole - sums)[:, None]
        grad_v = dot(scores, grad) + written
        store_rows(grad_v_pointer + offset, rows, columns, length, value, value, grad_v)
        grad_scores += dot(grad, tl.trans(v))
        from_start += tl.sum(dot(c, start) * grad.to(tl.float32), 1)
        to_end += tl.sum(written * v.to(tl.float32), 1)
        kept += tl.sum(start.to(tl.float32) * grad_end.to(tl.float32), 1)
    grad_scores *= decays
    place = grad_scores_pointer + sequence * length * size
    store_rows(place, rows, index, length, size, size, grad_scores)
    # G_i grows what row i reads and shrinks what row i is read as. The same numbers stand for both,
    # so that what cancels between positions cancels exactly.
    pairs = grad_scores * products
    grad_sums = tl.sum(pairs - tl.trans(pairs), 1) + from_start * tl.exp(sums) - to_end
    grad_decay = (
        sums_from_end(grad_sums, size) + tl.sum(to_end, 0) + tl.sum(kept, 0) * tl.exp(whole)
    )
    tl.store(grad_decay_pointer + sequence * length + rows, grad_decay, mask=rows < length)


@triton.jit
def _key_gradient_kernel(
    grad_pointer, c_pointer, b_pointer, v_pointer, decay_pointer, start_pointer, grad_end_pointer,
    grad_scores_pointer, grad_c_pointer, grad_b_pointer,
    repeats, chunks, length, key, value,
    size: tl.constexpr, key_block: tl.constexpr, value_block: tl.constexpr,
):  # fmt: skip
    """Gradients of c and b in a block of columns, summed over the heads of a group."""
    group = tl.program_id(1).to(tl.int64)
    kind = c_pointer.dtype.element_ty
    index = tl.arange(0, size)
    rows = tl.program_id(0) * size + index
    keys = tl.program_id(2) * key_block + tl.arange(0, key_block)
    grad_c = tl.zeros((size, key_block), tl.float32)
    grad_b = tl.zeros((size, key_block), tl.float32)
    grad_products = tl.zeros((size, size), tl.float32)
    for number in range(repeats):
        sequence = group * repeats + number
        sums, whole = load_decays(decay_pointer + sequence * length, rows, length)
        states = (sequence * chunks + tl.program_id(0)) * key * value
        offset = sequence * length * value
        for first in range(0, value, value_block):
            columns = first + tl.arange(0, value_block)
            grad = load_rows(grad_pointer + offset, rows, columns, length, value, value)
            start = load_rows(start_pointer + states, keys, columns, key, value, value)
            grad_c += dot(grad, tl.trans(start)) * tl.exp(sums)[:, None]
            v = load_rows(v_pointer + offset, rows, columns, length, value, value)
            grad_end = load_rows(grad_end_pointer + states, keys, columns, key, value, value)
            grad_b += dot(v, tl.trans(grad_end)) * tl.exp(whole - sums)[:, None]
        place = grad_scores_pointer + sequence * length * size
        grad_products += load_rows(place, rows, index, length, size, size).to(tl.float32)
    grad_products = rounded(grad_products, kind)
    offset = group * length * key
    b = load_rows(b_pointer + offset, rows, keys, length, key, key)
    grad_c += dot(grad_products, b)
    store_rows(grad_c_pointer + offset, rows, keys, length, key, key, grad_c)
    c = load_rows(c_pointer + offset, rows, keys, length, key, key)
    grad_b += dot(tl.trans(grad_products), c)
    store_rows(grad_b_pointer + offset, rows, keys, length, key, key, grad_b)


def supports(c: Tensor, b: Tensor, v: Tensor) -> bool:
    """Whether a chunk of b fits into the fast memory, in a dtype that the kernels accumulate
    exactly enough."""
    return c.shape[-1] <= WIDEST and torch.float64 not in (c.dtype, b.dtype, v.dtype)


def start_shape(c: Tensor, v: Tensor) -> tuple[int, ...]:
    """Of the kept states: (batch * heads * chunks, state size, head width)."""
    chunks = triton.cdiv(c.shape[2], rows_of(c.shape[2]))
    return v.shape[0] * v.shape[1] * chunks, c.shape[-1], v.shape[-1]


def start_dtype(c: Tensor, b: Tensor, v: Tensor) -> torch.dtype:
    """Dtype of what goes into matrix products, and so of the kept states."""
    return v.dtype if c.dtype == b.dtype == v.dtype else torch.float32


def _scan(
    x: Tensor, z: Tensor, decay: Tensor, first: Tensor | None, reverse: bool
) -> tuple[Tensor, Tensor]:
    """The states around the chunks, and what is left after the last of them."""
    batch, heads, length, value = z.shape
    key, options = x.shape[-1], chunk_blocks(x, z, scan=True)
    states = x.new_empty(start_shape(x, z))
    last = x.new_empty(batch, heads, key, value, dtype=torch.float32)
    given = last if first is None else first.contiguous()
    sizes = (heads // x.shape[1], triton.cdiv(length, options["size"]), length, key, value)
    grid = (triton.cdiv(value, options["value_block"]), batch * heads)
    flags = {"has_first": first is not None, "reverse": reverse}
    _states_kernel[grid](x, z, decay, given, states, last, *sizes, **flags, **options)
    return states, last


def forward(
    c: Tensor, b: Tensor, v: Tensor, decay: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """As `cpu.forward`, but for the shape of the start states."""
    y = torch.empty(v.shape, dtype=v.dtype, device=v.device)
    c, b, v = (x.to(start_dtype(c, b, v)).contiguous() for x in (c, b, v))
    decay = decay.contiguous()
    start, last = _scan(b, v, decay, state, reverse=False)
    (batch, heads, length, value), options = v.shape, chunk_blocks(c, v, scan=False)
    chunks = triton.cdiv(length, options["size"])
    sizes = (heads // c.shape[1], chunks, length, c.shape[-1], value)
    _output_kernel[(chunks, batch * heads)](c, b, v, decay, start, y, *sizes, **options)
    return y, last, start


def backward(
    grad: Tensor,
    grad_state: Tensor | None,
    c: Tensor,
    b: Tensor,
    v: Tensor,
    decay: Tensor,
    start: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """As `cpu.backward`."""
    grad_c, grad_b, grad_v, grad_decay = (
        torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (c, b, v, decay)
    )
    grad, c, b, v = (x.to(start_dtype(c, b, v)).contiguous() for x in (grad, c, b, v))
    decay = decay.contiguous()
    grad_end, grad_start = _scan(c, grad, decay, grad_state, reverse=True)
    (batch, heads, length, value), options = v.shape, chunk_blocks(c, v, scan=False)
    groups, key = c.shape[1], c.shape[-1]
    chunks = triton.cdiv(length, options["size"])
    grad_scores = c.new_empty(batch * heads, length, options["size"])
    inputs = (grad, c, b, v, decay, start, grad_end)
    sizes = (heads // groups, chunks, length, key, value)
    _value_gradient_kernel[(chunks, batch * heads)](
        *inputs, grad_v, grad_decay, grad_scores, *sizes, **options
    )
    options["key_block"] = min(64, options["key_block"])  # two accumulators as wide as the keys
    grid = (chunks, batch * groups, triton.cdiv(key, options["key_block"]))
    _key_gradient_kernel[grid](*inputs, grad_scores, grad_c, grad_b, *sizes, **options)
    return grad_c, grad_b, grad_v, grad_decay, grad_start
