"""SwiGLU's gate in Triton: one pass over memory forward, one backward."""

import torch
import triton
import triton.language as tl

BLOCK = 1024


@triton.jit
def _forward_kernel(c_pointer, v_pointer, y_pointer, count, block: tl.constexpr):
    offsets = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    mask = offsets < count
    c = tl.load(c_pointer + offsets, mask=mask, other=0.0).to(tl.float32)
    v = tl.load(v_pointer + offsets, mask=mask, other=0.0).to(tl.float32)
    tl.store(y_pointer + offsets, (c * tl.sigmoid(c) * v).to(y_pointer.dtype.element_ty), mask=mask)


@triton.jit
def _backward_kernel(grad_pointer, c_pointer, v_pointer, grad_c_pointer, grad_v_pointer, count, block: tl.constexpr):
    offsets = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    mask = offsets < count
    grad = tl.load(grad_pointer + offsets, mask=mask, other=0.0).to(tl.float32)
    c = tl.load(c_pointer + offsets, mask=mask, other=0.0).to(tl.float32)
    v = tl.load(v_pointer + offsets, mask=mask, other=0.0).to(tl.float32)
    sigmoid = tl.sigmoid(c)
    gate = c * sigmoid
    grad_c = grad * v * (sigmoid + gate - gate * sigmoid)
    tl.store(grad_c_pointer + offsets, grad_c.to(grad_c_pointer.dtype.element_ty), mask=mask)
    tl.store(grad_v_pointer + offsets, (grad * gate).to(grad_v_pointer.dtype.element_ty), mask=mask)


def forward(c: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """`swiglu` for tensors that Triton can reach."""
    c, v = c.contiguous(), v.contiguous()
    y = torch.empty_like(v)
    _forward_kernel[(triton.cdiv(v.numel(), BLOCK),)](c, v, y, v.numel(), block=BLOCK)  # type: ignore[index]
    return y


def backward(grad: torch.Tensor, c: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of c and v."""
    grad, c, v = grad.contiguous(), c.contiguous(), v.contiguous()
    grad_c, grad_v = torch.empty_like(c), torch.empty_like(v)
    grid = (triton.cdiv(v.numel(), BLOCK),)
    _backward_kernel[grid](grad, c, v, grad_c, grad_v, v.numel(), block=BLOCK)  # type: ignore[index]
    return grad_c, grad_v
