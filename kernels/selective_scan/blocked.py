"""The selective scan in blocks of steps with its own backward, in plain PyTorch.

`vecdot` and a product with a sum stand where einsum would copy; they halve the time on one core.

Within a block the states are materialised, so that all but the recurrence itself is batched; between blocks only the
block's first state is kept, and the backward pass computes the block's states again. A block of 16 steps stays
in cache at the sizes searched on a CPU.
"""

from typing import Any

import torch
from torch.autograd.function import once_differentiable

BLOCK = 16

Block = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def _time_first(tensor: torch.Tensor) -> torch.Tensor:
    """(batch, length, ...) to contiguous (length, batch, ...), so that every step is one dense slice."""
    return tensor.transpose(0, 1).contiguous()


def _scan_block(
    h: torch.Tensor, v: torch.Tensor, step: torch.Tensor, rate: torch.Tensor, b: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """States and decays of one block, each (block, batch, channels, state), from the state h before it."""
    decay = torch.exp(step[..., None] * rate)
    states = (step * v)[..., None] * b[:, :, None, :]
    for t in range(states.shape[0]):
        h = states[t].addcmul_(decay[t], h)
    return states, decay


def run_blocks(
    h: torch.Tensor, v: torch.Tensor, step: torch.Tensor, rate: torch.Tensor, b: torch.Tensor, c: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """From the state h (batch, channels, state): y (batch, length, channels), the last state, each block's first."""
    v, step, b, c = (_time_first(tensor) for tensor in (v, step, b, c))
    y = torch.empty_like(v)
    starts = []
    for low in range(0, v.shape[0], BLOCK):
        cut = slice(low, low + BLOCK)
        starts.append(h)
        states, _ = _scan_block(h, v[cut], step[cut], rate, b[cut])
        y[cut] = torch.linalg.vecdot(states, c[cut][:, :, None, :])
        h = states[-1].clone()
    return y.transpose(0, 1), h, torch.stack(starts)


class BlockedSelectiveScan(torch.autograd.Function):
    """Autograd function behind `selective_scan`; all inputs of one floating dtype."""

    @staticmethod
    def forward(ctx: Any, *inputs: torch.Tensor) -> torch.Tensor:
        """v, step, rate, b, c as `selective_scan`; returns y (batch, length, channels)."""
        v, _, rate, _, _ = inputs
        y, _, starts = run_blocks(v.new_zeros(v.shape[0], *rate.shape), *inputs)
        ctx.save_for_backward(*inputs, starts)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor, ...]:  # type: ignore[override]
        """Gradients of v, step, rate, b, c, each of its input's shape."""
        v, step, rate, b, c, starts = ctx.saved_tensors
        v, step, b, c = (_time_first(tensor) for tensor in (v, step, b, c))
        grad_y = _time_first(grad_outputs[0])
        grads = [torch.empty_like(tensor) for tensor in (v, step, b, c)]
        grad_rate = torch.zeros_like(rate)
        carry = torch.zeros_like(starts[0])
        for number in reversed(range(len(starts))):
            cut = slice(number * BLOCK, (number + 1) * BLOCK)
            inputs = (v[cut], step[cut], b[cut], c[cut])
            *block, block_rate, carry = _backward_block(inputs, rate, starts[number], grad_y[cut], carry)
            grad_rate += block_rate
            for grad, part in zip(grads, block, strict=True):
                grad[cut] = part
        grad_v, grad_step, grad_b, grad_c = (grad.transpose(0, 1) for grad in grads)
        return grad_v, grad_step, grad_rate, grad_b, grad_c


def _backward_block(
    inputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor],
    rate: torch.Tensor,
    start: torch.Tensor,
    grad_y: torch.Tensor,
    carry: torch.Tensor,
) -> tuple[torch.Tensor, ...]:
    """Gradients (v, step, b, c, rate, carry) of one block, time first; `carry` is the gradient of its last state
    from later blocks, and on return that of the state before it."""
    v, step, b, c = inputs
    states, decay = _scan_block(start, v, step, rate, b)
    grad_c = torch.matmul(grad_y[:, :, None, :], states)[:, :, 0]
    grad_states = grad_y[..., None] * c[:, :, None, :]
    grad_states[-1] += carry
    for t in range(states.shape[0] - 2, -1, -1):
        grad_states[t].addcmul_(decay[t + 1], grad_states[t + 1])
    carry = decay[0] * grad_states[0]
    driven = torch.linalg.vecdot(grad_states, b[:, :, None, :])
    grad_b = torch.matmul((step * v)[:, :, None, :], grad_states)[:, :, 0]
    exponent = grad_states.mul_(decay)  # gradient of step * rate, the previous state still to be multiplied in
    exponent[0] *= start
    exponent[1:] *= states[:-1]
    grad_step = torch.linalg.vecdot(exponent, rate) + driven * v
    grad_rate = (exponent * step[..., None]).sum((0, 1))
    return driven * step, grad_step, grad_b, grad_c, grad_rate, carry
