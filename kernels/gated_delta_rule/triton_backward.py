# pyright: reportArgumentType=false, reportCallIssue=false
"""Backward kernels of the gated delta rule: corrections again, the scan backward, all gradients of
each chunk. Notation of cpu.py."""

import triton
import triton.language as tl

from ..triton_tools import dot, load_rows, pair_decays, rounded, store_rows, sums_from_end
from .triton_forward import load_gates


@triton.jit
def corrections_kernel(
    q_pointer, k_pointer, grad_pointer, w_pointer, u_pointer, decay_pointer, beta_pointer,
    start_pointer,
    grad_x_pointer, scale, chunks, length, key, value,
    size: tl.constexpr, key_block: tl.constexpr, value_block: tl.constexpr,
):  # fmt: skip
    """u becomes the corrections; grad_x what y passes back to them inside the chunk."""
    sequence = tl.program_id(1).to(tl.int64)
    kind = k_pointer.dtype.element_ty
    rows = tl.program_id(0) * size + tl.arange(0, size)
    keys = tl.arange(0, key_block)
    q = load_rows(q_pointer + sequence * length * key, rows, keys, length, key, key)
    k = load_rows(k_pointer + sequence * length * key, rows, keys, length, key, key)
    w = load_rows(w_pointer + sequence * length * key, rows, keys, length, key, key)
    sums, _, _ = load_gates(
        decay_pointer + sequence * length, beta_pointer + sequence * length, rows, length
    )
    scores = rounded(dot(q, tl.trans(k)) * pair_decays(sums, size) * scale, kind)
    start_pointer += (sequence * chunks + tl.program_id(0)) * key * value
    offset = sequence * length * value
    for first in range(0, value, value_block):
        columns = first + tl.arange(0, value_block)
        grad = load_rows(grad_pointer + offset, rows, columns, length, value, value)
        grad_x = dot(tl.trans(scores), grad)
        store_rows(grad_x_pointer + offset, rows, columns, length, value, value, grad_x)
        start = load_rows(start_pointer, keys, columns, key, value, value)
        u = load_rows(u_pointer + offset, rows, columns, length, value, value)
        x = u - dot(w, start)
        store_rows(u_pointer + offset, rows, columns, length, value, value, x)


