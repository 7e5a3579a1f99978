"""What holds of both delta rules: gradients, the operator of torch.library, compilation, dtypes,
errors."""

from typing import Any

import pytest
import torch

from tests.kernels.delta_rules import CHANNELWISE, GATED, NAMES, Rule


@pytest.fixture(params=[GATED, CHANNELWISE], ids=lambda rule: rule.name)
def rule(request: pytest.FixtureRequest) -> Rule:
    """Each of them."""
    return request.param


@pytest.mark.parametrize("length", [1, 16, 37])
def test_the_fast_path_has_exact_gradients(rule: Rule, length: int) -> None:
    inputs = [x.requires_grad_() for x in rule.draw(length, 3, 2)]
    assert torch.autograd.gradcheck(rule.from_state, inputs, fast_mode=True)


def test_the_custom_operator_is_sound(rule: Rule) -> None:
    for length in (1, 21):
        inputs = [x.requires_grad_() for x in rule.draw(length, 3, 2, torch.float32)]
        torch.library.opcheck(rule.operator, tuple(inputs))
        torch.library.opcheck(rule.operator, (*inputs[:5], None))


def test_compiled_whole_it_gives_the_same(rule: Rule) -> None:
    inputs = [x.requires_grad_() for x in rule.draw(20, dtype=torch.float32)]

    def function(*x: Any) -> torch.Tensor:
        return rule.from_state(*x)[0] * 2

    compiled: Any = torch.compile(function, fullgraph=True, backend="aot_eager")
    for found, expected in ((compiled(*inputs), function(*inputs)),):
        torch.testing.assert_close(found, expected)
        pairs = [torch.autograd.grad(y.sum(), inputs) for y in (found, expected)]
        torch.testing.assert_close(*pairs)


def test_mixed_dtypes_and_autocast_return_the_dtype_of_v(rule: Rule) -> None:
    q, k, v, decay, beta, state = (x.requires_grad_() for x in rule.draw(20, dtype=torch.float32))
    with torch.autocast("cpu", torch.bfloat16):
        y, last = rule.from_state(q.bfloat16(), k.bfloat16(), v.bfloat16(), decay, beta, state)
    assert y.dtype == torch.bfloat16 and last.dtype == torch.float32
    torch.testing.assert_close(
        y.float(), rule.from_state(q, k, v, decay, beta, state)[0], atol=3e-2, rtol=3e-2
    )
    gradients = torch.autograd.grad(y.float().sum() + last.sum(), (q, v, decay, state))
    assert all(grad.dtype == torch.float32 for grad in gradients)


def test_either_output_alone_has_gradients(rule: Rule) -> None:
    inputs = [x.requires_grad_() for x in rule.draw(20)]
    y, last = rule.from_state(*inputs)
    both = torch.autograd.grad(y.sum() + last.sum(), inputs, retain_graph=True)
    alone = [
        torch.autograd.grad(
            x.sum(), inputs, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        for x in (y, last)
    ]
    torch.testing.assert_close(both, tuple(a + b for a, b in zip(*alone, strict=True)))


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
        (
            "beta",
            torch.zeros(2, 3, 4, dtype=torch.long),
            "beta has dtype torch.int64, expected one of",
        ),
        ("state", torch.zeros(2, 3, 7, 5), r"state has shape .* expected \(2, 3, 5, 7\)"),
        ("k", torch.zeros(2, 3, 4, 5, device="meta"), "k is on meta, expected cpu"),
    ],
)
def test_unfit_arguments_are_named(rule: Rule, name: str, x: torch.Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=f"{rule.name}: {said}"):
        rule.function(*change(rule, name, x))


@pytest.mark.parametrize(
    ("own", "decay", "said"),
    [
        (GATED, torch.zeros(2, 4, 3), r"\(2, 3, 4\)"),
        (CHANNELWISE, torch.zeros(2, 3, 4), r"\(2, 3, 4, 5\)"),
    ],
    ids=["a head", "a channel"],
)
def test_an_unfit_decay_is_named(own: Rule, decay: torch.Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=f"{own.name}: decay has shape .* expected {said}"):
        own.function(*change(own, "decay", decay))


def change(rule: Rule, name: str, x: torch.Tensor) -> list[Any]:
    return [x if name == other else y for other, y in zip(NAMES, rule.draw(4), strict=True)]
