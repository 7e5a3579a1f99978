"""SwiGLU's gate in Triton as an operator of torch.library, with its gradients."""

from typing import Any

import torch
from torch import Tensor

NAME = "swiglu"


@torch.library.custom_op("star::swiglu", mutates_args=(), schema="(Tensor c, Tensor v) -> Tensor")
def operator(c: Tensor, v: Tensor) -> Tensor:
    """The gate, for tensors that Triton can reach."""
    from .triton import forward

    return forward(c, v)


@operator.register_fake
def _(c: Tensor, v: Tensor) -> Tensor:
    return v.new_empty(v.shape)


@torch.library.custom_op(
    "star::swiglu_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor c, Tensor v) -> (Tensor, Tensor)",
)
def _operator_backward(grad: Tensor, c: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    from .triton import backward

    return backward(grad, c, v)


@_operator_backward.register_fake
def _(grad: Tensor, c: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    return c.new_empty(c.shape), v.new_empty(v.shape)


def _setup(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
    return _operator_backward(grad, *ctx.saved_tensors)


operator.register_autograd(_backward, setup_context=_setup)
