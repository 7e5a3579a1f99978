"""Linear attention: the custom operator, the step of generation, and the two operators of a
differential class."""

import math
from typing import Any

import torch

from ..checks import check_inputs
from ..dispatch import REFERENCE, TRITON, mode
from . import chunks
from .checking import check_heads, check_pair
from .operators import implementation, without_autocast
from .reference import linear_attention_reference, widest

NAME = "linear_attention"
Pair = tuple[torch.Tensor, torch.Tensor]
Gradients = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def linear_attention(
    c: torch.Tensor,
    b: torch.Tensor,
    v: torch.Tensor,
    *removed_after_the_merge: Any,
    state: torch.Tensor | None = None,
    position: int = 0,
) -> torch.Tensor:
    """Causal attention without a nonlinearity or a normaliser (after arXiv 2006.16236), linear in
    the length.

    `S_i = S_{i-1} + B_i^T V_i`, `y_i = C_i S_i / sqrt(width * (position + i))` for i = 1, 2, ...

    Computed in float32, or in float64 where an input has it. Backward keeps the inputs alone.

    Args:
        c: (batch, heads, length, width), any floating dtype, as all others.
        b: (batch, groups, length, width), with heads a multiple of groups.
        v: (batch, groups, length, value width).
        state: (batch, groups, width, value width), the sum S of the positions before these. With it
            the inputs continue a sequence: it is read, and advanced in place. For generation:
            nothing is differentiable then.
        position: how many positions the state has seen.

    Returns y (batch, heads, length, value width) in the dtype of v. Raises ValueError for shapes,
    devices, dtypes or positions that do not fit.
    """
    if removed_after_the_merge:
        before, position = removed_after_the_merge
        state = None if before is None else before.clone()
    _check(NAME, c, b, v, state, position)
    if state is None:
        return linear_attention_from(c, b, v, None, position)[0]
    with torch.no_grad():
        y, last = linear_attention_from(c, b, v, state, position)
        state.copy_(last)
    return y


def linear_attention_from(
    c: torch.Tensor, b: torch.Tensor, v: torch.Tensor, state: torch.Tensor | None, position: int
) -> Pair:
    """y and the last sum, differentiable in the first sum too; arguments unchecked."""
    if mode() == REFERENCE:
        return linear_attention_reference(c, b, v, state, position)
    if c.shape[2] == 1:
        return _step(c, b, v, state, position)
    return _linear_attention(c, b, v, state, position)


def differential_linear_attention(
    c: torch.Tensor,
    b: torch.Tensor,
    v: torch.Tensor,
    weight: torch.Tensor,
    *removed_after_the_merge: Any,
    state: torch.Tensor | None = None,
    position: int = 0,
) -> torch.Tensor:
    """`T1 V - weight * T2 V` for two operators of `linear_attention`.

    The pair is one linear attention of twice the width, since `C1 B1^T - weight * C2 B2^T` is a
    product of concatenated rows.

    Args:
        c: (batch, 2 * heads, length, width), the first operator's heads first.
        b: (batch, 2 * groups, length, width), the first operator's groups first.
        v: (batch, groups, length, value width).
        weight: a scalar tensor.
        state: (batch, 2 * groups, width, value width), as for `linear_attention`.
        position: how many positions the state has seen.

    Returns y (batch, heads, length, value width) in the dtype of v, and raises ValueError as
    `linear_attention` does.
    """
    if removed_after_the_merge:
        before, position = removed_after_the_merge
        state = None if before is None else before.clone()
    name = "differential_linear_attention"
    check_pair(name, c, b, v, weight)
    if state is None:
        return linear_attention(*concatenated(c, b, weight), v, position=position)
    check_inputs(
        name, {"v": (v, v.shape), "state": (state, (*b.shape[:2], b.shape[-1], v.shape[-1]))}
    )
    sums = torch.cat(state.chunk(2, dim=1), dim=2)
    y = linear_attention(*concatenated(c, b, weight), v, state=sums, position=position)
    with torch.no_grad():
        state.copy_(torch.cat(sums.chunk(2, dim=2), dim=1))
    return y


def concatenated(c: torch.Tensor, b: torch.Tensor, weight: torch.Tensor) -> Pair:
    """C and B of twice the width whose products, over the root of their width, are `T1 - weight *
    T2`."""
    dtype = widest(c, b)
    c1, c2 = (c.to(dtype) * math.sqrt(2)).chunk(2, dim=1)
    return torch.cat([c1, c2 * -weight.to(dtype)], dim=-1).to(c.dtype), torch.cat(
        b.chunk(2, dim=1), dim=-1
    )


