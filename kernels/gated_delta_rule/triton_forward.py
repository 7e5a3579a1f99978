# pyright: reportArgumentType=false, reportCallIssue=false
"""Forward kernels of the gated delta rule: the chunks' systems, the scan over their states, the
outputs. Notation of cpu.py."""

import triton
import triton.language as tl

from ..triton_tools import (
    dot,
    inverse_of_unit_lower,
    load_decays,
    load_rows,
    pair_decays,
    rounded,
    store_rows,
)


@triton.jit
def load_gates(decay_pointer, beta_pointer, rows, length):
    """G, G at the last position and beta of one chunk."""
    sums, whole = load_decays(decay_pointer, rows, length)
    beta = tl.load(beta_pointer + rows, mask=rows < length, other=0.0).to(tl.float32)
    return sums, whole, beta


@triton.jit
def prepare_kernel(
    k_pointer, v_pointer, decay_pointer, beta_pointer, inverse_pointer, w_pointer, u_pointer,
    length, key, value,
    size: tl.constexpr, key_block: tl.constexpr, value_block: tl.constexpr,
):  # fmt: skip
    """The inverse of each chunk's system, W and U."""
    sequence = tl.program_id(1).to(tl.int64)
    kind = k_pointer.dtype.element_ty
    rows = tl.program_id(0) * size + tl.arange(0, size)
    columns = tl.arange(0, key_block)
    k = load_rows(k_pointer + sequence * length * key, rows, columns, length, key, key)
    sums, _, beta = load_gates(
        decay_pointer + sequence * length, beta_pointer + sequence * length, rows, length
    )
    pairs = dot(k, tl.trans(k)) * pair_decays(sums, size) * beta[:, None]
    strict = tl.arange(0, size)[:, None] > tl.arange(0, size)[None, :]
    inverse = rounded(inverse_of_unit_lower(tl.where(strict, pairs, 0.0), kind, size), kind)
    store_rows(
        inverse_pointer + sequence * length * size,
        rows,
        tl.arange(0, size),
        length,
        size,
        size,
        inverse,
    )
    right = rounded(k * (beta * tl.exp(sums))[:, None], kind)
    w = dot(inverse, right)
    store_rows(w_pointer + sequence * length * key, rows, columns, length, key, key, w)
    for first in range(0, value, value_block):
        values = first + tl.arange(0, value_block)
        v = load_rows(v_pointer + sequence * length * value, rows, values, length, value, value)
        u = dot(inverse, rounded(v * beta[:, None], kind))
        store_rows(u_pointer + sequence * length * value, rows, values, length, value, value, u)


@triton.jit
def states_kernel(
    k_pointer, w_pointer, u_pointer, decay_pointer, beta_pointer, state_pointer, start_pointer,
    last_pointer,
    chunks, length, key, value, has_state: tl.constexpr, size: tl.constexpr,
    key_block: tl.constexpr,
    value_block: tl.constexpr,
):  # fmt: skip
    """Scans the chunks; u becomes the corrections, u - w S."""
    sequence = tl.program_id(1).to(tl.int64)
    kind = k_pointer.dtype.element_ty
    keys = tl.arange(0, key_block)
    columns = tl.program_id(0) * value_block + tl.arange(0, value_block)
    k_pointer += sequence * length * key
    w_pointer += sequence * length * key
    u_pointer += sequence * length * value
    state = tl.zeros((key_block, value_block), tl.float32)
    if has_state:
        state += load_rows(
            state_pointer + sequence * key * value, keys, columns, key, value, value
        ).to(tl.float32)
    for chunk in range(chunks):
        start = start_pointer + (sequence * chunks + chunk) * key * value
        store_rows(start, keys, columns, key, value, value, state)
        rows = chunk * size + tl.arange(0, size)
        sums, whole, _ = load_gates(
            decay_pointer + sequence * length, beta_pointer + sequence * length, rows, length
        )
        w = load_rows(w_pointer, rows, keys, length, key, key)
        u = load_rows(u_pointer, rows, columns, length, value, value)
        x = rounded(u - dot(w, rounded(state, kind)), kind)
        store_rows(u_pointer, rows, columns, length, value, value, x)
        k = load_rows(k_pointer, rows, keys, length, key, key)
        k = rounded(k * tl.exp(whole - sums)[:, None], kind)
        state = state * tl.exp(whole) + dot(tl.trans(k), x)
    store_rows(last_pointer + sequence * key * value, keys, columns, key, value, value, state)


@triton.jit
def output_kernel(
    q_pointer, k_pointer, x_pointer, decay_pointer, beta_pointer, start_pointer, y_pointer,
    scale, chunks, length, key, value,
    size: tl.constexpr, key_block: tl.constexpr, value_block: tl.constexpr,
):  # fmt: skip
    """y of each chunk from its start state and its corrections."""
    sequence = tl.program_id(1).to(tl.int64)
    kind = k_pointer.dtype.element_ty
    rows = tl.program_id(0) * size + tl.arange(0, size)
    keys = tl.arange(0, key_block)
    q = load_rows(q_pointer + sequence * length * key, rows, keys, length, key, key)
    k = load_rows(k_pointer + sequence * length * key, rows, keys, length, key, key)
    sums, _, _ = load_gates(
        decay_pointer + sequence * length, beta_pointer + sequence * length, rows, length
    )
    scores = rounded(dot(q, tl.trans(k)) * pair_decays(sums, size), kind)
    start_pointer += (sequence * chunks + tl.program_id(0)) * key * value
    for first in range(0, value, value_block):
        columns = first + tl.arange(0, value_block)
        start = load_rows(start_pointer, keys, columns, key, value, value)
        x = load_rows(x_pointer + sequence * length * value, rows, columns, length, value, value)
        y = dot(q, start) * tl.exp(sums)[:, None]
        y = (y + dot(scores, x)) * scale
        store_rows(y_pointer + sequence * length * value, rows, columns, length, value, value, y)
