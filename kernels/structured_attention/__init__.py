"""Low-rank structures, `y_i = sum_j s(C_i . B_j) V_j`: softmax, ReLU, swish and linear attention,
full or banded.

Without softmax the sum over j is divided by the square root of the number of visible positions,
which keeps the output's scale over the length.
"""

from torch import Tensor

from ..heads import check_heads, check_pair
from .cpu import NONLINEARITIES
from .operator import differential, plain

__all__ = ["NONLINEARITIES", "differential_attention", "structured_attention"]


def structured_attention(
    c: Tensor, b: Tensor, v: Tensor, nonlinearity: str, window: int | None = None
) -> Tensor:
    """Causal `y = s(C B^T / sqrt(width)) V`, divided by sqrt(number of visible positions) where s
    is not softmax.

    Products are summed in float32 or wider. Cost and the memory of backward are length x window
    with a window. C belongs to the last `length` of the `total` positions, so earlier ones are what
    a generation remembers of B and V.

    Args:
        c: (batch, heads, length, width), any floating dtype, as all others.
        b: (batch, groups, total, width), total at least length, heads a multiple of groups.
        v: (batch, groups, total, value width).
        nonlinearity: s: 'softmax' (arXiv 1706.03762), 'none', 'relu' or 'swish'.
        window: positions that each one sees, itself included; None sees all.

    Returns y (batch, heads, length, value width) in the dtype of v. Raises ValueError for shapes,
    devices, dtypes, nonlinearities or windows that do not fit.
    """
    check_heads("structured_attention", c, b, v)
    _check_options("structured_attention", c.shape[2], b.shape[2], nonlinearity, window)
    return plain(c, b, v, nonlinearity, window)


def differential_attention(
    c: Tensor, b: Tensor, v: Tensor, weight: Tensor, nonlinearity: str, window: int | None = None
) -> Tensor:
    """`T1 V - weight * T2 V` for two operators of `structured_attention` over one V (arXiv
    2410.05258).

    Args:
        c: (batch, 2 * heads, length, width), the first operator's heads first.
        b: (batch, 2 * groups, total, width), the first operator's groups first.
        v: (batch, groups, total, value width), which is not copied.
        weight: a scalar tensor.
        nonlinearity: as for `structured_attention`.
        window: as for `structured_attention`.

    What is returned and raised is as for `structured_attention`.
    """
    check_pair("differential_attention", c, b, v, weight)
    _check_options("differential_attention", c.shape[2], b.shape[2], nonlinearity, window)
    return differential(c, b, v, weight, nonlinearity, window)


def _check_options(
    name: str, length: int, total: int, nonlinearity: str, window: int | None
) -> None:
    if nonlinearity not in NONLINEARITIES:
        raise ValueError(
            f"{name}: nonlinearity is {nonlinearity!r}, expected one of {', '.join(NONLINEARITIES)}"
        )
    if total < length:
        raise ValueError(f"{name}: c has length {length}, expected at most the {total} of b and v")
    if window is not None and window < 1:
        raise ValueError(f"{name}: window is {window}, expected None or at least 1")
