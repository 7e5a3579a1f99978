"""Cases of `selective_scan` for certificates, benchmarks and tests."""

import math

import torch

from ..checks import wide
from ..operation import Cost, Inputs, Operation, Sizes, normal
from . import NAME, selective_scan_from
from .peers import ATTENTION, attention_yardstick, hugging_face_slow, log_step_scan, mamba_ssm
from .reference import selective_scan_reference

LEAST_STEP, LARGEST_STEP = 0.001, 0.1  # Mamba's initial range
OPERATIONS_FORWARD, OPERATIONS_BACKWARD = (
    7,
    21,
)  # for each step, channel and state; backward computes it again


def _inputs(
    sizes: Sizes, dtype: torch.dtype, device: torch.device, generator: torch.Generator
) -> Inputs:
    batch, length, width, state = (sizes[name] for name in ("batch", "length", "width", "state"))

    def draw(*shape: int, scale: float = 1.0) -> torch.Tensor:
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
    backward = (
        2 * inputs + elements * dtype.itemsize + kept
    )  # read again and their gradients, and those of the outputs
    work = elements * state
    return Cost(
        forward_bytes=forward,
        both_bytes=forward + backward,
        forward_flops=OPERATIONS_FORWARD * work,
        both_flops=(OPERATIONS_FORWARD + OPERATIONS_BACKWARD) * work,
    )


def _sizes(batch: int, length: int, width: int, state: int) -> Sizes:
    return {"batch": batch, "length": length, "width": width, "state": state}


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
