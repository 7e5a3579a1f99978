"""The backward kernels of attention by structured operators: gradients of C, and of B and V."""

# pyright: reportPossiblyUnboundVariable=false, reportOperatorIssue=false
# A compile-time condition that uses a name is the one that set it.

import triton
import triton.language as tl

from ..triton_tools import dot, head_pointer, load_rows, store_rows
from .triton_scores import RELU, SOFTMAX, SWISH, row_scale_of, scores_of, values_of, visible_keys


@triton.jit
def _score_gradients(grad, scores, values, seen, delta, kind: tl.constexpr):
    """Gradients of the products C B^T / sqrt(width) from those of the values."""
    if kind == RELU:
        grad = tl.where(scores > 0, grad, 0.0)
    if kind == SWISH:
        sigmoid = tl.sigmoid(scores)
        grad = grad * sigmoid * (1 + scores * (1 - sigmoid))
    if kind == SOFTMAX:
        grad = values * (grad - delta[:, None])
    return tl.where(seen, grad, 0.0)


@triton.jit
def query_gradient_kernel(
    grad_pointer, c_pointer, b_pointer, v_pointer, weight_pointer, normaliser_pointer,
    delta_pointer,
    grad_c_pointer, weight_rows_pointer,
    grad_batch, grad_head, grad_row, c_batch, c_head, c_row, b_batch, b_head, b_row, v_batch,
    v_head, v_row,
    heads, groups, length, total, width, value_width, window, scale,
    kind: tl.constexpr, copies: tl.constexpr, banded: tl.constexpr,
    block_rows: tl.constexpr, block_keys: tl.constexpr, block_width: tl.constexpr,
    block_value: tl.constexpr,
):  # fmt: skip
    """Gradients of C, one tile of queries over the keys they see; and rows whose sum is that of
    -weight."""
    # As in the forward kernel, the tiles with most keys first.
    start = (tl.num_programs(1) - 1 - tl.program_id(1)) * block_rows
    batch, head = tl.program_id(0) // heads, tl.program_id(0) % heads
    group = head // (heads // groups)
    rows = start + tl.arange(0, block_rows)
    position = rows + total - length
    column, value_column = tl.arange(0, block_width), tl.arange(0, block_value)
    grad_base = head_pointer(grad_pointer, batch, head, grad_batch, grad_head)
    grad = load_rows(grad_base, rows, value_column, length, value_width, grad_row)
    row_scale = row_scale_of(position, window, kind, banded)
    c_base = head_pointer(c_pointer, batch, head, c_batch, c_head)
    b_base = head_pointer(b_pointer, batch, group, b_batch, b_head)
    v_base = head_pointer(v_pointer, batch, group, v_batch, v_head)
    c = load_rows(c_base, rows, column, length, width, c_row)
    place = tl.cast(batch * copies * heads + head, tl.int64) * length
    normaliser, delta = row_scale, row_scale
    if kind == SOFTMAX:
        normaliser = tl.load(normaliser_pointer + place + rows, mask=rows < length, other=0.0)
        delta = tl.load(delta_pointer + place + rows, mask=rows < length, other=0.0)
    grad_c = tl.zeros((block_rows, block_width), tl.float32)
    if copies == 2:
        c_base_2 = head_pointer(c_pointer, batch, head + heads, c_batch, c_head)
        c_2 = load_rows(c_base_2, rows, column, length, width, c_row)
        b_base_2 = head_pointer(b_pointer, batch, group + groups, b_batch, b_head)
        place_2 = place + tl.cast(heads, tl.int64) * length
        normaliser_2, delta_2 = normaliser, delta
        if kind == SOFTMAX:
            normaliser_2 = tl.load(
                normaliser_pointer + place_2 + rows, mask=rows < length, other=0.0
            )
            delta_2 = tl.load(delta_pointer + place_2 + rows, mask=rows < length, other=0.0)
        grad_c_2 = tl.zeros((block_rows, block_width), tl.float32)
        weight_rows = tl.zeros((block_rows,), tl.float32)
    first = 0
    if banded:
        first = tl.maximum(0, start + total - length + 1 - window) // block_keys * block_keys
    last = tl.minimum(total, start + block_rows + total - length)
    for at in range(first, last, block_keys):
        keys = at + tl.arange(0, block_keys)
        seen = visible_keys(position, keys, window, banded)
        v = load_rows(v_base, keys, value_column, total, value_width, v_row)
        grad_values = dot(grad, tl.trans(v)) * row_scale[:, None]
        b = load_rows(b_base, keys, column, total, width, b_row)
        scores = scores_of(c, b, scale, kind)
        values = values_of(scores, seen, normaliser, kind)
        grad_c += dot(
            _score_gradients(grad_values, scores, values, seen, delta, kind).to(b.dtype), b
        )
        if copies == 2:
            b = load_rows(b_base_2, keys, column, total, width, b_row)
            scores = scores_of(c_2, b, scale, kind)
            values = values_of(scores, seen, normaliser_2, kind)
            weight_rows += tl.sum(values * grad_values, axis=1)
            grad_c_2 += dot(
                _score_gradients(grad_values, scores, values, seen, delta_2, kind).to(b.dtype), b
            )
    store_rows(grad_c_pointer + place * width, rows, column, length, width, width, grad_c * scale)
    if copies == 2:
        weight = tl.load(weight_pointer).to(tl.float32)
        second = grad_c_pointer + place_2 * width
        grad_c_2 *= -weight * scale
        store_rows(second, rows, column, length, width, width, grad_c_2)
        place = tl.cast(batch * heads + head, tl.int64) * length
        tl.store(weight_rows_pointer + place + rows, weight_rows, mask=rows < length)


