"""SwiGLU's gate: `silu(c) * v` (arXiv 2002.05202)."""

import torch
from torch.nn import functional as F

from ..checks import check_inputs
from ..dispatch import REFERENCE, TRITON, choose
from .reference import swiglu_reference

NAME = "swiglu"


def swiglu(c: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """`y = c * sigmoid(c) * v` (arXiv 2002.05202).

    c, v: the same shape, floating (float32, bfloat16, float16 or float64, mixed at will). Returns y
    of that shape in the dtype of v. Triton passes over memory once forward and once backward,
    computes in float32 and keeps c and v alone. PyTorch's own operators do it elsewhere, which
    nothing beats on a CPU; they keep and round silu(c) as well. Raises ValueError for shapes,
    devices or dtypes that do not fit.
    """
    check_inputs(NAME, {"v": (v, v.shape), "c": (c, v.shape)})
    choice = choose(NAME, v)
    if choice == REFERENCE:
        return swiglu_reference(c, v)
    return _swiglu(c, v) if choice == TRITON else (F.silu(c) * v).to(v.dtype)


@torch.library.custom_op("star::swiglu", mutates_args=())
def _swiglu(c: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    from .triton_kernel import forward

    return forward(c, v)


@_swiglu.register_fake
def _(c: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return v.new_empty(v.shape)


@torch.library.custom_op("star::swiglu_backward", mutates_args=())
def _swiglu_backward(
    grad: torch.Tensor, c: torch.Tensor, v: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    from .triton_kernel import backward

    return backward(grad, c, v)


@_swiglu_backward.register_fake
def _(grad: torch.Tensor, c: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return c.new_empty(c.shape), v.new_empty(v.shape)


def _setup(
    ctx: torch.autograd.function.FunctionCtx, inputs: tuple[torch.Tensor, ...], output: torch.Tensor
) -> None:
    ctx.save_for_backward(*inputs)


def _backward(
    ctx: torch.autograd.function.FunctionCtx, grad: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    c, v = ctx.saved_tensors  # type: ignore[attr-defined]
    return _swiglu_backward(grad, c, v)


_swiglu.register_autograd(_backward, setup_context=_setup)
