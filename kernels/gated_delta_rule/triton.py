# pyright: reportArgumentType=false, reportCallIssue=false, reportIndexIssue=false
"""The gated delta rule in Triton.

Matrix products take operands in the inputs' dtype and accumulate in float32; states are carried in
float32. Buffers are (sequences, length, width), rows beyond the length read as 0, where decay, beta
and keys of 0 change nothing.
"""

import torch
import triton
from torch import Tensor

from ..delta_triton import chunk_size as chunk_size
from ..delta_triton import start_dtype as start_dtype
from ..delta_triton import supports as supports
from ..triton_tools import chunk_blocks
from .triton_backward import (
    corrections_kernel,
    keys_gradient_kernel,
    pairs_gradient_kernel,
    states_gradient_kernel,
)
from .triton_forward import output_kernel, prepare_kernel, states_kernel


def _prepare(k: Tensor, v: Tensor, decay: Tensor, beta: Tensor) -> tuple[Tensor, ...]:
    """Each chunk's inverse (rows x length), W and U, in the dtype of k and v (contiguous as
    all)."""
    batch, heads, length, value = v.shape
    options = chunk_blocks(k, v, scan=False)
    inverse = k.new_empty(batch * heads, length, options["size"])
    w, u = torch.empty_like(k), torch.empty_like(v)
    grid = (triton.cdiv(length, options["size"]), batch * heads)
    sizes = (length, k.shape[-1], value)
    prepare_kernel[grid](k, v, decay, beta, inverse, w, u, *sizes, **options)
    return inverse, w, u


def forward(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """As `cpu.forward`."""
    out, scale = v.dtype, q.shape[-1] ** -0.5
    q, k, v = (x.to(start_dtype(q, k, v)).contiguous() for x in (q, k, v))
    decay, beta = decay.contiguous(), beta.contiguous()
    batch, heads, length, value = v.shape
    sequences, key = batch * heads, q.shape[-1]
    _, w, x = _prepare(k, v, decay, beta)
    chunks = triton.cdiv(length, chunk_size(q))
    start = k.new_empty(sequences * chunks, key, value)
    last = k.new_empty(batch, heads, key, value, dtype=torch.float32)
    given = last if state is None else state.contiguous()
    options, sizes = chunk_blocks(q, v, scan=True), (chunks, length, key, value)
    grid = (triton.cdiv(value, options["value_block"]), sequences)
    states_kernel[grid](
        k, w, x, decay, beta, given, start, last, *sizes, has_state=state is not None, **options
    )
    y = v.new_empty(v.shape, dtype=out)
    output_kernel[(chunks, sequences)](
        q, k, x, decay, beta, start, y, scale, *sizes, **chunk_blocks(q, v, scan=False)
    )
    return y, last, start


def backward(
    grad: Tensor,
    grad_state: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor,
    beta: Tensor,
    start: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """As `cpu.backward`."""
    given, scale, kind = (q, k, v), q.shape[-1] ** -0.5, start_dtype(q, k, v)
    grad, q, k, v = (x.to(kind).contiguous() for x in (grad, q, k, v))
    decay, beta = decay.contiguous(), beta.contiguous()
    batch, heads, length, value = v.shape
    sequences, key = batch * heads, q.shape[-1]
    chunks = start.shape[0] // sequences
    inverse, w, x = _prepare(k, v, decay, beta)
    grad_x, grad_end = torch.empty_like(v), torch.empty_like(start)
    local, scan = chunk_blocks(q, v, scan=False), chunk_blocks(q, v, scan=True)
    sizes = (scale, chunks, length, key, value)
    corrections_kernel[(chunks, sequences)](
        q, k, grad, w, x, decay, beta, start, grad_x, *sizes, **local
    )
    first = start.new_empty(batch, heads, key, value, dtype=torch.float32)
    passed = first if grad_state is None else grad_state.contiguous()
    grid = (triton.cdiv(value, scan["value_block"]), sequences)
    states_gradient_kernel[grid](
        q, k, grad, w, grad_x, decay, beta, passed, grad_end, first, *sizes,
        has_state=grad_state is not None, **scan,
    )  # fmt: skip
    grad_q, grad_k, grad_v = (torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in given)
    grad_scores, grad_system = torch.empty_like(inverse), torch.empty_like(inverse)
    # Fewer columns at a time, since three accumulators are as wide as the keys.
    narrow = {**local, "key_block": min(64, local["key_block"])}
    parts = triton.cdiv(key, narrow["key_block"])
    grad_decay, grad_beta = (first.new_empty(1 + parts, *decay.shape) for _ in range(2))
    pairs_gradient_kernel[(chunks, sequences)](
        q, k, v, decay, beta, grad, start, grad_end, inverse, x, grad_x,
        grad_v, grad_scores, grad_system, grad_decay, grad_beta, *sizes, **local,
    )  # fmt: skip
    keys_gradient_kernel[(chunks, sequences, parts)](
        q, k, decay, beta, grad, start, grad_end, x, grad_x, grad_scores, grad_system,
        grad_q, grad_k, grad_decay, grad_beta, *sizes, **narrow,
    )  # fmt: skip
    gates = grad_decay.sum(0).to(decay.dtype), grad_beta.sum(0).to(beta.dtype)
    return grad_q, grad_k, grad_v, *gates, first
