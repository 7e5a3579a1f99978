"""The gated long convolution through PyTorch's FFT, channels before positions, where the transforms
are contiguous.

Measured on one CPU thread (batch 8, width 64) against matrix products with the Toeplitz matrix,
whole and in blocks, and against a sum of shifts: matrices gain 0.02 ms up to length 32, nothing at
64 and lose beyond; so there is one path.
"""

import torch
from torch import Tensor

from ..dtypes import wide, without_autocast

# Smallest transforms for a length are these multiples of a power of two: others, also products of
# more 3s and 5s, took longer than the next of these, in MKL at 256..512.
MULTIPLES = (8, 9, 10, 12)


def transform_length(length: int) -> int:
    """Of the circular convolution: at least 2 length - 1, so that nothing wraps around, with small
    factors."""
    least = 2 * length - 1
    if least <= MULTIPLES[0]:
        return MULTIPLES[0]
    return min(m << max(0, (-(-least // m) - 1).bit_length()) for m in MULTIPLES)


def _spectrum(x: Tensor, y: Tensor | None) -> Tensor:
    """Of x, or of the product x y, along the last dimension but one, which becomes the last; in
    float32 or wider."""
    dtype = wide(x.dtype if y is None else torch.promote_types(x.dtype, y.dtype))
    product = x.to(dtype) if y is None else x.to(dtype) * y.to(dtype)
    size = transform_length(x.shape[-2])
    return torch.fft.rfft(product.transpose(-1, -2).contiguous(), n=size)


def _signal(spectrum: Tensor, length: int) -> Tensor:
    return torch.fft.irfft(spectrum, n=transform_length(length))[..., :length]


def forward(b: Tensor, v: Tensor, c: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """y, and the convolution (batch, channels, length) before c."""
    spectrum = _spectrum(b, v)
    response = _spectrum(kernel, None)
    dtype = torch.promote_types(spectrum.dtype, response.dtype)
    convolved = _signal(spectrum.to(dtype).mul_(response), v.shape[1])
    y = (c * convolved.transpose(1, 2)).to(v.dtype).contiguous()
    return y, convolved.to(v.dtype, memory_format=torch.contiguous_format, copy=True)


def backward(
    grad: Tensor, b: Tensor, v: Tensor, c: Tensor, kernel: Tensor, convolved: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of b, v, c and kernel."""
    length = v.shape[1]
    passed, gated, response = _spectrum(grad, c), _spectrum(b, v), _spectrum(kernel, None)
    grad_gated = _signal(passed * response.conj_physical_(), length).transpose(1, 2)
    grad_kernel = _signal((gated.conj_physical_() * passed).sum(0), length).t()
    return (
        (v * grad_gated).to(b.dtype).contiguous(),
        (b * grad_gated).to(v.dtype).contiguous(),
        (grad * convolved.transpose(1, 2)).to(c.dtype).contiguous(),
        grad_kernel.to(kernel.dtype).contiguous(),
    )


def continued(
    b: Tensor, v: Tensor, c: Tensor, kernel: Tensor, state: Tensor, position: int
) -> Tensor:
    """The next positions of a sequence; b * v is written behind the history in `state`."""
    x, end = b * v, position + v.shape[1]
    state[:, position:end] = x
    dtype = wide(x.dtype)
    seen, kernel = state[:, :end].to(dtype), kernel[:end].to(dtype)
    with without_autocast(v):
        if v.shape[1] == 1:
            convolved = torch.einsum("btc,tc->bc", seen, kernel.flip(0))[:, None]
        else:
            size = 2 * end
            spectrum = torch.fft.rfft(seen, n=size, dim=1) * torch.fft.rfft(kernel, n=size, dim=0)
            convolved = torch.fft.irfft(spectrum, n=size, dim=1)[:, position:end]
    return (c * convolved.to(x.dtype)).to(v.dtype)
