# pyright: reportArgumentType=false, reportCallIssue=false
"""Forward kernels of the channel-wise gated delta rule: pairs and systems of the chunks, the scan
over their states, the outputs. Notation of cpu.py.

Pairs are halved as in cpu_halves.py, but no tile is cut: every position is in a first or in a
second half, so that one tile of sums serves both, and a product of all pairs is masked to those
that cross. Sums are products with a mask, so that nothing cancels.
"""

import triton
import triton.language as tl

from ..triton_tools import LOWEST_DECAY, dot, inverse_of_unit_lower, load_rows, rounded, store_rows


@triton.jit
def load_decay(pointer, rows, columns, length, width):
    """Log decays of one chunk, (rows, columns) in float32."""
    decay = load_rows(pointer, rows, columns, length, width, width).to(tl.float32)
    return tl.maximum(decay, LOWEST_DECAY)


@triton.jit
def up_to(size: tl.constexpr):
    """Which decays are in G: row i has 1 for those of i and before."""
    index = tl.arange(0, size)
    return tl.where(index[:, None] >= index[None, :], 1.0, 0.0)


@triton.jit
def behind(size: tl.constexpr):
    """Which decays are in G_last - G: row i has 1 for those after i."""
    index = tl.arange(0, size)
    return tl.where(index[:, None] < index[None, :], 1.0, 0.0)


@triton.jit
def within_half(level, size: tl.constexpr):
    """`up_to` for rows in second halves, `behind` for rows in first halves, and 0 beyond the row's
    half, which has 2^level positions."""
    rows, columns = tl.arange(0, size)[:, None], tl.arange(0, size)[None, :]
    second = (rows >> level) % 2 == 1
    reached = (second & (columns <= rows)) | ((rows >> level) % 2 == 0) & (columns > rows)
    return tl.where(reached & (rows >> level == columns >> level), 1.0, 0.0)


@triton.jit
def crossing(pairs, level, size: tl.constexpr):
    """The pairs of a position in a second half with one in the first half before it, else 0."""
    rows, columns = tl.arange(0, size)[:, None], tl.arange(0, size)[None, :]
    together = rows >> (level + 1) == columns >> (level + 1)
    return tl.where(together & (rows >> level > columns >> level), pairs, 0.0)


@triton.jit
def prepare_kernel(
    q_pointer, k_pointer, v_pointer, decay_pointer, beta_pointer,
    scores_pointer, inverse_pointer, w_pointer, u_pointer,
    scale, length, key, value,
    levels: tl.constexpr, size: tl.constexpr, key_block: tl.constexpr, value_block: tl.constexpr,
):  # fmt: skip
    """Scores with their scale, the inverse of each chunk's system, W and U."""
    sequence = tl.program_id(1).to(tl.int64)
    kind = k_pointer.dtype.element_ty
    index = tl.arange(0, size)
    rows = tl.program_id(0) * size + index
    offset = sequence * length * key
    scores = tl.zeros((size, size), tl.float32)
    system = tl.zeros((size, size), tl.float32)
    own = tl.zeros((size,), tl.float32)  # of a position with itself
    for first in range(0, key, key_block):
        columns = first + tl.arange(0, key_block)
        q = load_rows(q_pointer + offset, rows, columns, length, key, key).to(tl.float32)
        k = load_rows(k_pointer + offset, rows, columns, length, key, key).to(tl.float32)
        decay = load_decay(decay_pointer + offset, rows, columns, length, key)
        own += tl.sum(q * k, 1)
        for level in range(levels):
            left = tl.exp(dot(within_half(level, size), decay))
            key_tile = rounded(k * left, kind)
            turned = tl.trans(key_tile)
            scores += crossing(dot(rounded(q * left, kind), turned), level, size)
            system += crossing(dot(key_tile, turned), level, size)
    scores += tl.where(index[:, None] == index[None, :], own[:, None], 0.0)
    pairs = sequence * length * size
    store_rows(scores_pointer + pairs, rows, index, length, size, size, scores * scale)
    beta = tl.load(beta_pointer + sequence * length + rows, mask=rows < length, other=0.0)
    beta = beta.to(tl.float32)
    inverse = rounded(inverse_of_unit_lower(system * beta[:, None], kind, size), kind)
    store_rows(inverse_pointer + pairs, rows, index, length, size, size, inverse)
    for first in range(0, key, key_block):
        columns = first + tl.arange(0, key_block)
        k = load_rows(k_pointer + offset, rows, columns, length, key, key).to(tl.float32)
        decay = load_decay(decay_pointer + offset, rows, columns, length, key)
        right = rounded(k * tl.exp(dot(up_to(size), decay)) * beta[:, None], kind)
        w = dot(inverse, right)
        store_rows(w_pointer + offset, rows, columns, length, key, key, w)
    for first in range(0, value, value_block):
        columns = first + tl.arange(0, value_block)
        v = load_rows(v_pointer + sequence * length * value, rows, columns, length, value, value)
        u = dot(inverse, rounded(v * beta[:, None], kind))
        store_rows(u_pointer + sequence * length * value, rows, columns, length, value, value, u)


