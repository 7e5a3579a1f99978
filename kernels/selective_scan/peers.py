"""Other ways to compute the selective scan, to measure against."""

import torch


def _decays_and_inputs(
    v: torch.Tensor, step: torch.Tensor, rate: torch.Tensor, b: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """exp(step * rate) and step b v, each (batch, length, channels, state), in float32 or wider."""
    dtype = torch.promote_types(v.dtype, torch.float32)
    v, step, rate, b = (tensor.to(dtype) for tensor in (v, step, rate, b))
    return torch.exp(step[..., None] * rate), (step * v)[..., None] * b[:, :, None, :]


def _read_out(
    states: torch.Tensor,
    v: torch.Tensor,
    c: torch.Tensor,
    skip: torch.Tensor | None,
    gate: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """y and the last state from all states (batch, length, channels, state)."""
    y = (states @ c.to(states.dtype)[..., None])[..., 0]
    if skip is not None:
        y = y + skip * v
    if gate is not None:
        y = y * gate
    return y.to(v.dtype), states[:, -1]


def log_step_scan(
    v: torch.Tensor,
    step: torch.Tensor,
    rate: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    skip: torch.Tensor | None = None,
    gate: torch.Tensor | None = None,
    state: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The recurrence as a scan of affine maps in log2(length) doublings (Hillis and Steele, 1986),
    under autograd."""
    decay, h = _decays_and_inputs(v, step, rate, b)
    if state is not None:
        h = torch.cat([(h[:, 0] + decay[:, 0] * state)[:, None], h[:, 1:]], dim=1)
    reach = 1
    while reach < h.shape[1]:
        h = torch.cat([h[:, :reach], h[:, reach:] + decay[:, reach:] * h[:, :-reach]], dim=1)
        decay = torch.cat([decay[:, :reach], decay[:, reach:] * decay[:, :-reach]], dim=1)
        reach *= 2
    return _read_out(h, v, c, skip, gate)


def hugging_face_slow(
    v: torch.Tensor,
    step: torch.Tensor,
    rate: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    skip: torch.Tensor | None = None,
    gate: torch.Tensor | None = None,
    state: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """As transformers' Mamba does without its CUDA packages: decays of all steps at once, then one
    step at a time."""
    decay, x = _decays_and_inputs(v, step, rate, b)
    h = torch.zeros_like(x[:, 0]) if state is None else state.to(x.dtype)
    states = []
    for t in range(x.shape[1]):
        h = decay[:, t] * h + x[:, t]
        states.append(h)
    return _read_out(torch.stack(states, dim=1), v, c, skip, gate)


def mamba_ssm(
    v: torch.Tensor,
    step: torch.Tensor,
    rate: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    skip: torch.Tensor | None = None,
    gate: torch.Tensor | None = None,
    state: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The CUDA kernel of the package mamba-ssm: ImportError where it is not installed.

    It takes no initial state: RuntimeError for one that is not zero. It gates with silu(z), so the
    gate is multiplied in afterwards; it has no backward for the last state.
    """
    from mamba_ssm.ops.selective_scan_interface import (  # type: ignore[import-not-found]  # pyright: ignore
        selective_scan_fn,
    )

    if state is not None and state.any():
        raise RuntimeError("mamba-ssm takes no initial state")
    v_last, step_last, b_last, c_last = (
        tensor.transpose(1, 2) for tensor in (v, step.to(v.dtype), b, c)
    )
    wide = None if skip is None else skip.float()
    y, last = selective_scan_fn(
        v_last, step_last, rate.float(), b_last, c_last, D=wide, return_last_state=True
    )
    y = y.transpose(1, 2)
    return y if gate is None else y * gate, last


ATTENTION = "scaled_dot_product_attention, another function of the same size"


def attention_yardstick(
    v: torch.Tensor, step: torch.Tensor, gate: torch.Tensor, **others: torch.Tensor
) -> tuple[torch.Tensor]:
    """Causal softmax attention with four heads on tensors of the same size: what token mixing costs
    otherwise."""
    q, k, w = (
        x.to(v.dtype).unflatten(-1, (4, -1)).transpose(1, 2).contiguous() for x in (v, step, gate)
    )
    return (torch.nn.functional.scaled_dot_product_attention(q, k, w, is_causal=True),)
