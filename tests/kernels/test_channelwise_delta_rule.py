"""The channel-wise gated delta rule beyond the registry's tests: the paper's equation, the
convention of transformers, hard decays, gradients, compilation, errors."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from star.kernels.channelwise_delta_rule import channelwise_delta_rule
from star.kernels.channelwise_delta_rule.operator import channelwise_delta_rule_from, operator
from star.kernels.channelwise_delta_rule.reference import channelwise_delta_rule_reference

NAMES = ("q", "k", "v", "decay", "beta", "state")


def draw(
    length: int, key: int = 5, value: int = 7, dtype: torch.dtype = torch.float64
) -> list[Any]:
    """q, k, v, decay, beta and a state for batch 2 and 3 heads."""
    generator = torch.Generator().manual_seed(length)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(2, 3, *shape, generator=generator, dtype=torch.float64)

    q, k = (F.normalize(normal(length, key), dim=-1) for _ in range(2))
    gates = -F.softplus(normal(length, key)), torch.sigmoid(normal(length))
    return [x.to(dtype) for x in (q, k, normal(length, value), *gates, normal(key, value))]


@pytest.mark.parametrize("name", ["recurrent_kimi_delta_attention", "chunk_kimi_delta_attention"])
def test_it_is_the_rule_of_kimi_linear(name: str) -> None:
    model = pytest.importorskip("transformers.models.kimi_linear.modeling_kimi_linear")
    theirs = getattr(model, name)
    theirs = getattr(theirs, "__wrapped__", theirs)
    tensors = [x.requires_grad_() for x in draw(70, dtype=torch.float32)]
    *inputs, state = tensors
    y, last = channelwise_delta_rule_from(*tensors)
    rows = [x.transpose(1, 2) for x in inputs]
    z, end = theirs(*rows, initial_state=state, output_final_state=True)
    torch.testing.assert_close(y, z.transpose(1, 2), atol=2e-5, rtol=2e-5)
    torch.testing.assert_close(last, end, atol=2e-5, rtol=2e-5)
    cotangents = torch.randn_like(y), torch.randn_like(last)
    ours = torch.autograd.grad((y, last), (*inputs, state), cotangents)
    if name.startswith("chunk"):  # the other writes its outputs in place
        expected = torch.autograd.grad(
            (z, end), (*inputs, state), (cotangents[0].transpose(1, 2), cotangents[1])
        )
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


def by_definition(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, decay: torch.Tensor, beta: torch.Tensor
) -> torch.Tensor:
    """Equation 1 of arXiv 2510.26692 with the matrices written out, for one head: S_t =
    (I - beta k k^T) Diag(a) S_(t-1) + beta k v^T, and q^T S_t / sqrt(key width)."""
    key = q.shape[-1]
    state, rows = q.new_zeros(key, v.shape[-1]), []
    for t in range(len(q)):
        step = torch.eye(key, dtype=q.dtype) - beta[t] * torch.outer(k[t], k[t])
        state = step @ torch.diag(decay[t].exp()) @ state + beta[t] * torch.outer(k[t], v[t])
        rows.append(q[t] @ state / key**0.5)
    return torch.stack(rows)


HARD = {
    "as drawn": lambda decay: decay,
    "none": torch.zeros_like,
    "strong": lambda decay: 60 * decay,
    "some channels only": lambda decay: decay * torch.tensor([0.0, 1e-3, 1.0, 30.0, 1e4]),
    "some positions only": lambda decay: (
        decay * (torch.arange(decay.shape[2]) % 7 == 3)[:, None] * 500
    ),
}


@pytest.mark.parametrize("hard", HARD)
@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 37, 130])
def test_hard_decays_keep_what_the_definition_keeps(hard: str, length: int) -> None:
    q, k, v, decay, beta, _ = draw(length)
    decay = HARD[hard](decay)
    expected = torch.stack(
        [
            torch.stack(
                [by_definition(*(x[b, h] for x in (q, k, v, decay, beta))) for h in range(3)]
            )
            for b in range(2)
        ]
    )
    torch.testing.assert_close(channelwise_delta_rule(q, k, v, decay, beta), expected)
    narrow = channelwise_delta_rule(*(x.float() for x in (q, k, v, decay, beta)))
    assert (narrow - expected).norm() < 1e-6 * expected.norm()


@pytest.mark.parametrize("hard", HARD)
def test_hard_decays_have_the_gradients_of_the_recurrence(hard: str) -> None:
    inputs = draw(37)
    inputs[3] = HARD[hard](inputs[3])
    cotangents = [torch.randn_like(inputs[2]), torch.randn_like(inputs[5])]
    gradients = []
    for function, dtype in (
        (channelwise_delta_rule_from, torch.float32),
        (channelwise_delta_rule_reference, torch.float64),
    ):
        leaves = [x.to(dtype).requires_grad_() for x in inputs]
        pairs = zip(function(*leaves), cotangents, strict=True)
        gradients.append(torch.autograd.grad([(y * g).sum() for y, g in pairs], leaves))
    for name, found, expected in zip(NAMES, *gradients, strict=True):
        assert (found - expected).norm() <= 2e-6 * expected.norm(), name


@pytest.mark.parametrize("length", [1, 16, 37])
def test_the_fast_path_has_exact_gradients(length: int) -> None:
    inputs = [x.requires_grad_() for x in draw(length, 3, 2)]
    assert torch.autograd.gradcheck(channelwise_delta_rule_from, inputs, fast_mode=True)


def test_a_decay_of_minus_infinity_forgets_all() -> None:
    q, k, v, decay, beta, state = draw(40)
    decay[:, :, 21] = -torch.inf
    decay.requires_grad_()
    y, _ = channelwise_delta_rule_from(q, k, v, decay, beta, state)
    fresh = channelwise_delta_rule(*(x[:, :, 21:] for x in (q, k, v, decay, beta)))
    torch.testing.assert_close(y[:, :, 21:], fresh)
    (grad,) = torch.autograd.grad(y.sum(), decay)
    assert torch.isfinite(grad).all() and not grad[:, :, 21].any()


def test_the_custom_operator_is_sound() -> None:
    custom: Any = operator  # which is typed by what it computes
    for length in (1, 21):
        inputs = [x.requires_grad_() for x in draw(length, 3, 2, torch.float32)]
        torch.library.opcheck(custom, tuple(inputs))
        torch.library.opcheck(custom, (*inputs[:5], None))


def test_compiled_whole_it_gives_the_same() -> None:
    inputs = [x.requires_grad_() for x in draw(20, dtype=torch.float32)]

    def function(*x: Any) -> torch.Tensor:
        return channelwise_delta_rule_from(*x)[0] * 2

    compiled: Any = torch.compile(function, fullgraph=True, backend="aot_eager")
    for found, expected in ((compiled(*inputs), function(*inputs)),):
        torch.testing.assert_close(found, expected)
        pairs = [torch.autograd.grad(y.sum(), inputs) for y in (found, expected)]
        torch.testing.assert_close(*pairs)


def test_mixed_dtypes_and_autocast_return_the_dtype_of_v() -> None:
    q, k, v, decay, beta, state = (x.requires_grad_() for x in draw(20, dtype=torch.float32))
    with torch.autocast("cpu", torch.bfloat16):
        y, last = channelwise_delta_rule_from(
            q.bfloat16(), k.bfloat16(), v.bfloat16(), decay, beta, state
        )
    assert y.dtype == torch.bfloat16 and last.dtype == torch.float32
    torch.testing.assert_close(
        y.float(), channelwise_delta_rule_from(q, k, v, decay, beta, state)[0], atol=3e-2, rtol=3e-2
    )
    gradients = torch.autograd.grad(y.float().sum() + last.sum(), (q, v, decay, state))
    assert all(grad.dtype == torch.float32 for grad in gradients)


def test_either_output_alone_has_gradients() -> None:
    inputs = [x.requires_grad_() for x in draw(20)]
    y, last = channelwise_delta_rule_from(*inputs)
    both = torch.autograd.grad(y.sum() + last.sum(), inputs, retain_graph=True)
    alone = [
        torch.autograd.grad(
            x.sum(), inputs, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        for x in (y, last)
    ]
    torch.testing.assert_close(both, tuple(a + b for a, b in zip(*alone, strict=True)))


def change(name: str, x: torch.Tensor) -> list[Any]:
    return [x if name == other else y for other, y in zip(NAMES, draw(4), strict=True)]


@pytest.mark.parametrize(
    ("name", "x", "said"),
    [
        ("q", torch.zeros(2, 3, 4), "q has shape .* expected .batch, heads, length, key width"),
        (
            "v",
            torch.zeros(2, 3, 0, 7),
            "v has shape .* expected .batch, heads, length, value width",
        ),
        ("k", torch.zeros(2, 3, 4, 6), r"k has shape .* expected \(2, 3, 4, 5\)"),
        ("decay", torch.zeros(2, 3, 4), r"decay has shape .* expected \(2, 3, 4, 5\)"),
        (
            "beta",
            torch.zeros(2, 3, 4, dtype=torch.long),
            "beta has dtype torch.int64, expected one of",
        ),
        ("state", torch.zeros(2, 3, 7, 5), r"state has shape .* expected \(2, 3, 5, 7\)"),
        ("k", torch.zeros(2, 3, 4, 5, device="meta"), "k is on meta, expected cpu"),
    ],
)
def test_unfit_arguments_are_named(name: str, x: torch.Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=f"channelwise_delta_rule: {said}"):
        channelwise_delta_rule(*change(name, x))