@triton.jit
def states_kernel(
    k_pointer, w_pointer, u_pointer, decay_pointer, state_pointer, start_pointer, last_pointer,
    chunks, length, key, value,
    has_state: tl.constexpr, size: tl.constexpr, key_block: tl.constexpr, value_block: tl.constexpr,
):  # fmt: skip
    """Scans the chunks; u becomes the corrections, u - w S."""
    sequence = tl.program_id(1).to(tl.int64)
    kind = k_pointer.dtype.element_ty
    keys = tl.arange(0, key_block)
    columns = tl.program_id(0) * value_block + tl.arange(0, value_block)
    k_pointer += sequence * length * key
    w_pointer += sequence * length * key
    decay_pointer += sequence * length * key
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
        w = load_rows(w_pointer, rows, keys, length, key, key)
        u = load_rows(u_pointer, rows, columns, length, value, value)
        x = rounded(u - dot(w, rounded(state, kind)), kind)
        store_rows(u_pointer, rows, columns, length, value, value, x)
        decay = load_decay(decay_pointer, rows, keys, length, key)
        k = load_rows(k_pointer, rows, keys, length, key, key)
        k = rounded(k * tl.exp(dot(behind(size), decay)), kind)
        state = state * tl.exp(tl.sum(decay, 0))[:, None] + dot(tl.trans(k), x)
    store_rows(last_pointer + sequence * key * value, keys, columns, key, value, value, state)


@triton.jit
def output_kernel(
    q_pointer, x_pointer, decay_pointer, scores_pointer, start_pointer, y_pointer,
    scale, chunks, length, key, value,
    size: tl.constexpr, key_block: tl.constexpr, value_block: tl.constexpr,
):  # fmt: skip
    """y of each chunk from its start state, its scores and its corrections."""
    sequence = tl.program_id(1).to(tl.int64)
    kind = q_pointer.dtype.element_ty
    index = tl.arange(0, size)
    rows = tl.program_id(0) * size + index
    keys = tl.arange(0, key_block)
    offset = sequence * length * key
    decay = load_decay(decay_pointer + offset, rows, keys, length, key)
    q = load_rows(q_pointer + offset, rows, keys, length, key, key)
    q = rounded(q * tl.exp(dot(up_to(size), decay)) * scale, kind)
    scores_pointer += sequence * length * size
    scores = load_rows(scores_pointer, rows, index, length, size, size)
    start_pointer += (sequence * chunks + tl.program_id(0)) * key * value
    for first in range(0, value, value_block):
        columns = first + tl.arange(0, value_block)
        start = load_rows(start_pointer, keys, columns, key, value, value)
        x = load_rows(x_pointer + sequence * length * value, rows, columns, length, value, value)
        y = dot(q, start) + dot(scores, x)
        store_rows(y_pointer + sequence * length * value, rows, columns, length, value, value, y)
