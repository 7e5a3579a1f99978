"""The selective scan compiled for the CPU by numba, for float32; the optional extra `cpu` installs
it.

One pass over the length: states stay in the first-level cache, the innermost loops run over
channels and become vector instructions, exponentials included. Several threads share out the batch.
Importing this raises ImportError without numba. Machine code is kept on disk beside this file, or
in the user's cache folder.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numba  # pyright: ignore[reportMissingImports]
import numpy as np
import torch
from torch import Tensor

from .cpu import block_length, first_boundary

LEAST_ELEMENTS_PER_THREAD = 1 << 18  # below, starting threads takes longer than it saves
# No assumption that values are finite: a diverged training must show its NaN.
FAST = {"contract", "reassoc", "nsz", "arcp"}


@numba.njit(inline="always", fastmath=FAST)
def _exp(x):
    """exp in float32, exact to 2 units in the last place, clamped to the normal range; NaN stays
    NaN."""
    x = np.float32(-87.0) if x < np.float32(-87.0) else x
    x = np.float32(88.0) if x > np.float32(88.0) else x
    whole = np.floor(x * np.float32(1.4426950408889634) + np.float32(0.5))
    # ln 2 in two parts, so that the remainder is exact
    r = x - whole * np.float32(0.693359375) + whole * np.float32(2.12194440e-4)
    p = np.float32(1 / 5040) * r + np.float32(1 / 720)
    p = p * r + np.float32(1 / 120)
    p = p * r + np.float32(1 / 24)
    p = p * r + np.float32(1 / 6)
    p = p * r + np.float32(0.5)
    p = p * r * r + r + np.float32(1)
    whole = whole if whole > np.float32(-127) else np.float32(-127)  # NaN too: it has no integer
    return p * np.int32((np.int32(whole) + np.int32(127)) << 23).view(np.float32)


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _forward(first, end, block, x, step, rate, b, c, y, boundaries):
    """Batch rows first..end; boundaries (boundaries, batch, state, channels), rate (state,
    channels)."""
    length, channels = x.shape[1:]
    states = rate.shape[0]
    h = np.empty((states, channels), np.float32)
    for row in range(first, end):
        h[:] = boundaries[0, row]
        for t in range(length):
            for k in range(channels):
                y[row, t, k] = 0
            for n in range(states):
                b_n, c_n = b[row, t, n], c[row, t, n]
                for k in range(channels):
                    h[n, k] = _exp(step[row, t, k] * rate[n, k]) * h[n, k] + x[row, t, k] * b_n
                    y[row, t, k] += c_n * h[n, k]
            if (t + 1) % block == 0 or t + 1 == length:
                boundaries[t // block + 1, row] = h


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _backward(
    first,
    end,
    block,
    grad_y,
    x,
    step,
    rate,
    b,
    c,
    boundaries,
    carry,
    grad_x,
    grad_step,
    grad_rate,
    grad_b,
    grad_c,
    y,
):
    """The same rows backward; carry and grad_rate (batch, state, channels) and all other gradients
    are written."""
    length, channels = x.shape[1:]
    states = rate.shape[0]
    h = np.empty((block + 1, states, channels), np.float32)
    decay = np.empty((block, states, channels), np.float32)
    for row in range(first, end):
        for number in range(len(boundaries) - 2, -1, -1):
            low = number * block
            size = min(block, length - low)
            h[0] = boundaries[number, row]
            for t in range(size):
                for n in range(states):
                    b_n = b[row, low + t, n]
                    for k in range(channels):
                        decay[t, n, k] = _exp(step[row, low + t, k] * rate[n, k])
                        h[t + 1, n, k] = decay[t, n, k] * h[t, n, k] + x[row, low + t, k] * b_n
            for t in range(size - 1, -1, -1):
                now = low + t
                for k in range(channels):
                    grad_x[row, now, k] = 0
                    grad_step[row, now, k] = 0
                    y[row, now, k] = 0
                for n in range(states):
                    b_n, c_n = b[row, now, n], c[row, now, n]
                    sum_b, sum_c = np.float32(0), np.float32(0)
                    for k in range(channels):
                        grad_h = carry[row, n, k] + grad_y[row, now, k] * c_n
                        sum_b += grad_h * x[row, now, k]
                        sum_c += grad_y[row, now, k] * h[t + 1, n, k]
                        y[row, now, k] += c_n * h[t + 1, n, k]
                        grad_x[row, now, k] += grad_h * b_n
                        before = grad_h * decay[t, n, k]
                        exponent = before * h[t, n, k]
                        grad_step[row, now, k] += exponent * rate[n, k]
                        grad_rate[row, n, k] += exponent * step[row, now, k]
                        carry[row, n, k] = before
                    grad_b[row, now, n] = sum_b
                    grad_c[row, now, n] = sum_c


def _run(kernel: Callable[..., None], rate: Tensor, x: Tensor, *tensors: Tensor) -> None:
    """Share the batch rows out to as many threads as PyTorch may use."""
    arrays = [tensor.detach().numpy() for tensor in tensors]
    batch = x.shape[0]
    threads = max(
        1,
        min(batch, torch.get_num_threads(), x.numel() * rate.shape[1] // LEAST_ELEMENTS_PER_THREAD),
    )
    limits = [batch * number // threads for number in range(threads + 1)]
    block = block_length(rate.shape[1])
    if threads == 1:
        return kernel(0, batch, block, *arrays)
    with ThreadPoolExecutor(threads) as pool:
        for job in [pool.submit(kernel, *rows, block, *arrays) for rows in pairwise(limits)]:
            job.result()


def forward(
    v: Tensor, step: Tensor, rate: Tensor, b: Tensor, c: Tensor, h: Tensor | None
) -> tuple[Tensor, Tensor]:
    """As `cpu.forward`, in float32."""
    x, y = (step * v).contiguous(), v.new_empty(v.shape)
    boundaries = first_boundary(v, rate, h)
    inputs = (step.contiguous(), rate.t().contiguous(), b.contiguous(), c.contiguous())
    _run(_forward, rate, x, x, *inputs, y, boundaries)
    return y, boundaries


def backward(
    grad_y: Tensor,
    grad_last: Tensor | None,
    v: Tensor,
    step: Tensor,
    rate: Tensor,
    b: Tensor,
    c: Tensor,
    boundaries: Tensor,
    want_y: bool,
) -> tuple[Tensor, ...]:
    """As `cpu.backward`, in float32."""
    x = (step * v).contiguous()
    inputs = (step.contiguous(), rate.t().contiguous(), b.contiguous(), c.contiguous())
    carry = torch.zeros_like(boundaries[0])
    if grad_last is not None:
        carry += grad_last.transpose(1, 2)
    grad_x, grad_step, y = (torch.empty_like(x) for _ in range(3))
    grad_b, grad_c = torch.empty_like(inputs[2]), torch.empty_like(inputs[3])
    grad_rate = torch.zeros_like(carry)
    outputs = (carry, grad_x, grad_step, grad_rate, grad_b, grad_c, y)
    _run(_backward, rate, x, grad_y.contiguous(), x, *inputs, boundaries, *outputs)
    grad_step.addcmul_(grad_x, v)
    grads = (grad_x.mul_(step), grad_step, grad_rate.sum(0).t().contiguous(), grad_b, grad_c)
    return (*grads, carry.transpose(1, 2).contiguous(), y if want_y else y.new_empty(0))
