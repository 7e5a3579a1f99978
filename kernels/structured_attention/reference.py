"""Attention by structured operators as its definition: every score in one matrix."""

import torch
from torch import Tensor


def _widest(*tensors: Tensor) -> torch.dtype:
    """The dtype to compute in: float32, or float64 where one of the tensors has it."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype


def _visible(length: int, total: int, window: int | None, device: torch.device) -> Tensor:
    """Boolean (length, total): which of `total` positions each of the last `length` sees."""
    ones = torch.ones(length, total, dtype=torch.bool, device=device)
    causal = ones.tril(total - length)
    return causal if window is None else causal & ones.triu(total - length + 1 - window)


def _operators(c: Tensor, b: Tensor, nonlinearity: str, window: int | None) -> Tensor:
    """T itself, (batch, heads, length, total), scaled by the number of visible positions unless
    softmax is."""
    scores = (
        c
        @ b.repeat_interleave(c.shape[1] // b.shape[1], dim=1).transpose(-1, -2)
        * c.shape[-1] ** -0.5
    )
    seen = _visible(c.shape[2], b.shape[2], window, c.device)
    if nonlinearity == "softmax":
        return torch.softmax(scores.masked_fill(~seen, float("-inf")), dim=-1)
    if nonlinearity != "none":
        scores = torch.relu(scores) if nonlinearity == "relu" else scores * torch.sigmoid(scores)
    return scores.masked_fill(~seen, 0) * seen.sum(dim=1, keepdim=True).to(scores.dtype).rsqrt()


def structured_attention_reference(
    c: Tensor, b: Tensor, v: Tensor, nonlinearity: str, window: int | None = None
) -> Tensor:
    """Shapes and dtype as `structured_attention`."""
    dtype = _widest(c, b, v)
    operators = _operators(c.to(dtype), b.to(dtype), nonlinearity, window)
    return (operators @ v.to(dtype).repeat_interleave(c.shape[1] // v.shape[1], dim=1)).to(v.dtype)


def differential_attention_reference(
    c: Tensor, b: Tensor, v: Tensor, weight: Tensor, nonlinearity: str, window: int | None = None
) -> Tensor:
    """Shapes and dtype as `differential_attention`."""
    dtype = _widest(c, b, v)
    first, second = _operators(c.to(dtype), b.to(dtype), nonlinearity, window).chunk(2, dim=1)
    operators = first - weight.to(dtype) * second
    return (operators @ v.to(dtype).repeat_interleave(operators.shape[1] // v.shape[1], dim=1)).to(
        v.dtype
    )