@triton.jit
def states_gradient_kernel(
    q_pointer, k_pointer, grad_pointer, w_pointer, grad_x_pointer, decay_pointer, beta_pointer,
    grad_state_pointer,
    grad_end_pointer, grad_first_pointer, scale, chunks, length, key, value,
    has_state: tl.constexpr,
    size: tl.constexpr, key_block: tl.constexpr, value_block: tl.constexpr,
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
    grad_pointer += sequence * length * value
    grad_x_pointer += sequence * length * value
    state = tl.zeros((key_block, value_block), tl.float32)
    if has_state:
        state += load_rows(
            grad_state_pointer + sequence * key * value, keys, columns, key, value, value
        ).to(tl.float32)
    for number in range(chunks):
        chunk = chunks - 1 - number
        end = grad_end_pointer + (sequence * chunks + chunk) * key * value
        store_rows(end, keys, columns, key, value, value, state)
        rows = chunk * size + tl.arange(0, size)
        sums, whole, _ = load_gates(
            decay_pointer + sequence * length, beta_pointer + sequence * length, rows, length
        )
        k = load_rows(k_pointer, rows, keys, length, key, key)
        k = rounded(k * tl.exp(whole - sums)[:, None], kind)
        grad_x = load_rows(grad_x_pointer, rows, columns, length, value, value)
        grad_x = rounded(grad_x + dot(k, rounded(state, kind)), kind)
        store_rows(grad_x_pointer, rows, columns, length, value, value, grad_x)
        q = load_rows(q_pointer, rows, keys, length, key, key)
        q = rounded(q * (tl.exp(sums) * scale)[:, None], kind)
        grad = load_rows(grad_pointer, rows, columns, length, value, value)
        w = load_rows(w_pointer, rows, keys, length, key, key)
        state = state * tl.exp(whole) + dot(tl.trans(q), grad)
        state -= dot(tl.trans(w), grad_x)
    store_rows(grad_first_pointer + sequence * key * value, keys, columns, key, value, value, state)


@triton.jit
def pairs_gradient_kernel(
    q_pointer, k_pointer, v_pointer, decay_pointer, beta_pointer, grad_pointer, start_pointer,
    grad_end_pointer,
    inverse_pointer, x_pointer, grad_x_pointer, grad_v_pointer, grad_scores_pointer,
    grad_system_pointer,
    grad_decay_pointer, grad_beta_pointer, scale, chunks, length, key, value,
    size: tl.constexpr, key_block: tl.constexpr, value_block: tl.constexpr,
):  # fmt: skip
    """Gradients of v and of the pairs of positions; grad_x becomes the gradient of the system's
    right side / beta."""
    sequence = tl.program_id(1).to(tl.int64)
    kind = k_pointer.dtype.element_ty
    index = tl.arange(0, size)
    rows = tl.program_id(0) * size + index
    keys = tl.arange(0, key_block)
    sums, whole, beta = load_gates(
        decay_pointer + sequence * length, beta_pointer + sequence * length, rows, length
    )
    inverse = tl.trans(
        load_rows(inverse_pointer + sequence * length * size, rows, index, length, size, size)
    )
    states = (sequence * chunks + tl.program_id(0)) * key * value
    offset = sequence * length * value
    grad_scores = tl.zeros((size, size), tl.float32)
    grad_system = tl.zeros((size, size), tl.float32)
    grad_beta = tl.zeros((size,), tl.float32)
    kept = tl.zeros((key_block,), tl.float32)  # for the decay of the start state up to the end
    for first in range(0, value, value_block):
        columns = first + tl.arange(0, value_block)
        start = load_rows(start_pointer + states, keys, columns, key, value, value)
        grad_end = load_rows(grad_end_pointer + states, keys, columns, key, value, value)
        kept += tl.sum(start.to(tl.float32) * grad_end.to(tl.float32), 1)
        grad_x = load_rows(grad_x_pointer + offset, rows, columns, length, value, value)
        right = dot(inverse, grad_x)
        v = load_rows(v_pointer + offset, rows, columns, length, value, value).to(tl.float32)
        grad_beta += tl.sum(right * v, 1)
        store_rows(
            grad_v_pointer + offset, rows, columns, length, value, value, right * beta[:, None]
        )
        right = rounded(right, kind)
        store_rows(grad_x_pointer + offset, rows, columns, length, value, value, right)
        grad = load_rows(grad_pointer + offset, rows, columns, length, value, value)
        x = tl.trans(load_rows(x_pointer + offset, rows, columns, length, value, value))
        grad_scores += dot(grad, x)
        grad_system -= dot(right, x)
    decays = pair_decays(sums, size)
    grad_scores *= decays * scale
    grad_system *= tl.where(index[:, None] > index[None, :], decays, 0.0)
    store_rows(
        grad_scores_pointer + sequence * length * size, rows, index, length, size, size, grad_scores
    )
    store_rows(
        grad_system_pointer + sequence * length * size, rows, index, length, size, size, grad_system
    )
    q = load_rows(q_pointer + sequence * length * key, rows, keys, length, key, key)
    k = load_rows(k_pointer + sequence * length * key, rows, keys, length, key, key)
    # G_i grows what row i reads and shrinks what column i is read as. The same numbers stand for
    # both, so that what cancels between positions cancels exactly.
    pairs = grad_scores * dot(q, tl.trans(k)) + grad_system * dot(k, tl.trans(k)) * beta[:, None]
    grad_decay = sums_from_end(tl.sum(pairs - tl.trans(pairs), 1), size) + tl.sum(kept, 0) * tl.exp(
        whole
    )
    tl.store(grad_decay_pointer + sequence * length + rows, grad_decay, mask=rows < length)
    tl.store(grad_beta_pointer + sequence * length + rows, grad_beta, mask=rows < length)


@triton.jit
def keys_gradient_kernel(
    q_pointer, k_pointer, decay_pointer, beta_pointer, grad_pointer, start_pointer,
    grad_end_pointer, x_pointer,
    right_pointer, grad_scores_pointer, grad_system_pointer, grad_q_pointer, grad_k_pointer,
    grad_decay_pointer,
    grad_beta_pointer, scale, chunks, length, key, value,
    size: tl.constexpr, key_block: tl.constexpr, value_block: tl.constexpr,
):  # fmt: skip
    """Gradients of q and k in a block of columns, and the parts of those of decay and beta that go
    through them."""
    sequence = tl.program_id(1).to(tl.int64)
    index = tl.arange(0, size)
    rows = tl.program_id(0) * size + index
    keys = tl.program_id(2) * key_block + tl.arange(0, key_block)
    sums, whole, beta = load_gates(
        decay_pointer + sequence * length, beta_pointer + sequence * length, rows, length
    )
    states = (sequence * chunks + tl.program_id(0)) * key * value
    offset = sequence * length * value
    grad_q = tl.zeros((size, key_block), tl.float32)
    grad_row = tl.zeros((size, key_block), tl.float32)  # of k as the row of a pair, before beta
    grad_column = tl.zeros((size, key_block), tl.float32)  # of k as the column of a pair
    for first in range(0, value, value_block):
        columns = first + tl.arange(0, value_block)
        start = tl.trans(load_rows(start_pointer + states, keys, columns, key, value, value))
        grad_q += dot(load_rows(grad_pointer + offset, rows, columns, length, value, value), start)
        grad_row -= dot(
            load_rows(right_pointer + offset, rows, columns, length, value, value), start
        )
        grad_end = tl.trans(load_rows(grad_end_pointer + states, keys, columns, key, value, value))
        grad_column += dot(
            load_rows(x_pointer + offset, rows, columns, length, value, value), grad_end
        )
    grad_q *= (tl.exp(sums) * scale)[:, None]
    grad_row *= tl.exp(sums)[:, None]
    grad_column *= tl.exp(whole - sums)[:, None]
    q = load_rows(q_pointer + sequence * length * key, rows, keys, length, key, key)
    k = load_rows(k_pointer + sequence * length * key, rows, keys, length, key, key)
    ended = tl.sum(grad_column * k, 1)
    grad_sums = tl.sum(grad_q * q, 1) + tl.sum(grad_row * k, 1) * beta - ended
    grad_decay = sums_from_end(grad_sums, size) + tl.sum(ended, 0)
    grad_scores = load_rows(
        grad_scores_pointer + sequence * length * size, rows, index, length, size, size
    )
    grad_q += dot(grad_scores, k)
    grad_column += dot(tl.trans(grad_scores), q)
    store_rows(grad_q_pointer + sequence * length * key, rows, keys, length, key, key, grad_q)
    grad_system = load_rows(
        grad_system_pointer + sequence * length * size, rows, index, length, size, size
    )
    grad_row += dot(grad_system, k)
    grad_column += dot(
        tl.trans(rounded(grad_system * beta[:, None], k_pointer.dtype.element_ty)), k
    )
    grad_column += grad_row * beta[:, None]
    store_rows(grad_k_pointer + sequence * length * key, rows, keys, length, key, key, grad_column)
    # Part 0 is that of `pairs_gradient_kernel`, the others are those of the blocks of columns.
    part = ((tl.program_id(2) + 1) * tl.num_programs(1) + sequence) * length
    tl.store(grad_decay_pointer + part + rows, grad_decay, mask=rows < length)
    tl.store(grad_beta_pointer + part + rows, tl.sum(grad_row * k, 1), mask=rows < length)
