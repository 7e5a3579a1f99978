"""Attention by structured operators as its definition: every score in one matrix."""

import torch

from ..checks import wide

NONLINEARITIES = (
    "none",
    "relu",
    "swish",
    "softmax",
)  # of the scores; the index is the code that kernels are given


def widest(*tensors: torch.Tensor) -> torch.dtype:
    """The dtype to compute in: float32, or float64 where one of the tensors has it."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, wide(tensor.dtype))
    return dtype


def visible(length: int, total: int, window: int | None, device: torch.device) -> torch.Tensor:
    """Boolean (length, total): which of `total` positions each of the last `length` sees."""
    ones = torch.ones(length, total, dtype=torch.bool, device=device)
    causal = ones.tril(total - length)
    return causal if window is None else causal & ones.triu(total - length + 1 - window)


def _operators(
    c: torch.Tensor, b: torch.Tensor, nonlinearity: str, window: int | None
) -> torch.Tensor:
    """T itself, (batch, heads, length, total), scaled by the number of visible positions unless
    softmax is."""
    scores = (
        c
        @ b.repeat_interleave(c.shape[1] // b.shape[1], dim=1).transpose(-1, -2)
        * c.shape[-1] ** -0.5
    )
    seen = visible(c.shape[2], b.shape[2], window, c.device)
    if nonlinearity == "softmax":
        return torch.softmax(scores.masked_fill(~seen, float("-inf")), dim=-1)
    if nonlinearity != "none":
        scores = torch.relu(scores) if nonlinearity == "relu" else scores * torch.sigmoid(scores)
    return scores.masked_fill(~seen, 0) * seen.sum(dim=1, keepdim=True).to(scores.dtype).rsqrt()


def structured_attention_reference(
    c: torch.Tensor, b: torch.Tensor, v: torch.Tensor, nonlinearity: str, window: int | None = None
) -> torch.Tensor:
    """Shapes and dtype as `structured_attention`."""
    dtype = widest(c, b, v)
    operators = _operators(c.to(dtype), b.to(dtype), nonlinearity, window)
    return (operators @ v.to(dtype).repeat_interleave(c.shape[1] // v.shape[1], dim=1)).to(v.dtype)


def differential_attention_reference(
    c: torch.Tensor,
    b: torch.Tensor,
    v: torch.Tensor,
    weight: torch.Tensor,
    nonlinearity: str,
    window: int | None = None,
) -> torch.Tensor:
    """Shapes and dtype as `differential_attention`."""
    dtype = widest(c, b, v)
    first, second = _operators(c.to(dtype), b.to(dtype), nonlinearity, window).chunk(2, dim=1)
    operators = first - weight.to(dtype) * second
    return (operators @ v.to(dtype).repeat_interleave(operators.shape[1] // v.shape[1], dim=1)).to(
        v.dtype
    )


def linear_attention_reference(
    c: torch.Tensor,
    b: torch.Tensor,
    v: torch.Tensor,
    state: torch.Tensor | None = None,
    position: int = 0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The output and the final state; shapes and dtypes as `linear_attention`."""
    dtype = widest(c, b, v)
    c, b, values = c.to(dtype), b.to(dtype), v.to(dtype)
    length, repeats = c.shape[2], c.shape[1] // b.shape[1]
    final = b.transpose(-1, -2) @ values
    repeated, values = b.repeat_interleave(repeats, dim=1), values.repeat_interleave(repeats, dim=1)
    y = (c @ repeated.transpose(-1, -2)).tril() @ values
    if state is not None:
        state = state.to(dtype)
        y, final = y + c @ state.repeat_interleave(repeats, dim=1), final + state
    seen = torch.arange(position + 1, position + length + 1, device=c.device, dtype=dtype)[:, None]
    return (y * (c.shape[-1] * seen).rsqrt()).to(v.dtype), final
