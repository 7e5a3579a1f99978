"""Linear attention: the custom operator, the step of generation, and the two operators of a
differential class."""

import math
from typing import Literal, overload

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


@overload
def linear_attention(
    c: torch.Tensor,
    b: torch.Tensor,
    v: torch.Tensor,
    state: torch.Tensor | None = None,
    earlier: int = 0,
    return_state: Literal[False] = False,
) -> torch.Tensor: ...


@overload
def linear_attention(
    c: torch.Tensor,
    b: torch.Tensor,
    v: torch.Tensor,
    state: torch.Tensor | None = None,
    earlier: int = 0,
    *,
    return_state: Literal[True],
) -> Pair: ...


def linear_attention(
    c: torch.Tensor,
    b: torch.Tensor,
    v: torch.Tensor,
    state: torch.Tensor | None = None,
    earlier: int = 0,
    return_state: bool = False,
) -> torch.Tensor | Pair:
    """Causal attention without a nonlinearity or a normaliser (after arXiv 2006.16236), linear in
    the length.

    `S_i = S_{i-1} + B_i^T V_i`, `y_i = C_i S_i / sqrt(width * (earlier + i))` for i = 1, 2, ...

    c: (batch, heads, length, width); b: (batch, groups, length, width); v: (batch, groups, length,
    value width), with heads a multiple of groups. state: (batch, groups, width, value width), the
    sum `S_0` over the `earlier` positions; None for zero. All floating; the computation is in
    float32, or float64 where an input has it. Returns y (batch, heads, length, value width) in the
    dtype of v, and with `return_state` also the final sum, in the dtype of the computation.
    Backward keeps the inputs alone. Raises ValueError for shapes, devices or dtypes that do not
    fit.
    """
    _check(NAME, c, b, v, state, earlier)
    if mode() == REFERENCE:
        y, final = linear_attention_reference(c, b, v, state, earlier)
    elif c.shape[2] == 1:
        y, final = _step(c, b, v, state, earlier)
    else:
        y, final = _linear_attention(c, b, v, state, earlier)
    return (y, final) if return_state else y


def step_linear_attention(
    c: torch.Tensor, b: torch.Tensor, v: torch.Tensor, state: torch.Tensor, earlier: int
) -> Pair:
    """One position of `linear_attention` as plain operations, for generation.

    Arguments with a length of 1. Returns y (batch, heads, 1, value width) and the new sum, which is
    a new tensor. Raises ValueError as `linear_attention` does.
    """
    _check("step_linear_attention", c, b, v, state, earlier)
    if c.shape[2] != 1:
        raise ValueError(f"step_linear_attention: c has length {c.shape[2]}, expected 1")
    return _step(c, b, v, state, earlier)


@overload
def differential_linear_attention(
    c: torch.Tensor,
    b: torch.Tensor,
    v: torch.Tensor,
    weight: torch.Tensor,
    state: torch.Tensor | None = None,
    earlier: int = 0,
    return_state: Literal[False] = False,
) -> torch.Tensor: ...


@overload
def differential_linear_attention(
    c: torch.Tensor,
    b: torch.Tensor,
    v: torch.Tensor,
    weight: torch.Tensor,
    state: torch.Tensor | None = None,
    earlier: int = 0,
    *,
    return_state: Literal[True],
) -> Pair: ...


def differential_linear_attention(
    c: torch.Tensor,
    b: torch.Tensor,
    v: torch.Tensor,
    weight: torch.Tensor,
    state: torch.Tensor | None = None,
    earlier: int = 0,
    return_state: bool = False,
) -> torch.Tensor | Pair:
    """`T1 V - weight * T2 V` for two operators of `linear_attention`.

    c: (batch, 2 * heads, length, width) and b: (batch, 2 * groups, length, width), the first
    operator's heads first; v: (batch, groups, length, value width); weight: scalar; state: (batch,
    2 * groups, width, value width). Returns as `linear_attention`, and raises ValueError as it
    does. The pair is one linear attention of twice the width, since `C1 B1^T - weight * C2 B2^T` is
    a product of concatenated rows.
    """
    name = "differential_linear_attention"
    check_pair(name, c, b, v, weight)
    if state is not None:
        check_inputs(
            name, {"v": (v, v.shape), "state": (state, (*b.shape[:2], b.shape[-1], v.shape[-1]))}
        )
        state = torch.cat(state.chunk(2, dim=1), dim=2)
    y, final = linear_attention(*concatenated(c, b, weight), v, state, earlier, return_state=True)
    return (y, torch.cat(final.chunk(2, dim=2), dim=1)) if return_state else y


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
    earlier: int,
) -> None:
    check_heads(name, c, b, v)
    if b.shape[2] != c.shape[2]:
        raise ValueError(
            f"{name}: c and b have lengths {c.shape[2]} and {b.shape[2]}, expected equal ones"
        )
    if earlier < 0:
        raise ValueError(f"{name}: earlier is {earlier}, expected 0 or more")
    if state is not None:
        check_inputs(
            name, {"v": (v, v.shape), "state": (state, (*b.shape[:2], b.shape[-1], v.shape[-1]))}
        )


