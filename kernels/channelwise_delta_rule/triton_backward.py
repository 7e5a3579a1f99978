# pyright: reportArgumentType=false, reportCallIssue=false
"""Backward kernels of the channel-wise gated delta rule: corrections again, the scan backward, all
gradients of each chunk. Notation of cpu.py."""

import triton
import triton.language as tl

from ..triton_tools import dot, load_rows, rounded, store_rows
from .triton_forward import behind, crossing, load_decay, up_to, within_half


@triton.jit
def corrections_kernel(
    grad_pointer, w_pointer, u_pointer, scores_pointer, start_pointer, grad_x_pointer,
    chunks, length, key, value,
    size: tl.constexpr, key_block: tl.constexpr, value_block: tl.constexpr,
):  # fmt: skip
    """u becomes the corrections; grad_x what y passes back to them inside the chunk."""
    sequence = tl.program_id(1).to(tl.int64)
    index = tl.arange(0, size)
    rows = tl.program_id(0) * size + index
    keys = tl.arange(0, key_block)
    w = load_rows(w_pointer + sequence * length * key, rows, keys, length, key, key)
    scores_pointer += sequence * length * size
    scores = tl.trans(load_rows(scores_pointer, rows, index, length, size, size))
    start_pointer += (sequence * chunks + tl.program_id(0)) * key * value
    offset = sequence * length * value
    for first in range(0, value, value_block):
        columns = first + tl.arange(0, value_block)
        grad = load_rows(grad_pointer + offset, rows, columns, length, value, value)
        grad_x = dot(scores, grad)
        store_rows(grad_x_pointer + offset, rows, columns, length, value, value, grad_x)
        start = load_rows(start_pointer, keys, columns, key, value, value)
        u = load_rows(u_pointer + offset, rows, columns, length, value, value)
        x = u - dot(w, start)
        store_rows(u_pointer + offset, rows, columns, length, value, value, x)


@triton.jit
def states_gradient_kernel(
    q_pointer, k_pointer, grad_pointer, w_pointer, grad_x_pointer, decay_pointer,
    grad_state_pointer, grad_end_pointer, grad_first_pointer, scale, chunks, length, key, value,
    has_state: tl.constexpr, size: tl.constexpr, key_block: tl.constexpr, value_block: tl.constexpr,
):  # fmt: skip
    """Scans the chunks from the last; completes grad_x by what the chunk's end state passes
    back."""
    sequence = tl.program_id(1).to(tl.int64)
    kind = k_pointer.dtype.element_ty
    keys = tl.arange(0, key_block)
    columns = tl.program_id(0) * value_block + tl.arange(0, value_block)
    q_pointer += sequence * length * key
    k_pointer += sequence * length * key
    w_pointer += sequence * length * key
    decay_pointer += sequence * length * key
    grad_pointer += sequence * length * value
    grad_x_pointer += sequence * length * value
    state = tl.zeros((key_block, value_block), tl.float32)
    if has_state:
        state += load_rows(
            grad_state_pointer + sequence * key * value, keys, columns, key, value, value
        ).to(tl.float32)
    for past in range(chunks):
        chunk = chunks - 1 - past
        end = grad_end_pointer + (sequence * chunks + chunk) * key * value
        store_rows(end, keys, columns, key, value, value, state)
        rows = chunk * size + tl.arange(0, size)
        decay = load_decay(decay_pointer, rows, keys, length, key)
        k = load_rows(k_pointer, rows, keys, length, key, key)
        k = rounded(k * tl.exp(dot(behind(size), decay)), kind)
        grad_x = load_rows(grad_x_pointer, rows, columns, length, value, value)
        grad_x = rounded(grad_x + dot(k, rounded(state, kind)), kind)
        store_rows(grad_x_pointer, rows, columns, length, value, value, grad_x)
        q = load_rows(q_pointer, rows, keys, length, key, key)
        q = rounded(q * tl.exp(dot(up_to(size), decay)) * scale, kind)
        grad = load_rows(grad_pointer, rows, columns, length, value, value)
        w = load_rows(w_pointer, rows, keys, length, key, key)
        state = state * tl.exp(tl.sum(decay, 0))[:, None] + dot(tl.trans(q), grad)
        state -= dot(tl.trans(w), grad_x)
    store_rows(grad_first_pointer + sequence * key * value, keys, columns, key, value, value, state)


@triton.jit
def pairs_gradient_kernel(
    v_pointer, beta_pointer, grad_pointer, inverse_pointer, x_pointer,
    grad_x_pointer, grad_v_pointer, grad_scores_pointer, grad_system_pointer, grad_beta_pointer,
    scale, length, value,
    size: tl.constexpr, key_block: tl.constexpr, value_block: tl.constexpr,
):  # fmt: skip
    """Gradients of v and of the pairs of positions; grad_x becomes the gradient of the system's
    right side / beta."""
    sequence = tl.program_id(1).to(tl.int64)
    kind = v_pointer.dtype.element_ty
    index = tl.arange(0, size)
    rows = tl.program_id(0) * size + index
    beta_pointer += sequence * length
    beta = tl.load(beta_pointer + rows, mask=rows < length, other=0.0).to(tl.float32)
    pairs = sequence * length * size
    inverse = tl.trans(load_rows(inverse_pointer + pairs, rows, index, length, size, size))
    offset = sequence * length * value
    grad_scores = tl.zeros((size, size), tl.float32)
    grad_system = tl.zeros((size, size), tl.float32)
    grad_beta = tl.zeros((size,), tl.float32)
    for first in range(0, value, value_block):
        columns = first + tl.arange(0, value_block)
        grad_x = load_rows(grad_x_pointer + offset, rows, columns, length, value, value)
        right = dot(inverse, grad_x)
        v = load_rows(v_pointer + offset, rows, columns, length, value, value).to(tl.float32)
        grad_beta += tl.sum(right * v, 1)
        grad_v = right * beta[:, None]
        store_rows(grad_v_pointer + offset, rows, columns, length, value, value, grad_v)
        right = rounded(right, kind)
        store_rows(grad_x_pointer + offset, rows, columns, length, value, value, right)
        grad = load_rows(grad_pointer + offset, rows, columns, length, value, value)
        x = tl.trans(load_rows(x_pointer + offset, rows, columns, length, value, value))
        grad_scores += dot(grad, x)
        grad_system -= dot(right, x)
    grad_scores *= scale
    store_rows(grad_scores_pointer + pairs, rows, index, length, size, size, grad_scores)
    store_rows(grad_system_pointer + pairs, rows, index, length, size, size, grad_system)
    grad_beta_pointer += sequence * length
    tl.store(grad_beta_pointer + rows, grad_beta, mask=rows < length)


