# pyright: reportArgumentType=false, reportCallIssue=false
"""The gated delta rule in Triton: the chunks' systems, the scan over their states, the outputs.
Notation of chunked.py.

Matrix products take operands in the inputs' dtype and accumulate in float32; states are carried in
float32. Buffers are (sequences, length, width), rows beyond the length read as 0, where decay, beta
and keys of 0 change nothing.
"""

import os

import torch
import triton
import triton.language as tl

# Triton's interpreter multiplies the bits of bfloat16 matrices as integers, and truncates to
# bfloat16.
INTERPRETED = tl.constexpr(os.environ.get("TRITON_INTERPRET") == "1")
LOWEST_DECAY = tl.constexpr(-40.0)
DIAGONAL = tl.constexpr(
    16
)  # blocks on the diagonal that are inverted row by row; larger ones by products
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
def load_rows(pointer, rows, columns, length, width):
    """A block of (length, width), zeros outside."""
    mask = (rows < length)[:, None] & (columns < width)[None, :]
    return tl.load(pointer + rows[:, None] * width + columns[None, :], mask=mask, other=0.0)


@triton.jit
def store_rows(pointer, rows, columns, length, width, x):
    """Write a block of (length, width), in the dtype of the pointer."""
    mask = (rows < length)[:, None] & (columns < width)[None, :]
    tl.store(
        pointer + rows[:, None] * width + columns[None, :],
        rounded(x, pointer.dtype.element_ty),
        mask=mask,
    )


@triton.jit
def load_gates(decay_pointer, beta_pointer, rows, length):
    """G, G at the last position and beta of one chunk."""
    decay = tl.load(decay_pointer + rows, mask=rows < length, other=0.0).to(tl.float32)
    decay = tl.maximum(decay, LOWEST_DECAY)
    beta = tl.load(beta_pointer + rows, mask=rows < length, other=0.0).to(tl.float32)
    return tl.cumsum(decay, 0), tl.sum(decay, 0), beta


@triton.jit
def pair_decays(sums, size: tl.constexpr):
    """D: exp(G_i - G_j) on and below the diagonal, 0 above."""
    lower = tl.arange(0, size)[:, None] >= tl.arange(0, size)[None, :]
    return tl.exp(tl.where(lower, sums[:, None] - sums[None, :], float("-inf")))


@triton.jit
def _inverse(system, kind: tl.constexpr, size: tl.constexpr):
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
        inverse = _merged(inverse, system, kind, DIAGONAL, size)
    if size > 2 * DIAGONAL:
        inverse = _merged(inverse, system, kind, 2 * DIAGONAL, size)
    return inverse


