"""Low-rank structures, `y_i = sum_j s(C_i . B_j) V_j`: softmax, ReLU, swish and linear attention,
full or banded.

Without softmax the sum over j is divided by the square root of the number of visible positions,
which keeps the output's scale over the length.
"""

import math
from functools import lru_cache

import torch
from torch.nn import functional as F

from ..dispatch import REFERENCE, TORCH, mode
from .checking import check_heads, check_options, check_pair
from .linear import (
    concatenated,
    differential_linear_attention,
    linear_attention,
    linear_attention_from,
)
from .operators import attend, implementation, operation_name
from .reference import (
    NONLINEARITIES,
    differential_attention_reference,
    structured_attention_reference,
    visible,
)

__all__ = [
    "NONLINEARITIES",
    "differential_attention",
    "differential_linear_attention",
    "linear_attention",
    "structured_attention",
]

# Up to these lengths a mask over all positions is faster on a CPU than tiles of the band.
SHORT = 128


def structured_attention(
    c: torch.Tensor, b: torch.Tensor, v: torch.Tensor, nonlinearity: str, window: int | None = None
) -> torch.Tensor:
    """Causal `y = s(C B^T / sqrt(width)) V`, divided by sqrt(number of visible positions) where s
    is not softmax.

    c: (batch, heads, length, width); b: (batch, groups, total, width); v: (batch, groups, total,
    value width); heads is a multiple of groups and total >= length: C belongs to the last `length`
    of the total positions. nonlinearity: 'softmax' (arXiv 1706.03762), 'none', 'relu' or 'swish'.
    window: positions that each one sees, itself included; None sees all. All floating; products are
    summed in float32 or wider. Returns y (batch, heads, length, value width) in the dtype of v.
    Cost and the memory of backward are length x window with a window. Raises ValueError for shapes,
    devices, dtypes, nonlinearities or windows that do not fit.
    """
    check_heads("structured_attention", c, b, v)
    check_options("structured_attention", c.shape[2], b.shape[2], nonlinearity, window)
    window = None if window is None or window >= b.shape[2] else window  # it hides nothing
    if mode() == REFERENCE:
        return structured_attention_reference(c, b, v, nonlinearity, window)
    if c.shape[2] == 1:
        return _single_position(c, b, v, None, nonlinearity, window)
    chosen = implementation(operation_name(None, nonlinearity), c, b, v)
    if nonlinearity == "softmax" and (
        window is None or (chosen == TORCH and _masks_all(b, window))
    ):
        return _softmax_attention(c, b, v, window)
    if nonlinearity == "none" and window is None:
        return _linear(c, b, v)
    return attend(c, b, v, None, nonlinearity, window)[0]


def differential_attention(
    c: torch.Tensor,
    b: torch.Tensor,
    v: torch.Tensor,
    weight: torch.Tensor,
    nonlinearity: str,
    window: int | None = None,
) -> torch.Tensor:
    """`T1 V - weight * T2 V` for two operators of `structured_attention` over one V (arXiv
    2410.05258).

    c: (batch, 2 * heads, length, width) and b: (batch, 2 * groups, total, width), the first
    operator's heads first; v: (batch, groups, total, value width), which is not copied; weight: a
    scalar tensor. The rest, and what is returned and raised, as for `structured_attention`.
    """
    check_pair("differential_attention", c, b, v, weight)
    check_options("differential_attention", c.shape[2], b.shape[2], nonlinearity, window)
    window = None if window is None or window >= b.shape[2] else window
    if mode() == REFERENCE:
        return differential_attention_reference(c, b, v, weight, nonlinearity, window)
    if c.shape[2] == 1:
        return _single_position(c, b, v, weight, nonlinearity, window)
    chosen = implementation(operation_name(weight, nonlinearity), c, b, v)
    if nonlinearity == "none":
        return structured_attention(*concatenated(c, b, weight), v, nonlinearity, window)
    if nonlinearity == "softmax" and chosen == TORCH and (window is None or _masks_all(b, window)):
        pairs = zip(c.chunk(2, dim=1), b.chunk(2, dim=1), strict=True)
        first, second = (_softmax_attention(*pair, v, window) for pair in pairs)
        return first - (weight * second).to(v.dtype)
    return attend(c, b, v, weight, nonlinearity, window)[0]


