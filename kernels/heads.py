"""What attention by heads shares: checks of C, B and V, which a step of generation can afford, and
what a causal query sees."""

import torch
from torch import Tensor

from .checks import DTYPES, check_inputs
from .dispatch import TORCH, TRITON, choose
from .dtypes import widest
from .tables import kept_table

WIDEST_HEAD = 256  # that the Triton kernels hold in one tile; half of it in float32


def check_heads(name: str, c: Tensor, b: Tensor, v: Tensor) -> None:
    """Raises ValueError unless C (batch, heads, length, width), B and V (batch, groups, total, ...)
    fit each other."""
    if _fit(c, b, v, 1):
        return
    _check_axes(name, c, b, v)
    batch, groups, total, _ = v.shape
    shapes = {"c": (c, (batch, *c.shape[1:])), "b": (b, (batch, groups, total, c.shape[-1]))}
    check_inputs(name, {"v": (v, v.shape), **shapes})
    if min(c.numel(), v.numel()) == 0:
        raise ValueError(f"{name}: c or v is empty, expected every axis to be at least 1")
    if c.shape[1] % groups:
        raise ValueError(
            f"{name}: c has {c.shape[1]} heads, expected a multiple of the {groups} of b and v"
        )


def check_pair(name: str, c: Tensor, b: Tensor, v: Tensor, weight: Tensor) -> None:
    """Raises ValueError unless C and B hold two operators for V, and the weight is a scalar."""
    scalar = weight.dim() == 0 and weight.device == v.device and weight.dtype in DTYPES
    if scalar and _fit(c, b, v, 2):
        return
    check_inputs(name, {"v": (v, v.shape), "weight": (weight, ())})
    _check_axes(name, c, b, v)
    if b.shape[1] != 2 * v.shape[1] or c.shape[1] % b.shape[1]:
        raise ValueError(
            f"{name}: c, b and v have {c.shape[1]}, {b.shape[1]} and {v.shape[1]} heads, expected "
            f"those of b to be twice those of v, and those of c a multiple of those of b"
        )
    check_heads(name, c[:, : c.shape[1] // 2], b[:, : v.shape[1]], v)


def _check_axes(name: str, c: Tensor, b: Tensor, v: Tensor) -> None:
    for argument, x in (("c", c), ("b", b), ("v", v)):
        if x.dim() != 4:
            raise ValueError(f"{name}: {argument} has shape {tuple(x.shape)}, expected 4 axes")


def _fit(c: Tensor, b: Tensor, v: Tensor, copies: int) -> bool:
    """Whether everything is as it should be; what is not, `check_inputs` says."""
    of_c, of_b, of_v = c.shape, b.shape, v.shape
    return (
        len(of_c) == len(of_b) == len(of_v) == 4
        and of_c[0] == of_b[0] == of_v[0]
        and of_b[1] == copies * of_v[1]
        and min(of_c) > 0
        and min(of_v) > 0
        and of_c[1] % of_b[1] == 0
        and of_b[2] == of_v[2]
        and of_c[3] == of_b[3]
        and c.device == b.device == v.device
        and c.dtype in DTYPES
        and b.dtype in DTYPES
        and v.dtype in DTYPES
    )


def implementation(operation: str, c: Tensor, b: Tensor, v: Tensor) -> str:
    """What `choose` says, but PyTorch for float64 and for heads too wide for the kernels."""
    chosen = choose(operation, v)
    if chosen != TRITON:
        return chosen
    double = widest(c, b, v) == torch.float64
    limit = WIDEST_HEAD // 2 if torch.float32 in (c.dtype, b.dtype, v.dtype) else WIDEST_HEAD
    return TORCH if double or max(c.shape[-1], v.shape[-1]) > limit else chosen


def visible(length: int, total: int, window: int | None, device: torch.device) -> Tensor:
    """Boolean (length, total): which of `total` positions each of the last `length` sees."""
    queries = torch.arange(total - length, total, device=device)[:, None]
    distance = queries - torch.arange(total, device=device)
    return distance >= 0 if window is None else (distance >= 0) & (distance < window)


@kept_table(64)
def mask(
    rows: int,
    columns: int,
    window: int | None,
    fill: float,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    """(rows, columns) where the last column is the last row's own position: `fill` where it is
    hidden.

    What is visible holds 1 for a fill of 0, to multiply by, and else 0, to add.
    """
    seen = torch.full((rows, columns), 1.0 if fill == 0 else 0.0, dtype=dtype, device=device)
    return seen.masked_fill(~visible(rows, columns, window, device), fill)


def row_scale(
    length: int,
    total: int,
    window: int | None,
    dtype: torch.dtype,
    device: torch.device,
    factor: float = 1.0,
) -> Tensor:
    """`factor` / sqrt(number of visible positions), (length, 1)."""
    seen = torch.arange(total - length + 1, total + 1, device=device, dtype=dtype)
    return torch.rsqrt(seen if window is None else seen.clamp_(max=window))[:, None] * factor
