"""Checks of the operands, which a step of generation can afford: the shapes alone where they
fit."""

import torch

from ..checks import DTYPES, check_inputs
from .reference import NONLINEARITIES


def check_heads(name: str, c: torch.Tensor, b: torch.Tensor, v: torch.Tensor) -> None:
    """Raises ValueError unless C (batch, heads, length, width), B and V (batch, groups, total, ...)
    fit each other."""
    if _fit(c, b, v, 1):
        return
    for argument, x in (("c", c), ("b", b), ("v", v)):
        if x.dim() != 4:
            raise ValueError(f"{name}: {argument} has shape {tuple(x.shape)}, expected 4 axes")
    batch, groups, total, _ = v.shape
    shapes = {"c": (c, (batch, *c.shape[1:])), "b": (b, (batch, groups, total, c.shape[-1]))}
    check_inputs(name, {"v": (v, v.shape), **shapes})
    if min(c.numel(), v.numel()) == 0:
        raise ValueError(f"{name}: c or v is empty, expected every axis to be at least 1")
    if c.shape[1] % groups:
        raise ValueError(
            f"{name}: c has {c.shape[1]} heads, expected a multiple of the {groups} of b and v"
        )


def check_pair(
    name: str, c: torch.Tensor, b: torch.Tensor, v: torch.Tensor, weight: torch.Tensor
) -> None:
    """Raises ValueError unless C and B hold two operators for V, and the weight is a scalar."""
    if (
        _fit(c, b, v, 2)
        and weight.dim() == 0
        and weight.device == v.device
        and weight.dtype in DTYPES
    ):
        return
    check_inputs(name, {"v": (v, v.shape), "weight": (weight, ())})
    for argument, x in (("c", c), ("b", b), ("v", v)):
        if x.dim() != 4:
            raise ValueError(f"{name}: {argument} has shape {tuple(x.shape)}, expected 4 axes")
    if b.shape[1] != 2 * v.shape[1] or c.shape[1] % b.shape[1]:
        raise ValueError(
            f"{name}: c, b and v have {c.shape[1]}, {b.shape[1]} and {v.shape[1]} heads, expected "
            f"those of b to be "
            "twice those of v, and those of c a multiple of those of b"
        )
    check_heads(name, c[:, : c.shape[1] // 2], b[:, : v.shape[1]], v)


def check_options(
    name: str, length: int, total: int, nonlinearity: str, window: int | None
) -> None:
    """Raises ValueError for a nonlinearity, a length or a window that does not fit."""
    if nonlinearity not in NONLINEARITIES:
        raise ValueError(
            f"{name}: nonlinearity is {nonlinearity!r}, expected one of {', '.join(NONLINEARITIES)}"
        )
    if total < length:
        raise ValueError(f"{name}: c has length {length}, expected at most the {total} of b and v")
    if window is not None and window < 1:
        raise ValueError(f"{name}: window is {window}, expected None or at least 1")


def _fit(c: torch.Tensor, b: torch.Tensor, v: torch.Tensor, copies: int) -> bool:
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