def _masks_all(b: torch.Tensor, window: int) -> bool:
    """Whether torch's attention with a mask is faster on a CPU than tiles that skip what the band
    hides."""
    return b.device.type == "cpu" and (b.shape[2] <= SHORT or 2 * window >= b.shape[2])


def _linear(c: torch.Tensor, b: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Without a nonlinearity the positions before those of C enter by their sum alone."""
    earlier = b.shape[2] - c.shape[2]
    if earlier == 0:
        return linear_attention(c, b, v)
    past, b = b.split([earlier, c.shape[2]], dim=2)
    past_v, v = v.split([earlier, c.shape[2]], dim=2)
    dtype = torch.promote_types(torch.float32, v.dtype)
    return linear_attention_from(c, b, v, past.mT.to(dtype) @ past_v.to(dtype), earlier)[0]


@lru_cache(maxsize=16)
def _visible(length: int, total: int, window: int | None, device: torch.device) -> torch.Tensor:
    with torch.inference_mode(False):
        return visible(length, total, window, device)


def _common(*tensors: torch.Tensor) -> list[torch.Tensor]:
    dtype = tensors[0].dtype
    if all(tensor.dtype == dtype for tensor in tensors):
        return list(tensors)
    for tensor in tensors[1:]:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return [tensor.to(dtype) for tensor in tensors]


def _softmax_attention(
    c: torch.Tensor, b: torch.Tensor, v: torch.Tensor, window: int | None
) -> torch.Tensor:
    """Through torch's fused attention. Its fast paths want equal widths, so narrower C and B are
    padded with zeros."""
    scale, result = c.shape[-1] ** -0.5, v.dtype
    length, total = c.shape[2], b.shape[2]
    c, b, v = _common(c, b, v)
    missing = v.shape[-1] - c.shape[-1]
    if missing > 0:
        c, b = F.pad(c, (0, missing)), F.pad(b, (0, missing))
    plain = window is None and length == total
    mask = None if plain else _visible(length, total, window, c.device)
    grouped = c.shape[1] != b.shape[1]
    y = F.scaled_dot_product_attention(
        c, b, v, attn_mask=mask, is_causal=plain, scale=scale, enable_gqa=grouped
    )
    return y.to(result)


def _single_position(
    c: torch.Tensor,
    b: torch.Tensor,
    v: torch.Tensor,
    weight: torch.Tensor | None,
    nonlinearity: str,
    window: int | None,
) -> torch.Tensor:
    """The last position alone: a group's heads take the place of the length, so nothing is
    copied."""
    if window is not None:
        b, v = b[:, :, -window:], v[:, :, -window:]
    result, (c, b, v) = v.dtype, _common(c, b, v)
    batch, heads, _, width = c.shape
    grouped = c.reshape(batch, b.shape[1], -1, width)
    if weight is None and nonlinearity == "softmax" and width == v.shape[-1]:
        y = F.scaled_dot_product_attention(grouped, b, v)
    else:
        scores = torch.matmul(grouped * width**-0.5, b.mT)
        operator = _apply(scores if scores.dtype == torch.float64 else scores.float(), nonlinearity)
        if weight is not None:
            first, second = operator.chunk(2, dim=1)
            heads, operator = heads // 2, first - weight * second
        y = torch.matmul(operator.to(v.dtype), v)
    return y.reshape(batch, heads, 1, v.shape[-1]).to(result)


def _apply(scores: torch.Tensor, nonlinearity: str) -> torch.Tensor:
    """s of the scores of one position that sees all others."""
    if nonlinearity == "softmax":
        return torch.softmax(scores, dim=-1)
    if nonlinearity != "none":
        scores = F.relu(scores) if nonlinearity == "relu" else F.silu(scores)
    return scores / math.sqrt(scores.shape[-1])