def _step(
    c: torch.Tensor, b: torch.Tensor, v: torch.Tensor, state: torch.Tensor | None, earlier: int
) -> Pair:
    dtype = widest(c, b, v)
    final = b.mT.to(dtype) * v.to(dtype)
    final = final if state is None else final + state
    grouped = c.to(dtype).reshape(*b.shape[:2], -1, c.shape[-1])
    with without_autocast(v):
        y = torch.matmul(grouped * (c.shape[-1] * (earlier + 1)) ** -0.5, final.to(dtype))
    return y.reshape(*c.shape[:3], v.shape[-1]).to(v.dtype), final.to(dtype)


@torch.library.custom_op(
    "star::linear_attention",
    mutates_args=(),
    schema="(Tensor c, Tensor b, Tensor v, Tensor? state, int earlier) -> (Tensor, Tensor)",
)
def _linear_attention(
    c: torch.Tensor, b: torch.Tensor, v: torch.Tensor, state: torch.Tensor | None, earlier: int
) -> Pair:
    if implementation(NAME, c, b, v) == TRITON:
        from .triton_chunks import forward

        return forward(c, b, v, state, earlier)
    with without_autocast(v):
        return chunks.forward(c, b, v, state, earlier)


@_linear_attention.register_fake
def _(
    c: torch.Tensor, b: torch.Tensor, v: torch.Tensor, state: torch.Tensor | None, earlier: int
) -> Pair:
    final = v.new_empty((*b.shape[:2], b.shape[-1], v.shape[-1]), dtype=widest(c, b, v))
    return v.new_empty(*c.shape[:3], v.shape[-1]), final


@torch.library.custom_op(
    "star::linear_attention_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor grad_final, Tensor c, Tensor b, Tensor v, Tensor? state, int "
    "earlier) "
    "-> (Tensor, Tensor, Tensor, Tensor)",
)
def _linear_attention_backward(
    grad: torch.Tensor,
    grad_final: torch.Tensor,
    c: torch.Tensor,
    b: torch.Tensor,
    v: torch.Tensor,
    state: torch.Tensor | None,
    earlier: int,
) -> Gradients:
    if implementation(NAME, c, b, v) == TRITON:
        from .triton_chunks import backward

        return backward(grad, grad_final, c, b, v, state, earlier)
    with without_autocast(v):
        return chunks.backward(grad, grad_final, c, b, v, state, earlier)


@_linear_attention_backward.register_fake
def _(
    grad: torch.Tensor,
    grad_final: torch.Tensor,
    c: torch.Tensor,
    b: torch.Tensor,
    v: torch.Tensor,
    state: torch.Tensor | None,
    earlier: int,
) -> Gradients:
    return (
        c.new_empty(c.shape),
        b.new_empty(b.shape),
        v.new_empty(v.shape),
        grad_final.new_empty(grad_final.shape),
    )


def _setup(ctx: torch.autograd.function.FunctionCtx, inputs: tuple, output: Pair) -> None:
    *tensors, ctx.earlier = inputs  # type: ignore[attr-defined]
    ctx.save_for_backward(*tensors)


def _backward(
    ctx: torch.autograd.function.FunctionCtx, grad: torch.Tensor, grad_final: torch.Tensor
) -> tuple[torch.Tensor | None, ...]:
    c, b, v, state = ctx.saved_tensors  # type: ignore[attr-defined]
    gradients = _linear_attention_backward(grad, grad_final, c, b, v, state, ctx.earlier)  # type: ignore[attr-defined]
    *gradients, grad_state = gradients
    return (*gradients, None if state is None else grad_state.to(state.dtype), None)


_linear_attention.register_autograd(_backward, setup_context=_setup)