@triton.jit
def keys_gradient_kernel(
    q_pointer, k_pointer, decay_pointer, beta_pointer, grad_pointer, start_pointer,
    grad_end_pointer, x_pointer, right_pointer, grad_scores_pointer, grad_system_pointer,
    grad_q_pointer, grad_k_pointer, grad_decay_pointer, grad_beta_pointer,
    scale, chunks, length, key, value,
    levels: tl.constexpr, size: tl.constexpr, key_block: tl.constexpr, value_block: tl.constexpr,
):  # fmt: skip
    """Gradients of q, k and decay in a block of columns, and the part of that of beta that goes
    through them."""
    sequence = tl.program_id(1).to(tl.int64)
    kind = k_pointer.dtype.element_ty
    index = tl.arange(0, size)
    rows = tl.program_id(0) * size + index
    keys = tl.program_id(2) * key_block + tl.arange(0, key_block)
    beta = tl.load(beta_pointer + sequence * length + rows, mask=rows < length, other=0.0)
    beta = beta.to(tl.float32)
    states = (sequence * chunks + tl.program_id(0)) * key * value
    offset = sequence * length * value
    grad_q = tl.zeros((size, key_block), tl.float32)
    grad_row = tl.zeros((size, key_block), tl.float32)  # of beta k, which is corrected
    grad_k = tl.zeros((size, key_block), tl.float32)  # of k, which is written
    kept = tl.zeros((key_block,), tl.float32)  # for the decay of the start state up to the end
    for first in range(0, value, value_block):
        columns = first + tl.arange(0, value_block)
        start = tl.trans(load_rows(start_pointer + states, keys, columns, key, value, value))
        grad_q += dot(load_rows(grad_pointer + offset, rows, columns, length, value, value), start)
        right = load_rows(right_pointer + offset, rows, columns, length, value, value)
        grad_row -= dot(right, start)
        grad_end = tl.trans(load_rows(grad_end_pointer + states, keys, columns, key, value, value))
        grad_k += dot(load_rows(x_pointer + offset, rows, columns, length, value, value), grad_end)
        kept += tl.sum(start.to(tl.float32) * grad_end.to(tl.float32), 0)
    offset = sequence * length * key
    q = load_rows(q_pointer + offset, rows, keys, length, key, key).to(tl.float32)
    k = load_rows(k_pointer + offset, rows, keys, length, key, key).to(tl.float32)
    decay = load_decay(decay_pointer + offset, rows, keys, length, key)
    left = tl.exp(dot(up_to(size), decay))
    grad_q *= left * scale
    grad_row *= left
    grad_k *= tl.exp(dot(behind(size), decay))
    grad_sums = grad_q * q + grad_row * k * beta[:, None]
    grad_decay = dot(tl.trans(up_to(size)), grad_sums)
    grad_decay += dot(tl.trans(behind(size)), grad_k * k)
    grad_decay += (kept * tl.exp(tl.sum(decay, 0)))[None, :]
    pairs = sequence * length * size
    grad_scores = load_rows(grad_scores_pointer + pairs, rows, index, length, size, size)
    grad_system = load_rows(grad_system_pointer + pairs, rows, index, length, size, size)
    own = tl.sum(tl.where(index[:, None] == index[None, :], grad_scores.to(tl.float32), 0.0), 1)
    grad_q += own[:, None] * k
    grad_k += own[:, None] * q
    for level in range(levels):
        reached = within_half(level, size)
        left = tl.exp(dot(reached, decay))
        key_tile = rounded(k * left, kind)
        scores = rounded(crossing(grad_scores.to(tl.float32), level, size), kind)
        system = crossing(grad_system.to(tl.float32), level, size)
        of_q = dot(scores, key_tile) * left
        of_row = dot(rounded(system, kind), key_tile) * left
        of_k = dot(tl.trans(scores), rounded(q * left, kind))
        of_k += dot(tl.trans(rounded(system * beta[:, None], kind)), key_tile)
        of_k *= left
        grad_q += of_q
        grad_row += of_row
        grad_k += of_k
        grad_sums = of_q * q + (of_row * beta[:, None] + of_k) * k
        grad_decay += dot(tl.trans(reached), grad_sums)
    store_rows(grad_q_pointer + offset, rows, keys, length, key, key, grad_q)
    store_rows(grad_decay_pointer + offset, rows, keys, length, key, key, grad_decay)
    grad_k += grad_row * beta[:, None]
    store_rows(grad_k_pointer + offset, rows, keys, length, key, key, grad_k)
    # Part 0 is that of `pairs_gradient_kernel`, the others are those of the blocks of columns.
    part = ((tl.program_id(2) + 1) * tl.num_programs(1) + sequence) * length
    tl.store(grad_beta_pointer + part + rows, tl.sum(grad_row * k, 1), mask=rows < length)
