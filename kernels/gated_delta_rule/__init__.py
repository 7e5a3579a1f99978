"""The gated delta rule (arXiv 2412.06464): linear attention whose state forgets and corrects
itself."""

from typing import Any

import torch

from ..checks import check_inputs, wide
from ..dispatch import REFERENCE, TRITON, choose
from . import chunked
from .reference import gated_delta_rule_reference

NAME = "gated_delta_rule"


def gated_delta_rule(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    decay: torch.Tensor,
    beta: torch.Tensor,
    state: torch.Tensor | None = None,
    return_state: bool = False,  # removed after the merge
) -> Any:
    """A matrix-valued state per head that decays, and learns v from k by one step of gradient
    descent per position.

        S_t = a_t (S_{t-1} - beta_t k_t (k_t^T S_{t-1})) + beta_t k_t v_t^T,   a_t = exp(decay_t),
        y_t = q_t^T S_t / sqrt(key width)

    Everything is accumulated in float32 (float64 for float64 v). Agrees with
    `torch_recurrent_gated_delta_rule` of Hugging Face's Qwen3-Next up to its layout (batch, length,
    heads, width). Backward keeps one state per chunk of 16 to 64 positions and computes the rest
    again.

    Args:
        q: (batch, heads, length, key width), any floating dtype, as all others; length at least 1.
        k: (batch, heads, length, key width). The caller scales each k to L2 norm 1 (and usually q
            too); longer keys can make the state grow without bound.
        v: (batch, heads, length, value width).
        decay: (batch, heads, length), at most 0; below -40 it counts as -40.
        beta: (batch, heads, length), in 0..1.
        state: (batch, heads, key width, value width), S after the positions before these, zeros
            before the first. With it the inputs continue a sequence: it is read, and advanced in
            place. For generation: nothing is differentiable then.

    Returns y as v in shape and dtype. Raises ValueError for shapes, devices or dtypes that do not
    fit.
    """
    check(q, k, v, decay, beta, state)
    if return_state:
        return gated_delta_rule_from(q, k, v, decay, beta, state)
    if state is None:
        return gated_delta_rule_from(q, k, v, decay, beta, None)[0]
    with torch.no_grad():
        if v.shape[2] == 1:
            return _step(q, k, v, decay, beta, state)
        y, last = gated_delta_rule_from(q, k, v, decay, beta, state)
        state.copy_(last)
    return y


def gated_delta_rule_from(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    decay: torch.Tensor,
    beta: torch.Tensor,
    state: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """y and the last state, differentiable in the first state too; arguments unchecked."""
    if choose(NAME, v) == REFERENCE:
        with torch.autocast(v.device.type, enabled=False):
            return gated_delta_rule_reference(q, k, v, decay, beta, state)
    return _gated_delta_rule(q, k, v, decay, beta, state)[:2]


def _step(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    decay: torch.Tensor,
    beta: torch.Tensor,
    state: torch.Tensor,
) -> torch.Tensor:
    """One position, by plain operations; advances the state in place."""
    dtype = wide(v.dtype)
    with torch.autocast(v.device.type, enabled=False):
        memory = state.to(dtype).mul_(decay.to(dtype).exp()[..., None])
        key = k.to(dtype)
        correction = (v.to(dtype) - key @ memory) * beta.to(dtype)[..., None]
        memory.addcmul_(key.mT, correction)
        if memory is not state:
            state.copy_(memory)
        return ((q.to(dtype) * q.shape[-1] ** -0.5) @ memory).to(v.dtype)


def check(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    decay: torch.Tensor,
    beta: torch.Tensor,
    state: torch.Tensor | None,
) -> None:
    """Raises ValueError for arguments that `gated_delta_rule` does not take."""
    for name, x in (("q", q), ("v", v)):
        if x.dim() != 4 or 0 in x.shape:
            expected = (
                f"(batch, heads, length, {'key' if name == 'q' else 'value'} width), none of them 0"
            )
            raise ValueError(f"{NAME}: {name} has shape {tuple(x.shape)}, expected {expected}")
    batch, heads, length, value = v.shape
    key = q.shape[-1]
    shapes = {
        "q": (q, (batch, heads, length, key)),
        "k": (k, (batch, heads, length, key)),
        "v": (v, v.shape),
    }
    gates = {"decay": (decay, v.shape[:3]), "beta": (beta, v.shape[:3])}
    check_inputs(NAME, {**shapes, **gates, "state": (state, (batch, heads, key, value))})


@torch.library.custom_op("star::gated_delta_rule", mutates_args=())
def _gated_delta_rule(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    decay: torch.Tensor,
    beta: torch.Tensor,
    state: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """y, the last state, and the states at the start of each chunk, for backward."""
    with torch.autocast(v.device.type, enabled=False):
        return _implementation(q, k, v).forward(q, k, v, decay, beta, state)


def _implementation(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> Any:
    """The module that computes: Triton's, or PyTorch's for what Triton's does not support."""
    if choose(NAME, v) == TRITON:
        from . import triton_kernel

        if triton_kernel.supports(q, k, v):
            return triton_kernel
    return chunked


@_gated_delta_rule.register_fake
def _(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    decay: torch.Tensor,
    beta: torch.Tensor,
    state: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    batch, heads, length, value = v.shape
    implementation = _implementation(q, k, v)
    chunks = -(-length // implementation.chunk_size(q))
    last = v.new_empty(batch, heads, q.shape[-1], value, dtype=wide(v.dtype))
    start_dtype = implementation.start_dtype(q, k, v)
    start = v.new_empty(batch * heads * chunks, q.shape[-1], value, dtype=start_dtype)
    return v.new_empty(v.shape), last, start


@torch.library.custom_op("star::gated_delta_rule_backward", mutates_args=())
def _gated_delta_rule_backward(
    grad: torch.Tensor,
    grad_state: torch.Tensor | None,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    decay: torch.Tensor,
    beta: torch.Tensor,
    start: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    with torch.autocast(v.device.type, enabled=False):
        return _implementation(q, k, v).backward(grad, grad_state, q, k, v, decay, beta, start)


@_gated_delta_rule_backward.register_fake
def _(
    grad: torch.Tensor,
    grad_state: torch.Tensor | None,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    decay: torch.Tensor,
    beta: torch.Tensor,
    start: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    gradients = (q, k, v, decay, beta)
    first = v.new_empty(*v.shape[:2], *start.shape[1:], dtype=wide(v.dtype))
    return (*(x.new_empty(x.shape) for x in gradients), first)  # type: ignore[return-value]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
    *tensors, state = inputs
    ctx.set_materialize_grads(False)
    ctx.has_state = state is not None
    ctx.state_dtype = None if state is None else state.dtype
    ctx.save_for_backward(*tensors, output[2])


def _backward(
    ctx: Any, grad: torch.Tensor | None, grad_state: torch.Tensor | None, _: None
) -> tuple[torch.Tensor | None, ...]:
    *tensors, start = ctx.saved_tensors
    if grad is None:
        grad = torch.zeros_like(tensors[2])
    *gradients, first = _gated_delta_rule_backward(grad, grad_state, *tensors, start)
    return (*gradients, first.to(ctx.state_dtype) if ctx.has_state else None)


_gated_delta_rule.register_autograd(_backward, setup_context=_setup)
