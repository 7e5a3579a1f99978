"""The selective scan block by block in plain PyTorch, forward and backward.

Within a block the states are materialised, so that everything but the recurrence is batched.
Between blocks only the boundary states are kept, and backward computes a block's states again. Work
buffers hold (time, batch, state, channels): every step is one dense slice, the innermost loops run
over channels, and the reductions over the state or over the channels are batched matrix products.
The buffers are allocated once, since fresh ones for every block cost as much time as the
arithmetic. Decays are `exp2` of scaled rates: PyTorch's `exp2` takes a quarter of the time of
`exp`.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..dtypes import wide

LOG2_E = 1 / math.log(2)


def block_length(state: int) -> int:
    """Steps between two kept states: at least the state up to 64, so that these take no more than
    the values do."""
    return min(64, max(32, state, 256 // state))


def boundary_count(length: int, state: int) -> int:
    """Kept states: one before each block and the last one."""
    return -(-length // block_length(state)) + 1


def forward(
    v: Tensor, step: Tensor, rate: Tensor, b: Tensor, c: Tensor, h: Tensor | None
) -> tuple[Tensor, Tensor]:
    """y (batch, length, channels), without skip and gate, and boundary states (boundaries, batch,
    state, channels).

    All inputs in one dtype, float32 or float64; h (batch, channels, state) is the initial state,
    None for zero.
    """
    (batch, length, channels), state = v.shape, rate.shape[1]
    block = block_length(state)
    x, step, b, c = (_time_first(tensor) for tensor in (step * v, step, b, c))
    scaled = (rate * LOG2_E).t().contiguous()
    boundaries = first_boundary(v, rate, h)
    decay, states = (v.new_empty(min(block, length), batch, state, channels) for _ in range(2))
    steps_of = states.unbind(0), decay.unbind(0)
    y = torch.empty_like(x)
    for number, low in enumerate(range(0, length, block)):
        size = min(block, length - low)
        cut = slice(low, low + size)
        _fill(states[:size], decay[:size], x[cut], step[cut], scaled, b[cut])
        _recur(boundaries[number], *(slices[:size] for slices in steps_of))
        _over_state(c[cut], states[:size], y[cut])
        boundaries[number + 1] = states[size - 1]
    return y.transpose(0, 1).contiguous(), boundaries


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
    """Gradients of v, step, rate, b, c and the initial state; then y again, where wanted, else an
    empty tensor.

    grad_y (batch, length, channels) and grad_last (batch, channels, state) belong to what `forward`
    returned.
    """
    (batch, length, channels), state = v.shape, rate.shape[1]
    block = block_length(state)
    steps, x = _time_first(step), _time_first(step * v)
    b, c, grad_y = (_time_first(tensor) for tensor in (b, c, grad_y))
    rates = rate.t().contiguous()
    scaled = rates * LOG2_E
    grad_x, grad_step = torch.empty_like(x), torch.empty_like(x)
    y = torch.empty_like(x) if want_y else x.new_empty(0, 0)
    grad_b, grad_c = torch.empty_like(b), torch.empty_like(c)
    grad_rate, part = torch.zeros_like(rates), torch.empty_like(rates)
    carry = torch.zeros_like(boundaries[0])
    if grad_last is not None:
        carry += grad_last.transpose(1, 2)
    # One slice more for the state before the block, so that all previous states are one dense
    # slice.
    all_decay, all_grad, all_states = (
        v.new_empty(min(block, length) + extra, batch, state, channels) for extra in (0, 0, 1)
    )
    decays, grads, (_, *states_after) = (
        all_decay.unbind(0),
        all_grad.unbind(0),
        all_states.unbind(0),
    )
    for number in reversed(range(len(boundaries) - 1)):
        low = number * block
        size = min(block, length - low)
        cut = slice(low, low + size)
        decay, grad, previous, states = (
            all_decay[:size],
            all_grad[:size],
            all_states[:size],
            all_states[1 : size + 1],
        )
        previous[0] = boundaries[number]
        _fill(states, decay, x[cut], steps[cut], scaled, b[cut])
        _recur(previous[0], states_after[:size], decays[:size])
        if want_y:
            _over_state(c[cut], states, y[cut])
        _over_channels(grad_y[cut], states, grad_c[cut])
        torch.mul(grad_y[cut][:, :, None], c[cut][..., None], out=grad)
        _reverse(grads[:size], decays[:size], carry)
        _over_state(b[cut], grad, grad_x[cut])
        _over_channels(x[cut], grad, grad_b[cut])
        grad.mul_(decay).mul_(previous)  # now the gradient of the exponent, step * rate
        torch.sum(torch.mul(grad, rates, out=decay), 2, out=grad_step[cut])
        grad_rate += torch.sum(grad.mul_(steps[cut][:, :, None]), (0, 1), out=part)
    grad_x, grad_step, grad_b, grad_c, y = (
        _time_first(tensor) for tensor in (grad_x, grad_step, grad_b, grad_c, y)
    )
    grad_step.addcmul_(grad_x, v)
    found = (grad_x.mul_(step), grad_step, grad_rate.t().contiguous(), grad_b, grad_c)
    return *found, carry.transpose(1, 2).contiguous(), y


def _time_first(tensor: Tensor) -> Tensor:
    """The first two dimensions, batch and time, exchanged, in dense memory."""
    return tensor.transpose(0, 1).contiguous()


def first_boundary(
    v: Tensor, rate: Tensor, h: Tensor | None, dtype: torch.dtype | None = None
) -> Tensor:
    """Room for the boundary states, the first one filled in; in the dtype of v if no other is
    given."""
    (batch, length, channels), state = v.shape, rate.shape[1]
    boundaries = v.new_empty(boundary_count(length, state), batch, state, channels, dtype=dtype)
    boundaries[0] = 0 if h is None else h.transpose(1, 2)
    return boundaries


def _fill(
    states: Tensor, decay: Tensor, x: Tensor, step: Tensor, scaled: Tensor, b: Tensor
) -> None:
    """Write a block's decays and what each step adds to the state, both (steps, batch, state,
    channels)."""
    torch.mul(step[:, :, None], scaled, out=decay).exp2_()
    torch.mul(x[:, :, None], b[..., None], out=states)


def _recur(h: Tensor, states: Sequence[Tensor], decays: Sequence[Tensor]) -> None:
    """Turn what each step adds into the state after it, in place, from the state h before the
    block."""
    for now, factor in zip(states, decays, strict=True):
        h = now.addcmul_(factor, h)


def _reverse(grads: Sequence[Tensor], decays: Sequence[Tensor], carry: Tensor) -> None:
    """Turn each state's own gradient into its whole one; carry, from the block after to the one
    before, in place."""
    later = grads[-1].add_(carry)
    for now, factor in zip(reversed(grads[:-1]), reversed(decays[1:]), strict=True):
        later = now.addcmul_(factor, later)
    torch.mul(decays[0], later, out=carry)


def _over_state(weight: Tensor, tensor: Tensor, out: Tensor) -> None:
    """Sum (steps, batch, state, channels) over the state with a weight (steps, batch, state)."""
    tensor = tensor.flatten(0, 1)
    torch.bmm(weight.flatten(0, 1)[:, None], tensor, out=out.flatten(0, 1)[:, None])


def _over_channels(weight: Tensor, tensor: Tensor, out: Tensor) -> None:
    """Sum (steps, batch, state, channels) over the channels with a weight (steps, batch,
    channels)."""
    tensor = tensor.flatten(0, 1).transpose(1, 2)
    torch.bmm(weight.flatten(0, 1)[:, None], tensor, out=out.flatten(0, 1)[:, None])


def step(
    v: Tensor,
    step: Tensor,
    rate: Tensor,
    b: Tensor,
    c: Tensor,
    skip: Tensor | None,
    gate: Tensor | None,
    state: Tensor,
) -> tuple[Tensor, Tensor]:
    """One position, by plain operations."""
    dtype = wide(v.dtype)
    x, step, rate, b, c, h = (tensor.to(dtype) for tensor in (v, step, rate, b, c, state))
    h = torch.exp(step.mT * rate) * h + (step * x).mT * b
    y = (h * c).sum(-1)[:, None]
    if skip is not None:
        y = y + skip.to(dtype) * x
    if gate is not None:
        y = y * gate.to(dtype)
    return y.to(v.dtype), h
