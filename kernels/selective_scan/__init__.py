"""Selective scan: the semi-separable operator of Mamba (arXiv 2312.00752, equations 2 and 3), discretised."""

import torch

from .blocked import BlockedSelectiveScan, run_blocks


def selective_scan(
    v: torch.Tensor, step: torch.Tensor, rate: torch.Tensor, b: torch.Tensor, c: torch.Tensor
) -> torch.Tensor:
    """Run `h_t = exp(step_t * rate) h_(t-1) + step_t b_t v_t`, `y_t = c_t . h_t`, from a zero state.

    v, step: (batch, length, channels), step positive. rate: (channels, state), negative. b, c: (batch, length,
    state), shared over channels. Returns y (batch, length, channels) in the dtype of v; states are held in
    float32 or wider. Forward and backward go block by block over the length and keep one state per block, so
    memory grows with length x channels, not x state. Raises ValueError for shapes that do not fit together.
    """
    tensors = _checked(v, step, rate, b, c)
    with torch.autocast(v.device.type, enabled=False):
        y: torch.Tensor = BlockedSelectiveScan.apply(*tensors)  # type: ignore[assignment]
    return y.to(v.dtype)


def continue_selective_scan(
    state: torch.Tensor, v: torch.Tensor, step: torch.Tensor, rate: torch.Tensor, b: torch.Tensor, c: torch.Tensor
) -> torch.Tensor:
    """The same from a given state (batch, channels, state), which the last one replaces in place; for generation.

    One position takes constant time and memory. Not differentiable. Errors as `selective_scan`.
    """
    v32, step, rate, b, c = _checked(v, step, rate, b, c)
    with torch.autocast(v.device.type, enabled=False):
        y, last, _ = run_blocks(state.to(v32.dtype), v32, step, rate, b, c)
    state.copy_(last)
    return y.to(v.dtype)


def _checked(
    v: torch.Tensor, step: torch.Tensor, rate: torch.Tensor, b: torch.Tensor, c: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """The inputs in float32 or wider. Raises ValueError for shapes that do not fit together."""
    batch, length, channels = v.shape
    state = rate.shape[-1]
    expected = {
        "step": (step, (batch, length, channels)),
        "rate": (rate, (channels, state)),
        "b": (b, (batch, length, state)),
        "c": (c, (batch, length, state)),
    }
    for name, (tensor, shape) in expected.items():
        if tuple(tensor.shape) != shape:
            raise ValueError(f"selective_scan: {name} has shape {tuple(tensor.shape)}, expected {shape}")
    dtype = torch.promote_types(v.dtype, torch.float32)
    return tuple(tensor.to(dtype) for tensor in (v, step, rate, b, c))
