"""The PyTorch path: a convolution is one product per tap, added in place to shifted slices.

One pass over memory for each tap and no transposes, which beats a grouped `conv1d` on CPUs many
times over. Nothing here is differentiable; every gradient is written out. All tensors are in the
dtype that is accumulated in.
"""

import torch
from torch import Tensor


def convolve(
    x: Tensor, kernel: Tensor, bias: Tensor | None = None, tail: Tensor | None = None
) -> Tensor:
    """The convolution of x (batch, length, channels), which follows `tail`, with kernel (channels,
    taps), plus bias."""
    rows, length = kernel.t().contiguous(), x.shape[1]
    last = len(rows) - 1
    y = x * rows[last] if bias is None else torch.addcmul(bias, x, rows[last])
    for lag in range(1, last + 1):
        row, reached = rows[last - lag], min(lag, length)
        if length > lag:
            y[:, lag:].addcmul_(x[:, : length - lag], row)
        if tail is not None:
            y[:, :reached].addcmul_(tail[:, last - lag : last - lag + reached], row)
    return y


def input_gradient(grad: Tensor, kernel: Tensor) -> Tensor:
    """The gradient of x in `convolve`: the convolution backwards in time."""
    rows, length = kernel.t().contiguous(), grad.shape[1]
    last = len(rows) - 1
    x = grad * rows[last]
    for lag in range(1, min(last + 1, length)):
        x[:, : length - lag].addcmul_(grad[:, lag:], rows[last - lag])
    return x


def kernel_gradient(grad: Tensor, x: Tensor, kernel: Tensor, tail: Tensor | None = None) -> Tensor:
    """The gradient of kernel in `convolve`."""
    length, taps = x.shape[1], kernel.shape[1]
    rows, products = x.new_empty(taps, x.shape[2]), x.new_empty(x.shape)
    for lag in range(taps):
        start, reached = taps - 1 - lag, min(lag, length)
        torch.mul(grad[:, reached:], x[:, : length - reached], out=products[:, reached:])
        if tail is None:
            products[:, :reached] = 0
        else:
            before = tail[:, start : start + reached]
            torch.mul(grad[:, :reached], before, out=products[:, :reached])
        # Of all of it, zeros included: the sum over a slice is ten times slower.
        torch.sum(products, (0, 1), out=rows[start])
    return rows.t()


def tail_gradient(grad: Tensor, kernel: Tensor) -> Tensor:
    """The gradient of tail in `convolve`; of grad only the first taps - 1 positions count."""
    batch, length, channels = grad.shape
    last = kernel.shape[1] - 1
    tail = grad.new_zeros(batch, last, channels)
    for lag in range(1, last + 1):
        start, reached = last - lag, min(lag, length)
        tail[:, start : start + reached].addcmul_(grad[:, :reached], kernel[:, start])
    return tail


def step(x: Tensor, kernel: Tensor, state: Tensor) -> Tensor:
    """One position of the convolution, in the dtype of x or wider; advances the state."""
    window = torch.cat([state.to(x.dtype), x], dim=1)
    state.copy_(window[:, 1:])
    return (window * kernel.t()).sum(1, keepdim=True)


def advance(state: Tensor, x: Tensor) -> None:
    """Let the state hold the last taps - 1 inputs, of which x holds the latest."""
    kept = state.shape[1] - x.shape[1]
    if kept > 0:
        x = torch.cat([state[:, -kept:], x.to(state.dtype)], dim=1)
    state.copy_(x[:, x.shape[1] - state.shape[1] :])
