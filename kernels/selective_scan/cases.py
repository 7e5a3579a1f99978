"""Cases of `selective_scan` for certificates, benchmarks and tests."""

import math

import torch
from torch import Tensor

from ..dtypes import wide
from ..harness.operation import Cost, Inputs, Operation, Sizes, normal
from .operator import NAME, selective_scan_from
from .reference import selective_scan_reference

LEAST_STEP, LARGEST_STEP = 0.001, 0.1  # Mamba's initial range
# For each step, channel and state; backward computes forward's again.
OPERATIONS_FORWARD, OPERATIONS_BACKWARD = 7, 21
ATTENTION = "scaled_dot_product_attention, another function of the same size"


def _inputs(
    sizes: Sizes, dtype: torch.dtype, device: torch.device, generator: torch.Generator
) -> Inputs:
    batch, length, width, state = (sizes[name] for name in ("batch", "length", "width", "state"))

    def draw(*shape: int, scale: float = 1.0) -> Tensor:
        return normal(shape, dtype, device, generator, scale)

    uniform = torch.rand(batch, length, width, generator=generator, device=generator.device)
    step = LEAST_STEP * torch.exp(uniform * math.log(LARGEST_STEP / LEAST_STEP))
    return {
        "v": draw(batch, length, width),
        "step": step.to(device, dtype),
        "rate": -torch.arange(1, state + 1, device=device).expand(width, state).to(dtype).clone(),
        "b": draw(batch, length, state),
        "c": draw(batch, length, state),
        "skip": draw(width),
        "gate": draw(batch, length, width),
        "state": draw(batch, width, state),
    }


def _cost(sizes: Sizes, dtype: torch.dtype) -> Cost:
    batch, length, width, state = (sizes[name] for name in ("batch", "length", "width", "state"))
    elements, narrow = batch * length * width, batch * length * state
    weights, kept = width * state + width, batch * width * state * wide(dtype).itemsize
    # v, step, gate; b, c; rate, skip; the initial state
    inputs = (3 * elements + 2 * narrow + weights + batch * width * state) * dtype.itemsize
    forward = inputs + elements * dtype.itemsize + kept
    # The inputs read again, their gradients written, and the gradients of the outputs read.
    backward = 2 * inputs + elements * dtype.itemsize + kept
    work = elements * state
    return Cost(
        forward_bytes=forward,
        both_bytes=forward + backward,
        forward_flops=OPERATIONS_FORWARD * work,
        both_flops=(OPERATIONS_FORWARD + OPERATIONS_BACKWARD) * work,
    )


def _sizes(batch: int, length: int, width: int, state: int) -> Sizes:
    return {"batch": batch, "length": length, "width": width, "state": state}


def _decays_and_inputs(v: Tensor, step: Tensor, rate: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """exp(step * rate) and step b v, each (batch, length, channels, state), in float32 or wider."""
    dtype = torch.promote_types(v.dtype, torch.float32)
    v, step, rate, b = (tensor.to(dtype) for tensor in (v, step, rate, b))
    return torch.exp(step[..., None] * rate), (step * v)[..., None] * b[:, :, None, :]


def _read_out(
    states: Tensor, v: Tensor, c: Tensor, skip: Tensor | None, gate: Tensor | None
) -> tuple[Tensor, Tensor]:
    """y and the last state from all states (batch, length, channels, state)."""
    y = (states @ c.to(states.dtype)[..., None])[..., 0]
    if skip is not None:
        y = y + skip * v
    if gate is not None:
        y = y * gate
    return y.to(v.dtype), states[:, -1]


def log_step_scan(
    v: Tensor,
    step: Tensor,
    rate: Tensor,
    b: Tensor,
    c: Tensor,
    skip: Tensor | None = None,
    gate: Tensor | None = None,
    state: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
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
    v: Tensor,
    step: Tensor,
    rate: Tensor,
    b: Tensor,
    c: Tensor,
    skip: Tensor | None = None,
    gate: Tensor | None = None,
    state: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
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
    v: Tensor,
    step: Tensor,
    rate: Tensor,
    b: Tensor,
    c: Tensor,
    skip: Tensor | None = None,
    gate: Tensor | None = None,
    state: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The CUDA kernel of the package mamba-ssm: ImportError where it is not installed.

    It takes no initial state: RuntimeError for one that is not zero. It gates with silu(z), so the
    gate is multiplied in afterwards; it has no backward for the last state.
    """
    from mamba_ssm.ops.selective_scan_interface import (  # pyright: ignore[reportMissingImports]
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


def attention_yardstick(v: Tensor, step: Tensor, gate: Tensor, **others: Tensor) -> tuple[Tensor]:
    """Causal softmax attention with four heads on tensors of the same size: what token mixing costs
    otherwise."""
    q, k, w = (
        x.to(v.dtype).unflatten(-1, (4, -1)).transpose(1, 2).contiguous() for x in (v, step, gate)
    )
    return (torch.nn.functional.scaled_dot_product_attention(q, k, w, is_causal=True),)


SELECTIVE_SCAN = Operation(
    name=NAME,
    run=selective_scan_from,
    reference=selective_scan_reference,
    inputs=_inputs,
    interpreter=[_sizes(1, 1, 1, 1), _sizes(1, 9, 3, 2), _sizes(1, 6, 2, 3), _sizes(2, 33, 34, 16)],
    quick=[_sizes(1, 1, 64, 16), _sizes(2, 257, 96, 16), _sizes(2, 257, 96, 2)],
    full=[
        _sizes(1, 1, 64, 16),
        _sizes(2, 257, 96, 16),
        _sizes(2, 257, 96, 2),
        _sizes(3, 130, 70, 5),
        _sizes(2, 200, 65, 64),
        _sizes(4, 1024, 512, 16),
    ],
    bench=[_sizes(8, 256, 64, 16), _sizes(8, 4096, 2048, 16), _sizes(8, 4096, 2048, 2)],
    cpu=[_sizes(8, 128, 64, 16), _sizes(8, 256, 64, 2), _sizes(8, 256, 64, 16)],
    cost=_cost,
    peers={
        "log-step scan": log_step_scan,
        "Hugging Face slow path": hugging_face_slow,
        "mamba-ssm": mamba_ssm,
        ATTENTION: attention_yardstick,
    },
)