@triton.jit
def _merged(inverse, system, kind: tl.constexpr, block: tl.constexpr, size: tl.constexpr):
    rows, columns = tl.arange(0, size)[:, None], tl.arange(0, size)[None, :]
    between = (rows // block != columns // block) & (rows // (2 * block) == columns // (2 * block))
    inner = dot(rounded(tl.where(between, system, 0.0), kind), rounded(inverse, kind))
    return inverse - dot(rounded(inverse, kind), rounded(inner, kind))


@triton.jit
def _prepare_kernel(
    k_pointer, v_pointer, decay_pointer, beta_pointer, inverse_pointer, w_pointer, u_pointer,
    length, key, value,
    size: tl.constexpr, key_block: tl.constexpr, value_block: tl.constexpr,
):  # fmt: skip
    sequence = tl.program_id(1).to(tl.int64)
    kind = k_pointer.dtype.element_ty
    rows = tl.program_id(0) * size + tl.arange(0, size)
    columns = tl.arange(0, key_block)
    k = load_rows(k_pointer + sequence * length * key, rows, columns, length, key)
    sums, _, beta = load_gates(
        decay_pointer + sequence * length, beta_pointer + sequence * length, rows, length
    )
    pairs = dot(k, tl.trans(k)) * pair_decays(sums, size) * beta[:, None]
    strict = tl.arange(0, size)[:, None] > tl.arange(0, size)[None, :]
    inverse = rounded(_inverse(tl.where(strict, pairs, 0.0), kind, size), kind)
    store_rows(
        inverse_pointer + sequence * length * size, rows, tl.arange(0, size), length, size, inverse
    )
    right = rounded(k * (beta * tl.exp(sums))[:, None], kind)
    w = dot(inverse, right)
    store_rows(w_pointer + sequence * length * key, rows, columns, length, key, w)
    for first in range(0, value, value_block):
        values = first + tl.arange(0, value_block)
        v = load_rows(v_pointer + sequence * length * value, rows, values, length, value)
        u = dot(inverse, rounded(v * beta[:, None], kind))
        store_rows(u_pointer + sequence * length * value, rows, values, length, value, u)


@triton.jit
def _states_kernel(
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
        state += load_rows(state_pointer + sequence * key * value, keys, columns, key, value).to(
            tl.float32
        )
    for chunk in range(chunks):
        start = start_pointer + (sequence * chunks + chunk) * key * value
        store_rows(start, keys, columns, key, value, state)
        rows = chunk * size + tl.arange(0, size)
        sums, whole, _ = load_gates(
            decay_pointer + sequence * length, beta_pointer + sequence * length, rows, length
        )
        w = load_rows(w_pointer, rows, keys, length, key)
        u = load_rows(u_pointer, rows, columns, length, value)
        x = rounded(u - dot(w, rounded(state, kind)), kind)
        store_rows(u_pointer, rows, columns, length, value, x)
        k = load_rows(k_pointer, rows, keys, length, key)
        k = rounded(k * tl.exp(whole - sums)[:, None], kind)
        state = state * tl.exp(whole) + dot(tl.trans(k), x)
    store_rows(last_pointer + sequence * key * value, keys, columns, key, value, state)


@triton.jit
def _output_kernel(
    q_pointer, k_pointer, x_pointer, decay_pointer, beta_pointer, start_pointer, y_pointer,
    scale, chunks, length, key, value,
    size: tl.constexpr, key_block: tl.constexpr, value_block: tl.constexpr,
):  # fmt: skip
    sequence = tl.program_id(1).to(tl.int64)
    kind = k_pointer.dtype.element_ty
    rows = tl.program_id(0) * size + tl.arange(0, size)
    keys = tl.arange(0, key_block)
    q = load_rows(q_pointer + sequence * length * key, rows, keys, length, key)
    k = load_rows(k_pointer + sequence * length * key, rows, keys, length, key)
    sums, _, _ = load_gates(
        decay_pointer + sequence * length, beta_pointer + sequence * length, rows, length
    )
    scores = rounded(dot(q, tl.trans(k)) * pair_decays(sums, size), kind)
    start_pointer += (sequence * chunks + tl.program_id(0)) * key * value
    for first in range(0, value, value_block):
        columns = first + tl.arange(0, value_block)
        start = load_rows(start_pointer, keys, columns, key, value)
        x = load_rows(x_pointer + sequence * length * value, rows, columns, length, value)
        y = dot(q, start) * tl.exp(sums)[:, None]
        y = (y + dot(scores, x)) * scale
        store_rows(y_pointer + sequence * length * value, rows, columns, length, value, y)


def supports(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> bool:
    """Whether a chunk of keys fits into the fast memory, in a dtype that the kernels accumulate
    exactly enough."""
    return q.shape[-1] <= 128 and torch.float64 not in (q.dtype, k.dtype, v.dtype)


def chunk_size(q: torch.Tensor) -> int:
    """Positions in a chunk: 64 make few states; matrix products need 16 at least."""
    return min(64, max(16, triton.next_power_of_2(q.shape[2])))


def start_dtype(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.dtype:
    """Dtype of what goes into matrix products, and so of the kept states."""
    return v.dtype if q.dtype == k.dtype == v.dtype else torch.float32


def blocks(q: torch.Tensor, v: torch.Tensor, scan: bool) -> dict[str, int]:
    """Block sizes and launch options that the kernels share."""
    width = min(SCAN_BLOCK if scan else LOCAL_BLOCK, max(16, triton.next_power_of_2(v.shape[-1])))
    key = max(16, triton.next_power_of_2(q.shape[-1]))
    # Prefetching float32 blocks would not fit into shared memory at key width 128.
    stages = 1 if v.dtype == torch.float32 else 2
    warps = 8 if key > 32 else 4  # what fits into registers
    return {
        "size": chunk_size(q),
        "key_block": key,
        "value_block": width,
        "num_warps": warps,
        "num_stages": stages,
    }


def prepare(
    k: torch.Tensor, v: torch.Tensor, decay: torch.Tensor, beta: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Each chunk's inverse (rows x length), W and U, in the dtype of k and v (contiguous as
    all)."""
    batch, heads, length, value = v.shape
    options = blocks(k, v, scan=False)
    inverse = k.new_empty(batch * heads, length, options["size"])
    w, u = torch.empty_like(k), torch.empty_like(v)
    grid = (triton.cdiv(length, options["size"]), batch * heads)
    sizes = (length, k.shape[-1], value)
    _prepare_kernel[grid](k, v, decay, beta, inverse, w, u, *sizes, **options)  # type: ignore[index]
    return inverse, w, u


def forward(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    decay: torch.Tensor,
    beta: torch.Tensor,
    state: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """As `chunked.forward`."""
    out, scale = v.dtype, q.shape[-1] ** -0.5
    q, k, v = (x.to(start_dtype(q, k, v)).contiguous() for x in (q, k, v))
    decay, beta = decay.contiguous(), beta.contiguous()
    batch, heads, length, value = v.shape
    sequences, key = batch * heads, q.shape[-1]
    _, w, x = prepare(k, v, decay, beta)
    chunks = triton.cdiv(length, chunk_size(q))
    start = k.new_empty(sequences * chunks, key, value)
    last = k.new_empty(batch, heads, key, value, dtype=torch.float32)
    given = last if state is None else state.contiguous()
    options, sizes = blocks(q, v, scan=True), (chunks, length, key, value)
    grid = (triton.cdiv(value, options["value_block"]), sequences)
    _states_kernel[grid](  # type: ignore[index]
        k, w, x, decay, beta, given, start, last, *sizes, has_state=state is not None, **options
    )
    y = v.new_empty(v.shape, dtype=out)
    _output_kernel[(chunks, sequences)](  # type: ignore[index]
        q, k, x, decay, beta, start, y, scale, *sizes, **blocks(q, v, scan=False)
    )
    return y, last, start


def backward(
    grad: torch.Tensor,
    grad_state: torch.Tensor | None,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    decay: torch.Tensor,
    beta: torch.Tensor,
    start: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """As `chunked.backward`."""
    from .triton_backward import gradients

    return gradients(grad, grad_state, q, k, v, decay, beta, start)
