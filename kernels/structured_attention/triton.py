# pyright: reportArgumentType=false, reportCallIssue=false, reportIndexIssue=false
"""Attention by structured operators in Triton, tile by tile as in FlashAttention (arXiv
2307.08691), own kernels.

One program makes a tile of outputs (or of gradients of C) and walks over the keys that its queries
see; another kernel makes a tile of gradients of B and V and walks over the queries that see it, for
all heads of the group. The two operators of a differential pair share the loads of V and dY, the
products with them and one program. Softmax keeps the logarithm of its normalisers; the other
nonlinearities need nothing. Sums are in float32 and in the same order in every run.
"""

from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from ..triton_tools import operands, padded
from .cpu import NONLINEARITIES
from .triton_backward import key_gradient_kernel, query_gradient_kernel
from .triton_forward import forward_kernel


class Blocks(NamedTuple):
    """Queries and keys of a tile, and the warps of its program."""

    rows: int
    keys: int
    warps: int


def _blocks(c: Tensor, v: Tensor, total: int, forward: bool) -> Blocks:
    """Chosen for H200, so that the operands of a step fit in shared memory and the sums in
    registers."""
    width = padded(max(c.shape[-1], v.shape[-1]))
    if c.dtype == torch.float32:
        rows, keys = 64 if width <= 64 else 32 if forward else 16, 32
    else:
        rows, keys = (128 if forward and width <= 128 else 64), (64 if width <= 128 else 32)
    warps = 8 if forward or width > 64 or c.dtype == torch.float32 else 4
    return Blocks(min(rows, padded(c.shape[2])), min(keys, padded(total)), warps)


def _options(
    c: Tensor,
    b: Tensor,
    v: Tensor,
    copies: int,
    nonlinearity: str,
    window: int | None,
    blocks: Blocks,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The sizes that every kernel takes, and its compile-time arguments."""
    width, value_width = c.shape[-1], v.shape[-1]
    sizes = (
        c.shape[1] // copies,
        v.shape[1],
        c.shape[2],
        b.shape[2],
        width,
        value_width,
        window or 0,
        width**-0.5,
    )
    constants = {
        "kind": NONLINEARITIES.index(nonlinearity),
        "copies": copies,
        "banded": window is not None,
        "block_rows": blocks.rows,
        "block_keys": blocks.keys,
        "block_width": padded(width),
        "block_value": padded(value_width),
        "num_warps": blocks.warps,
        "num_stages": 2,
    }
    return sizes, constants


def forward(
    c: Tensor, b: Tensor, v: Tensor, weight: Tensor | None, nonlinearity: str, window: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The output, T2 V and the logarithms of the normalisers; the latter two are empty where
    backward needs none."""
    copies, dtype, (c, b, v) = 1 if weight is None else 2, v.dtype, operands(c, b, v)
    batch, heads, length = c.shape[0], c.shape[1] // copies, c.shape[2]
    softmax = nonlinearity == "softmax"
    y = torch.empty(batch, heads, length, v.shape[-1], dtype=dtype, device=v.device)
    second = torch.empty_like(y) if softmax and copies == 2 else y.new_empty(0)
    normaliser = (
        torch.empty(c.shape[:3], dtype=torch.float32, device=v.device)
        if softmax
        else y.new_empty(0)
    )
    blocks = _blocks(c, v, b.shape[2], forward=True)
    sizes, constants = _options(c, b, v, copies, nonlinearity, window, blocks)
    strides = (*c.stride()[:3], *b.stride()[:3], *v.stride()[:3])
    grid = (batch * heads, triton.cdiv(length, blocks.rows))
    arguments = (c, b, v, v if weight is None else weight, y, second, normaliser, *strides, *sizes)
    forward_kernel[grid](*arguments, **constants)
    return y, second, normaliser


def backward(
    grad: Tensor,
    c: Tensor,
    b: Tensor,
    v: Tensor,
    weight: Tensor | None,
    y: Tensor,
    second: Tensor,
    normaliser: Tensor,
    nonlinearity: str,
    window: int | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of C, B, V and the weight, an empty one for no weight."""
    copies, given, (grad, c, b, v) = 1 if weight is None else 2, (c, b, v), operands(grad, c, b, v)
    delta = _deltas(grad, y, second, weight) if nonlinearity == "softmax" else normaliser
    gradients = [torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in given]
    batch, heads, length = c.shape[0], c.shape[1] // copies, c.shape[2]
    weight_rows = torch.empty(
        batch, heads, length if copies == 2 else 0, dtype=torch.float32, device=v.device
    )
    blocks = _blocks(c, v, b.shape[2], forward=False)
    sizes, constants = _options(c, b, v, copies, nonlinearity, window, blocks)
    strides = [stride for x in (grad, c, b, v) for stride in x.stride()[:3]]
    inputs = (grad, c, b, v, v if weight is None else weight, normaliser, delta)
    grad_c, grad_b, grad_v = gradients
    grid = (batch * heads, triton.cdiv(length, blocks.rows))
    query_gradient_kernel[grid](*inputs, grad_c, weight_rows, *strides, *sizes, **constants)
    grid = (batch * v.shape[1], triton.cdiv(b.shape[2], blocks.keys))
    key_gradient_kernel[grid](*inputs, grad_b, grad_v, *strides, *sizes, **constants)
    grad_weight = v.new_empty(0) if weight is None else -weight_rows.sum().to(weight.dtype)
    return grad_c, grad_b, grad_v, grad_weight


def _deltas(grad: Tensor, y: Tensor, second: Tensor, weight: Tensor | None) -> Tensor:
    """dY . T V of every operator and row, which softmax's gradient takes off; (batch, copies x
    heads, length)."""
    grad = grad.float()
    first = (grad * y).sum(dim=-1)
    if weight is None:
        return first
    other = (grad * second).sum(dim=-1)
    return torch.cat([first + weight.float() * other, other], dim=1)
