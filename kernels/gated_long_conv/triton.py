# pyright: reportArgumentType=false, reportCallIssue=false, reportIndexIssue=false
"""The gated long convolution in Triton: one Toeplitz product per sequence and channel, on tensor
cores.

A sequence of n blocks is the matrix U with a block in each column, and Y = sum_m T_m U_m, where U_m
is U moved m columns to the right and T_m[p, r] = kernel[m * block + p - r]. So each Toeplitz block
is gathered once and meets all columns, at batch 1 too. The work is length^2 products per sequence
and channel, where an FFT makes several passes over memory in float32: products win while the length
is moderate.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..triton_tools import dot

# Longest sequences that the kernels take; beyond, the FFT. Set by reasoning, to be measured on the
# GPU.
TRITON_LONGEST = {torch.bfloat16: 2048, torch.float16: 2048, torch.float32: 1024}


@triton.jit
def _toeplitz_kernel(
    kernel_pointer, u_pointer, y_pointer, batches, kernel_stride, length, chunks,
    mirror_kernel: tl.constexpr, mirror_u: tl.constexpr, mirror_y: tl.constexpr,
    block: tl.constexpr, columns: tl.constexpr,
):  # fmt: skip
    """y = kernel * u, summed over `batches` sequences; each may be read or written from its end."""
    channel, channels = tl.program_id(0), tl.num_programs(0)
    rows, inner, column = (
        tl.arange(0, block)[:, None],
        tl.arange(0, block),
        tl.arange(0, columns)[None, :],
    )
    total = tl.zeros((block, columns), tl.float32)
    for item in range(batches):
        batch = (tl.program_id(1) + item).to(tl.int64)
        kernel = kernel_pointer + batch * kernel_stride + channel * length
        u = u_pointer + (batch * channels + channel) * length
        for number in range(chunks):
            lags = number * block + rows - inner[None, :]
            mask = (lags >= 0) & (lags < length)
            toeplitz = tl.load(
                kernel + ((length - 1 - lags) if mirror_kernel else lags), mask=mask, other=0.0
            )
            at = (column - number) * block + inner[:, None]
            mask = (at >= 0) & (at < length)
            moved = tl.load(u + ((length - 1 - at) if mirror_u else at), mask=mask, other=0.0)
            total += dot(toeplitz, moved)
    at = column * block + rows
    y = y_pointer + (tl.program_id(1).to(tl.int64) * channels + channel) * length
    tl.store(
        y + ((length - 1 - at) if mirror_y else at),
        total.to(y_pointer.dtype.element_ty),
        mask=at < length,
    )


def _toeplitz(
    kernel: Tensor, u: Tensor, mirrors: tuple[bool, bool, bool], sum_batch: bool = False
) -> Tensor:
    """kernel: (channels, length), or of each sequence; u: (batch, channels, length). Result in
    float32, of u's shape or without the batch. `mirrors`: whether kernel, u and result are mirrored
    in time."""
    batch, channels, length = u.shape
    block = 16 if length <= 256 else 32 if length <= 512 else 64
    chunks = triton.cdiv(length, block)
    y = u.new_empty(u.shape[1:] if sum_batch else u.shape, dtype=torch.float32)
    stride = 0 if kernel.dim() == 2 else channels * length
    _toeplitz_kernel[(channels, 1 if sum_batch else batch)](
        kernel, u, y, batch if sum_batch else 1, stride, length, chunks, *mirrors,
        block=block, columns=max(16, triton.next_power_of_2(chunks)), num_warps=4, num_stages=2,
    )  # fmt: skip
    return y


def supports(b: Tensor, v: Tensor, c: Tensor, kernel: Tensor) -> bool:
    """Whether these lengths and dtypes run here; else the FFT does."""
    exact = torch.float64 not in (b.dtype, v.dtype, c.dtype, kernel.dtype)
    return exact and v.shape[1] <= TRITON_LONGEST[torch.promote_types(b.dtype, v.dtype)]


def _gated(x: Tensor, y: Tensor, dtype: torch.dtype) -> Tensor:
    """x * y, channels before positions."""
    return (x * y).transpose(1, 2).to(dtype).contiguous()


def forward(b: Tensor, v: Tensor, c: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """As `cpu.forward`."""
    dtype = torch.promote_types(b.dtype, v.dtype)
    response = kernel.t().to(dtype).contiguous()
    convolved = _toeplitz(response, _gated(b, v, dtype), (False, False, False))
    return (c * convolved.transpose(1, 2)).to(v.dtype).contiguous(), convolved.to(
        v.dtype, copy=True
    )


def backward(
    grad: Tensor, b: Tensor, v: Tensor, c: Tensor, kernel: Tensor, convolved: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As `cpu.backward`: correlations are convolutions of what is read from its end."""
    dtype = torch.promote_types(b.dtype, v.dtype)
    response = kernel.t().to(dtype).contiguous()
    passed = _gated(grad, c, dtype)
    grad_gated = _toeplitz(response, passed, (False, True, True)).transpose(1, 2)
    grad_kernel = _toeplitz(passed, _gated(b, v, dtype), (True, False, True), sum_batch=True).t()
    return (
        (v * grad_gated).to(b.dtype).contiguous(),
        (b * grad_gated).to(v.dtype).contiguous(),
        (grad * convolved.transpose(1, 2)).to(c.dtype).contiguous(),
        grad_kernel.to(kernel.dtype).contiguous(),
    )