def _check(
    name: str,
    c: torch.Tensor,
    b: torch.Tensor,
    v: torch.Tensor,
    state: torch.Tensor | None,
    position: int,
) -> None:
    check_heads(name, c, b, v)
    if b.shape[2] != c.shape[2]:
        raise ValueError(
            f"{name}: c and b have lengths {c.shape[2]} and {b.shape[2]}, expected equal ones"
        )
    if position < 0:
        raise ValueError(f"{name}: position is {position}, expected 0 or more")
    if state is not None:
        check_inputs(
            name, {"v": (v, v.shape), "state": (state, (*b.shape[:2], b.shape[-1], v.shape[-1]))}
        )


def _step(
    c: torch.Tensor, b: torch.Tensor, v: torch.Tensor, state: torch.Tensor | None, position: int
) -> Pair:
    dtype = widest(c, b, v)
    final = b.mT.to(dtype) * v.to(dtype)
    final = final if state is None else final + state
    grouped = c.to(dtype).reshape(*b.shape[:2], -1, c.shape[-1])
    with without_autocast(v):
        y = torch.matmul(grouped * (c.shape[-1] * (position + 1)) ** -0.5, final.to(dtype))
    return y.reshape(*c.shape[:3], v.shape[-1]).to(v.dtype), final.to(dtype)


@torch.library.custom_op(
    "star::linear_attention",
    mutates_args=(),
    schema="(Tensor c, Tensor b, Tensor v, Tensor? state, int position) -> (Tensor, Tensor)",
)
def _linear_attention(
    c: torch.Tensor, b: torch.Tensor, v: torch.Tensor, state: torch.Tensor | None, position: int
) -> Pair:
    if implementation(NAME, c, b, v) == TRITON:
        from .triton_chunks import forward

        return forward(c, b, v, state, position)
    with without_autocast(v):
        return chunks.forward(c, b, v, state, position)


@_linear_attention.register_fake
def _(
    c: torch.Tensor, b: torch.Tensor, v: torch.Tensor, state: torch.Tensor | None, position: int
) -> Pair:
    final = v.new_empty((*b.shape[:2], b.shape[-1], v.shape[-1]), dtype=widest(c, b, v))
    return v.new_empty(*c.shape[:3], v.shape[-1]), final


@torch.library.custom_op(
    "star::linear_attention_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor grad_final, Tensor c, Tensor b, Tensor v, Tensor? state, int "
    "position) "
    "-> (Tensor, Tensor, Tensor, Tensor)",
)
def _linear_attention_backward(
    grad: torch.Tensor,
    grad_final: torch.Tensor,
    c: torch.Tensor,
    b: torch.Tensor,
    v: torch.Tensor,
    state: torch.Tensor | None,
    position: int,
) -> Gradients:
    if implementation(NAME, c, b, v) == TRITON:
        from .triton_chunks import backward

        return backward(grad, grad_final, c, b, v, state, position)
    with without_autocast(v):
        return chunks.backward(grad, grad_final, c, b, v, state, position)


@_linear_attention_backward.register_fake
def _(
    grad: torch.Tensor,
    grad_final: torch.Tensor,
    c: torch.Tensor,
    b: torch.Tensor,
    v: torch.Tensor,
    state: torch.Tensor | None,
    position: int,
) -> Gradients:
    return (
        c.new_empty(c.shape),
        b.new_empty(b.shape),
        v.new_empty(v.shape),
        grad_final.new_empty(grad_final.shape),
    )


def _setup(ctx: torch.autograd.function.FunctionCtx, inputs: tuple, output: Pair) -> None:
    *tensors, ctx.position = inputs  # type: ignore[attr-defined]
    ctx.save_for_backward(*tensors)


def _backward(
    ctx: torch.autograd.function.FunctionCtx, grad: torch.Tensor, grad_final: torch.Tensor
) -> tuple[torch.Tensor | None, ...]:
    c, b, v, state = ctx.saved_tensors  # type: ignore[attr-defined]
    gradients = _linear_attention_backward(grad, grad_final, c, b, v, state, ctx.position)  # type: ignore[attr-defined]
    *gradients, grad_state = gradients
    return (*gradients, None if state is None else grad_state.to(state.dtype), None)


_linear_attention.register_autograd(_backward, setup_context=_setup)
