"""The forward kernel of attention by structured operators."""

# pyright: reportPossiblyUnboundVariable=false, reportOperatorIssue=false
# A compile-time condition that uses a name is the one that set it.

import triton
import triton.language as tl

from ..triton_tools import dot, head_pointer, load_rows, store_rows
from .triton_scores import SOFTMAX, row_scale_of, scores_of, values_of, visible_keys

# Below any score, yet finite: a row that has seen nothing yet would make NaN of -inf - -inf.
LOWEST = tl.constexpr(-1e30)


@triton.jit
def _online(scores, seen, v, highest, weight_sum, result):
    """One step of a softmax that is normalised at the end."""
    scores = tl.where(seen, scores, float("-inf"))
    higher = tl.maximum(highest, tl.max(scores, axis=1))
    values, shrink = tl.exp2(scores - higher[:, None]), tl.exp2(highest - higher)
    weight_sum = weight_sum * shrink + tl.sum(values, axis=1)
    return higher, weight_sum, result * shrink[:, None] + dot(values.to(v.dtype), v)


@triton.jit
def forward_kernel(
    c_pointer, b_pointer, v_pointer, weight_pointer, y_pointer, second_pointer, normaliser_pointer,
    c_batch, c_head, c_row, b_batch, b_head, b_row, v_batch, v_head, v_row,
    heads, groups, length, total, width, value_width, window, scale,
    kind: tl.constexpr, copies: tl.constexpr, banded: tl.constexpr,
    block_rows: tl.constexpr, block_keys: tl.constexpr, block_width: tl.constexpr,
    block_value: tl.constexpr,
):  # fmt: skip
    """One tile of outputs, over the keys that its queries see."""
    # The tiles with most keys first, so that none of them is left to run alone at the end.
    start = (tl.num_programs(1) - 1 - tl.program_id(1)) * block_rows
    batch, head = tl.program_id(0) // heads, tl.program_id(0) % heads
    group = head // (heads // groups)
    rows = start + tl.arange(0, block_rows)
    position = rows + total - length
    column, value_column = tl.arange(0, block_width), tl.arange(0, block_value)
    c_base = head_pointer(c_pointer, batch, head, c_batch, c_head)
    b_base = head_pointer(b_pointer, batch, group, b_batch, b_head)
    v_base = head_pointer(v_pointer, batch, group, v_batch, v_head)
    c = load_rows(c_base, rows, column, length, width, c_row)
    result = tl.zeros((block_rows, block_value), tl.float32)
    highest = tl.full((block_rows,), LOWEST, tl.float32)
    weight_sum = tl.zeros((block_rows,), tl.float32)
    if copies == 2:
        weight = tl.load(weight_pointer).to(tl.float32)
        c_base_2 = head_pointer(c_pointer, batch, head + heads, c_batch, c_head)
        c_2 = load_rows(c_base_2, rows, column, length, width, c_row)
        b_base_2 = head_pointer(b_pointer, batch, group + groups, b_batch, b_head)
        if kind == SOFTMAX:
            result_2, highest_2, weight_sum_2 = result, highest, weight_sum
    first = 0
    if banded:
        first = tl.maximum(0, start + total - length + 1 - window) // block_keys * block_keys
    last = tl.minimum(total, start + block_rows + total - length)
    for at in range(first, last, block_keys):
        keys = at + tl.arange(0, block_keys)
        seen = visible_keys(position, keys, window, banded)
        v = load_rows(v_base, keys, value_column, total, value_width, v_row)
        b = load_rows(b_base, keys, column, total, width, b_row)
        scores = scores_of(c, b, scale, kind)
        if copies == 2:
            b_2 = load_rows(b_base_2, keys, column, total, width, b_row)
            scores_2 = scores_of(c_2, b_2, scale, kind)
        if kind == SOFTMAX:
            highest, weight_sum, result = _online(scores, seen, v, highest, weight_sum, result)
            if copies == 2:
                highest_2, weight_sum_2, result_2 = _online(
                    scores_2, seen, v, highest_2, weight_sum_2, result_2
                )
        else:
            values = values_of(scores, seen, highest, kind)
            if copies == 2:
                values -= weight * values_of(scores_2, seen, highest, kind)
            result += dot(values.to(v.dtype), v)
    place = tl.cast(batch * heads + head, tl.int64) * length
    if kind == SOFTMAX:
        place_1 = tl.cast(batch * copies * heads + head, tl.int64) * length
        normaliser = highest + tl.log2(weight_sum)
        tl.store(normaliser_pointer + place_1 + rows, normaliser, mask=rows < length)
        result = result / weight_sum[:, None]
        if copies == 2:
            place_2 = place_1 + tl.cast(heads, tl.int64) * length
            normaliser_2 = highest_2 + tl.log2(weight_sum_2)
            tl.store(normaliser_pointer + place_2 + rows, normaliser_2, mask=rows < length)
            result_2 = result_2 / weight_sum_2[:, None]
            second = second_pointer + place * value_width
            store_rows(second, rows, value_column, length, value_width, value_width, result_2)
            result -= weight * result_2
    else:
        result *= row_scale_of(position, window, kind, banded)[:, None]
    y = y_pointer + place * value_width
    store_rows(y, rows, value_column, length, value_width, value_width, result)
