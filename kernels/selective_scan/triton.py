# pyright: reportArgumentType=false, reportCallIssue=false, reportIndexIssue=false
"""The selective scan in Triton: one program for each batch row and block of channels, states in
registers.

Time goes step by step, with the next step's values loaded while this one is computed. Forward keeps
the state at every block's boundary; backward computes a block's states again from there into a
scratch that holds one block for each program, and then runs through it in reverse. Sums over
channels go through one partial sum for each block of channels, so that results are the same in
every run. A block of channels is never narrower than the state, so the partial sums take no more
memory than the values do.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .cpu import block_length, first_boundary

LEAST_CHANNELS = 32  # in a program: one warp, each lane with all states of one channel
STATES_PER_WARP = 512


@triton.jit
def _row(pointer, offset, index, mask):
    """One row of a matrix with the given first offset, as float32."""
    return tl.load(pointer + offset + index, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def _forward_kernel(
    v_pointer, step_pointer, rate_pointer, b_pointer, c_pointer, skip_pointer, gate_pointer,
    y_pointer,
    boundaries_pointer, batch, length, channels, states,
    block: tl.constexpr, with_skip: tl.constexpr, with_gate: tl.constexpr,
    block_channels: tl.constexpr, block_states: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * block_channels + tl.arange(0, block_channels)
    state = tl.arange(0, block_states)
    inside, real = channel < channels, state < states
    both = real[:, None] & inside[None, :]
    cell = state[:, None] * channels + channel[None, :]
    rate = tl.load(
        rate_pointer + channel[None, :] * states + state[:, None], mask=both, other=0.0
    ).to(tl.float32)
    skip = tl.zeros((block_channels,), tl.float32)
    if with_skip:
        skip += tl.load(skip_pointer + channel, mask=inside, other=0.0).to(tl.float32)
    h = tl.load(boundaries_pointer + row * channels * states + cell, mask=both, other=0.0)
    first = row * length
    step = _row(step_pointer, first * channels, channel, inside)
    v = _row(v_pointer, first * channels, channel, inside)
    b = _row(b_pointer, first * states, state, real)
    c = _row(c_pointer, first * states, state, real)
    for t in range(length):
        here = (first + t) * channels
        ahead = first + tl.minimum(t + 1, length - 1)
        next_step = _row(step_pointer, ahead * channels, channel, inside)
        next_v = _row(v_pointer, ahead * channels, channel, inside)
        next_b = _row(b_pointer, ahead * states, state, real)
        next_c = _row(c_pointer, ahead * states, state, real)
        h = tl.exp(step[None, :] * rate) * h + (step * v)[None, :] * b[:, None]
        y = tl.sum(h * c[:, None], axis=0) + skip * v
        if with_gate:
            y *= _row(gate_pointer, here, channel, inside)
        tl.store(y_pointer + here + channel, y.to(y_pointer.dtype.element_ty), mask=inside)
        if ((t + 1) % block == 0) | (t + 1 == length):  # type: ignore[operator]
            number = t // block + 1
            tl.store(
                boundaries_pointer + (row + number * batch) * channels * states + cell, h, mask=both
            )
        step, v, b, c = next_step, next_v, next_b, next_c


@triton.jit
def _backward_kernel(
    grad_y_pointer, grad_last_pointer, v_pointer, step_pointer, rate_pointer, b_pointer, c_pointer,
    skip_pointer,
    gate_pointer, boundaries_pointer, scratch_pointer, grad_v_pointer, grad_step_pointer,
    grad_rate_pointer,
    grad_b_pointer, grad_c_pointer, grad_skip_pointer, grad_gate_pointer, grad_state_pointer,
    batch, length, channels, states,
    block: tl.constexpr, with_skip: tl.constexpr, with_gate: tl.constexpr, with_last: tl.constexpr,
    block_channels: tl.constexpr, block_states: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    group = tl.program_id(1)
    channel = group * block_channels + tl.arange(0, block_channels)
    state = tl.arange(0, block_states)
    inside, real = channel < channels, state < states
    both = real[:, None] & inside[None, :]
    cell = state[:, None] * channels + channel[None, :]
    rate = tl.load(
        rate_pointer + channel[None, :] * states + state[:, None], mask=both, other=0.0
    ).to(tl.float32)
    skip = tl.zeros((block_channels,), tl.float32)
    if with_skip:
        skip += tl.load(skip_pointer + channel, mask=inside, other=0.0).to(tl.float32)
    grad_rate = tl.zeros((block_states, block_channels), tl.float32)
    carry = tl.zeros((block_states, block_channels), tl.float32)
    if with_last:
        carry += tl.load(grad_last_pointer + row * channels * states + cell, mask=both, other=0.0)
    grad_skip = tl.zeros((block_channels,), tl.float32)
    program = row * tl.num_programs(1) + group
    scratch_cell = (
        scratch_pointer
        + program * (block * block_states * block_channels)
        + tl.arange(0, block_states)[:, None] * block_channels
        + tl.arange(0, block_channels)[None, :]
    )
    partial = (row + group * batch) * length * states  # partial sums (groups, batch, length, state)
    blocks = tl.cdiv(length, block)
    for reverse in range(blocks):
        number = blocks - 1 - reverse
        low = number * block
        count = tl.minimum(block, length - low)
        h = tl.load(
            boundaries_pointer + (row + number * batch) * channels * states + cell,
            mask=both,
            other=0.0,
        )
        for t in range(count):
            wide, narrow = (row * length + low + t) * channels, (row * length + low + t) * states
            step = _row(step_pointer, wide, channel, inside)
            v = _row(v_pointer, wide, channel, inside)
            b = _row(b_pointer, narrow, state, real)
            tl.store(scratch_cell + t * (block_states * block_channels), h)
            h = tl.exp(step[None, :] * rate) * h + (step * v)[None, :] * b[:, None]
        tl.debug_barrier()  # other threads may read what one has written
        for reverse_t in range(count):
            t = count - 1 - reverse_t
            wide, narrow = (row * length + low + t) * channels, (row * length + low + t) * states
            step = _row(step_pointer, wide, channel, inside)
            v = _row(v_pointer, wide, channel, inside)
            b = _row(b_pointer, narrow, state, real)
            c = _row(c_pointer, narrow, state, real)
            grad_y = _row(grad_y_pointer, wide, channel, inside)
            previous = tl.load(scratch_cell + t * (block_states * block_channels))
            decay = tl.exp(step[None, :] * rate)
            h = decay * previous + (step * v)[None, :] * b[:, None]
            if with_gate:
                gate = _row(gate_pointer, wide, channel, inside)
                grad_gate = grad_y * (tl.sum(h * c[:, None], axis=0) + skip * v)
                type_gate = grad_gate_pointer.dtype.element_ty
                tl.store(grad_gate_pointer + wide + channel, grad_gate.to(type_gate), mask=inside)
                grad_y *= gate
            grad_h = carry + grad_y[None, :] * c[:, None]
            grad_b = tl.sum(grad_h * (step * v)[None, :], axis=1)
            grad_c = tl.sum(grad_y[None, :] * h, axis=1)
            tl.store(grad_b_pointer + partial + (low + t) * states + state, grad_b, mask=real)
            tl.store(grad_c_pointer + partial + (low + t) * states + state, grad_c, mask=real)
            carry = grad_h * decay
            exponent = carry * previous
            grad_rate += exponent * step[None, :]
            grad_x = tl.sum(grad_h * b[:, None], axis=0)
            grad_step = tl.sum(exponent * rate, axis=0) + grad_x * v
            grad_v = grad_x * step + grad_y * skip
            grad_skip += grad_y * v
            tl.store(
                grad_v_pointer + wide + channel,
                grad_v.to(grad_v_pointer.dtype.element_ty),
                mask=inside,
            )
            tl.store(
                grad_step_pointer + wide + channel,
                grad_step.to(grad_step_pointer.dtype.element_ty),
                mask=inside,
            )
        tl.debug_barrier()  # before the scratch is written again
    tl.store(grad_rate_pointer + row * channels * states + cell, grad_rate, mask=both)
    tl.store(grad_state_pointer + row * channels * states + cell, carry, mask=both)
    if with_skip:
        tl.store(grad_skip_pointer + row * channels + channel, grad_skip, mask=inside)


def _blocks(channels: int, states: int) -> tuple[dict[str, int], int]:
    """Sizes of a program's tile and warps, and the number of blocks of channels."""
    block_states = triton.next_power_of_2(states)
    block_channels = max(LEAST_CHANNELS, block_states)
    warps = max(1, block_states * block_channels // STATES_PER_WARP)
    sizes = {
        "block_channels": block_channels,
        "block_states": block_states,
        "num_warps": min(warps, 8),
    }
    return {"block": block_length(states), **sizes}, triton.cdiv(channels, block_channels)


def forward(
    v: Tensor,
    step: Tensor,
    rate: Tensor,
    b: Tensor,
    c: Tensor,
    skip: Tensor | None,
    gate: Tensor | None,
    state: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """y in the dtype of v and boundary states (boundaries, batch, state, channels) in float32."""
    (batch, length, channels), states = v.shape, rate.shape[1]
    v, step, rate, b, c, skip, gate = _dense(v, step, rate, b, c, skip, gate)
    y, boundaries = torch.empty_like(v), first_boundary(v, rate, state, torch.float32)
    sizes, groups = _blocks(channels, states)
    flags = {"with_skip": skip is not None, "with_gate": gate is not None}
    tensors = (
        v,
        step,
        rate,
        b,
        c,
        v if skip is None else skip,
        v if gate is None else gate,
        y,
        boundaries,
    )
    _forward_kernel[(batch, groups)](*tensors, batch, length, channels, states, **flags, **sizes)
    return y, boundaries


def backward(
    grad_y: Tensor,
    grad_last: Tensor | None,
    v: Tensor,
    step: Tensor,
    rate: Tensor,
    b: Tensor,
    c: Tensor,
    skip: Tensor | None,
    gate: Tensor | None,
    boundaries: Tensor,
) -> list[Tensor]:
    """Gradients of v, step, rate, b, c, the given ones of skip and gate, and the initial state."""
    (batch, length, channels), states = v.shape, rate.shape[1]
    sizes, groups = _blocks(channels, states)
    last = None if grad_last is None else grad_last.float().transpose(1, 2)
    grad_y, last, v, step, rate, b, c, skip, gate = _dense(
        grad_y, last, v, step, rate, b, c, skip, gate
    )
    cells = sizes["block"] * sizes["block_states"] * sizes["block_channels"]
    scratch = boundaries.new_empty(batch * groups * cells)
    grad_v, grad_step = torch.empty_like(v), torch.empty_like(step)
    grad_gate = v if gate is None else torch.empty_like(gate)
    grad_rate, grad_state = (torch.empty_like(boundaries[0]) for _ in range(2))
    grad_b, grad_c = (boundaries.new_empty(groups, batch, length, states) for _ in range(2))
    grad_skip = boundaries.new_empty(batch, channels)
    flags = {
        "with_skip": skip is not None,
        "with_gate": gate is not None,
        "with_last": last is not None,
    }
    inputs = (
        v,
        step,
        rate,
        b,
        c,
        v if skip is None else skip,
        v if gate is None else gate,
        boundaries,
        scratch,
    )
    outputs = (grad_v, grad_step, grad_rate, grad_b, grad_c, grad_skip, grad_gate, grad_state)
    tensors = (grad_y, v if last is None else last, *inputs, *outputs)
    _backward_kernel[(batch, groups)](*tensors, batch, length, channels, states, **flags, **sizes)
    grads = [grad_v, grad_step, grad_rate.sum(0).t(), grad_b.sum(0), grad_c.sum(0)]
    grads = [
        grad.to(tensor.dtype).contiguous()
        for grad, tensor in zip(grads, (v, step, rate, b, c), strict=True)
    ]
    if skip is not None:
        grads.append(grad_skip.sum(0).to(skip.dtype))
    if gate is not None:
        grads.append(grad_gate)
    return [*grads, grad_state.transpose(1, 2).contiguous()]


def _dense(*tensors: Tensor | None) -> list:
    return [None if tensor is None else tensor.contiguous() for tensor in tensors]