@triton.jit
def key_gradient_kernel(
    grad_pointer, c_pointer, b_pointer, v_pointer, weight_pointer, normaliser_pointer,
    delta_pointer,
    grad_b_pointer, grad_v_pointer,
    grad_batch, grad_head, grad_row, c_batch, c_head, c_row, b_batch, b_head, b_row, v_batch,
    v_head, v_row,
    heads, groups, length, total, width, value_width, window, scale,
    kind: tl.constexpr, copies: tl.constexpr, banded: tl.constexpr,
    block_rows: tl.constexpr, block_keys: tl.constexpr, block_width: tl.constexpr,
    block_value: tl.constexpr,
):  # fmt: skip
    """Gradients of B and V, one tile of keys over the queries that see them."""
    at = tl.program_id(1) * block_keys
    batch, group = tl.program_id(0) // groups, tl.program_id(0) % groups
    repeats, offset = heads // groups, total - length
    keys = at + tl.arange(0, block_keys)
    column, value_column = tl.arange(0, block_width), tl.arange(0, block_value)
    v_base = head_pointer(v_pointer, batch, group, v_batch, v_head)
    b_base = head_pointer(b_pointer, batch, group, b_batch, b_head)
    v = load_rows(v_base, keys, value_column, total, value_width, v_row)
    b = load_rows(b_base, keys, column, total, width, b_row)
    grad_v = tl.zeros((block_keys, block_value), tl.float32)
    grad_b = tl.zeros((block_keys, block_width), tl.float32)
    if copies == 2:
        weight = tl.load(weight_pointer).to(tl.float32)
        b_base_2 = head_pointer(b_pointer, batch, group + groups, b_batch, b_head)
        b_2 = load_rows(b_base_2, keys, column, total, width, b_row)
        grad_b_2 = tl.zeros((block_keys, block_width), tl.float32)
    first = tl.maximum(0, at - offset) // block_rows * block_rows
    last = length
    if banded:
        last = tl.minimum(length, at + block_keys + window - 1 - offset)
    for head in range(group * repeats, (group + 1) * repeats):
        c_base = head_pointer(c_pointer, batch, head, c_batch, c_head)
        grad_base = head_pointer(grad_pointer, batch, head, grad_batch, grad_head)
        place = tl.cast(batch * copies * heads + head, tl.int64) * length
        for start in range(first, last, block_rows):
            rows = start + tl.arange(0, block_rows)
            position = rows + offset
            seen = visible_keys(position, keys, window, banded)
            grad = load_rows(grad_base, rows, value_column, length, value_width, grad_row)
            row_scale = row_scale_of(position, window, kind, banded)
            c = load_rows(c_base, rows, column, length, width, c_row)
            normaliser, delta = row_scale, row_scale
            if kind == SOFTMAX:
                normaliser = tl.load(
                    normaliser_pointer + place + rows, mask=rows < length, other=0.0
                )
                delta = tl.load(delta_pointer + place + rows, mask=rows < length, other=0.0)
            grad_values = dot(grad, tl.trans(v)) * row_scale[:, None]
            scores = scores_of(c, b, scale, kind)
            values = values_of(scores, seen, normaliser, kind)
            grad_scores = _score_gradients(grad_values, scores, values, seen, delta, kind)
            grad_b += dot(tl.trans(grad_scores.to(c.dtype)), c)
            if copies == 2:
                c_base_2 = head_pointer(c_pointer, batch, head + heads, c_batch, c_head)
                c = load_rows(c_base_2, rows, column, length, width, c_row)
                if kind == SOFTMAX:
                    place_2 = place + tl.cast(heads, tl.int64) * length
                    normaliser = tl.load(
                        normaliser_pointer + place_2 + rows, mask=rows < length, other=0.0
                    )
                    delta = tl.load(delta_pointer + place_2 + rows, mask=rows < length, other=0.0)
                scores = scores_of(c, b_2, scale, kind)
                values_2 = values_of(scores, seen, normaliser, kind)
                grad_scores = _score_gradients(grad_values, scores, values_2, seen, delta, kind)
                grad_b_2 += dot(tl.trans(grad_scores.to(c.dtype)), c)
                values -= weight * values_2
            grad_v += dot(tl.trans((values * row_scale[:, None]).to(grad.dtype)), grad)
    place_v = tl.cast(batch * groups + group, tl.int64) * total
    place_b = tl.cast(batch * copies * groups + group, tl.int64) * total
    grad_v_base = grad_v_pointer + place_v * value_width
    store_rows(grad_v_base, keys, value_column, total, value_width, value_width, grad_v)
    store_rows(grad_b_pointer + place_b * width, keys, column, total, width, width, grad_b * scale)
    if copies == 2:
        place_b += tl.cast(groups, tl.int64) * total
        grad_b_2 *= -weight * scale
        store_rows(grad_b_pointer + place_b * width, keys, column, total, width, width, grad_b_2)
