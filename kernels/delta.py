"""What the delta rules share: checks of their arguments, one position, and their operator of
torch.library. They differ in what decays: whole heads, or each channel of a key."""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from .checks import check_inputs
from .dtypes import wide, without_autocast

# The module that computes, Triton's or PyTorch's, for q, k and v: with `forward`, `backward`,
# `chunk_size` and `start_dtype`.
Implementation = Callable[[Tensor, Tensor, Tensor], ModuleType]
Operator = Callable[..., tuple[Tensor, Tensor, Tensor]]


def check_delta(
    name: str,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor,
    beta: Tensor,
    state: Tensor | None,
    by_channel: bool,
) -> None:
    """Raise ValueError unless q and k (batch, heads, length, key width), v (batch, heads, length,
    value width), decay and beta (batch, heads, length), and the state fit each other; decay has a
    key width too where it is `by_channel`."""
    for argument, x, width in (("q", q, "key"), ("v", v, "value")):
        if x.dim() != 4 or 0 in x.shape:
            raise ValueError(
                f"{name}: {argument} has shape {tuple(x.shape)}, expected (batch, heads, length, "
                f"{width} width), none of them 0"
            )
    rows, key, value = v.shape[:3], q.shape[-1], v.shape[-1]
    expected: dict[str, tuple[Tensor | None, Sequence[int]]] = {
        "q": (q, (*rows, key)),
        "k": (k, (*rows, key)),
        "v": (v, v.shape),
        "decay": (decay, (*rows, key) if by_channel else rows),
        "beta": (beta, rows),
        "state": (state, (*rows[:2], key, value)),
    }
    check_inputs(name, expected)


def delta_step(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, state: Tensor
) -> Tensor:
    """One position, by plain operations; advances the state in place. decay: of every channel of
    a key, (batch, heads, 1, key width), or (batch, heads, 1, 1)."""
    dtype = wide(v.dtype)
    with without_autocast(v):
        memory = state.to(dtype).mul_(decay.to(dtype).exp().mT)
        key = k.to(dtype)
        correction = (v.to(dtype) - key @ memory) * beta.to(dtype)[..., None]
        memory.addcmul_(key.mT, correction)
        if memory is not state:
            state.copy_(memory)
        return ((q.to(dtype) * q.shape[-1] ** -0.5) @ memory).to(v.dtype)


def delta_operator(name: str, implementation: Implementation) -> Operator:
    """The operator of torch.library `star::<name>`, with its gradients.

    It takes q, k, v, decay, beta and a state or None, unchecked, and returns y, the last state, and
    the states at the start of each chunk, for backward.
    """

    def forward(
        q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, state: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        with without_autocast(v):
            return implementation(q, k, v).forward(q, k, v, decay, beta, state)

    def forward_shapes(
        q: Tensor, k: Tensor, v: Tensor, *_: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        batch, heads, length, value = v.shape
        module = implementation(q, k, v)
        chunks = -(-length // module.chunk_size(q))
        last = v.new_empty(batch, heads, q.shape[-1], value, dtype=wide(v.dtype))
        kept = (batch * heads * chunks, q.shape[-1], value)
        return v.new_empty(v.shape), last, v.new_empty(kept, dtype=module.start_dtype(q, k, v))

    def gradients(
        grad: Tensor, grad_state: Tensor | None, q: Tensor, k: Tensor, v: Tensor, *rest: Tensor
    ) -> tuple[Tensor, ...]:
        with without_autocast(v):
            return implementation(q, k, v).backward(grad, grad_state, q, k, v, *rest)

    def gradient_shapes(
        grad: Tensor, grad_state: Tensor | None, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        *inputs, start = tensors
        first = grad.new_empty(*grad.shape[:2], *start.shape[1:], dtype=wide(inputs[2].dtype))
        return (*(x.new_empty(x.shape) for x in inputs), first)

    def define(name: str, function: Callable[..., Any], shapes: Callable, schema: str) -> Any:
        made = torch.library.custom_op(name, function, mutates_args=(), schema=schema)
        made.register_fake(shapes)
        return made

    inputs = "Tensor q, Tensor k, Tensor v, Tensor decay, Tensor beta"
    operator = define(
        f"star::{name}", forward, forward_shapes,
        f"({inputs}, Tensor? state) -> (Tensor, Tensor, Tensor)",
    )  # fmt: skip
    backward = define(
        f"star::{name}_backward", gradients, gradient_shapes,
        f"(Tensor grad, Tensor? grad_state, {inputs}, Tensor start) -> "
        f"({', '.join(['Tensor'] * 6)})",
    )  # fmt: skip
    operator.register_autograd(_through(backward), setup_context=_keep)
    return operator


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, state = inputs
    ctx.set_materialize_grads(False)
    ctx.state_dtype = None if state is None else state.dtype
    ctx.save_for_backward(*tensors, output[2])


def _through(backward: Callable[..., tuple[Tensor, ...]]) -> Callable[..., tuple[Any, ...]]:
    def gradients(
        ctx: Any, grad: Tensor | None, grad_state: Tensor | None, _: None
    ) -> tuple[Tensor | None, ...]:
        *tensors, start = ctx.saved_tensors
        if grad is None:
            grad = torch.zeros_like(tensors[2])
        *found, first = backward(grad, grad_state, *tensors, start)
        return (*found, None if ctx.state_dtype is None else first.to(ctx.state_dtype))

    return gradients
