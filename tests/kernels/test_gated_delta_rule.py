"""The gated delta rule beyond the registry's tests: transformers' convention, gradients,
compilation, errors."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from star.kernels.gated_delta_rule import gated_delta_rule
from star.kernels.gated_delta_rule.operator import gated_delta_rule_from, operator

NAMES = ("q", "k", "v", "decay", "beta", "state")


def draw(
    length: int, key: int = 5, value: int = 7, dtype: torch.dtype = torch.float64
) -> list[Any]:
    """q, k, v, decay, beta and a state for batch 2 and 3 heads."""
    generator = torch.Generator().manual_seed(length)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(2, 3, *shape, generator=generator, dtype=torch.float64)

    q, k = (F.normalize(normal(length, key), dim=-1) for _ in range(2))
    gates = -F.softplus(normal(length)), torch.sigmoid(normal(length))
    return [x.to(dtype) for x in (q, k, normal(length, value), *gates, normal(key, value))]


@pytest.mark.parametrize(
    "name", ["torch_recurrent_gated_delta_rule", "torch_chunk_gated_delta_rule"]
)
def test_it_is_the_rule_of_qwen3_next(name: str) -> None:
    model = pytest.importorskip("transformers.models.qwen3_next.modeling_qwen3_next")
    theirs = getattr(model, name)
    theirs = getattr(theirs, "__wrapped__", theirs)
    tensors = [x.requires_grad_() for x in draw(70, dtype=torch.float32)]
    *inputs, state = tensors
    y, last = gated_delta_rule_from(*tensors)
    rows = [x.transpose(1, 2) for x in inputs]
    z, end = theirs(
        *rows, initial_state=state, output_final_state=True, use_qk_l2norm_in_kernel=False
    )
    torch.testing.assert_close(y, z.transpose(1, 2), atol=2e-5, rtol=2e-5)
    torch.testing.assert_close(last, end, atol=2e-5, rtol=2e-5)
    cotangents = torch.randn_like(y), torch.randn_like(last)
    ours = torch.autograd.grad((y, last), (*inputs, state), cotangents)
    expected = torch.autograd.grad(
        (z, end), (*inputs, state), (cotangents[0].transpose(1, 2), cotangents[1])
    )
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("length", [1, 65, 200])
def test_up_to_two_it_is_the_rule_of_olmo_hybrid(length: int) -> None:
    """Writing strengths of negative eigenvalues."""
    model = pytest.importorskip("transformers.models.olmo_hybrid.modeling_olmo_hybrid")
    theirs = model.torch_recurrent_gated_delta_rule
    theirs = getattr(theirs, "__wrapped__", theirs)
    q, k, v, decay, beta, state = draw(length, dtype=torch.float32)
    beta = (2 * beta).requires_grad_()
    y, last = gated_delta_rule_from(q, k, v, decay, beta, state)
    rows = [x.transpose(1, 2) for x in (q, k, v, decay, beta)]
    z, end = theirs(*rows, initial_state=state, output_final_state=True)
    torch.testing.assert_close(y, z.transpose(1, 2), atol=2e-5, rtol=2e-5)
    torch.testing.assert_close(last, end, atol=2e-5, rtol=2e-5)
    gradients = [torch.autograd.grad(x.square().sum(), beta) for x in (last, end)]
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-4)


def test_what_is_written_for_one_key_again_and_again_changes_its_sign() -> None:
    """Without decay and at 2, the state of a key is 2 v - state: it swings and does not grow."""
    length = 200
    key = torch.zeros(1, 1, length, 4)
    key[..., 0] = 1
    v = torch.ones(1, 1, length, 3)
    ones = torch.ones(1, 1, length)
    y = gated_delta_rule(key, key, v, 0 * ones, 2 * ones)
    expected = 2.0 * (torch.arange(length) % 2 == 0) / 2  # 2, 0, 2, 0, by the root of the width
    torch.testing.assert_close(y[0, 0], expected[:, None].expand(-1, 3))


def test_normalised_keys_are_what_their_flag_makes() -> None:
    model = pytest.importorskip("transformers.models.qwen3_next.modeling_qwen3_next")
    theirs = model.torch_recurrent_gated_delta_rule
    theirs = getattr(theirs, "__wrapped__", theirs)
    q, k, v, decay, beta, _ = draw(9, dtype=torch.float32)
    rows = [x.transpose(1, 2) for x in (3 * q, 5 * k, v, decay, beta)]
    z, _ = theirs(*rows, use_qk_l2norm_in_kernel=True)
    torch.testing.assert_close(
        gated_delta_rule(q, k, v, decay, beta), z.transpose(1, 2), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("length", [1, 16, 37])
def test_the_fast_path_has_exact_gradients(length: int) -> None:
    inputs = [x.requires_grad_() for x in draw(length, 3, 2)]
    assert torch.autograd.gradcheck(gated_delta_rule_from, inputs, fast_mode=True)


def test_a_decay_of_minus_infinity_forgets_all() -> None:
    q, k, v, decay, beta, state = draw(40)
    decay[:, :, 21] = -torch.inf
    decay.requires_grad_()
    y, _ = gated_delta_rule_from(q, k, v, decay, beta, state)
    fresh = gated_delta_rule(*(x[:, :, 21:] for x in (q, k, v, decay, beta)))
    torch.testing.assert_close(y[:, :, 21:], fresh)
    (grad,) = torch.autograd.grad(y.sum(), decay)
    assert torch.isfinite(grad).all() and (grad[:, :, 21].abs() < 1e-12).all()


def test_the_custom_operator_is_sound() -> None:
    custom: Any = operator  # which is typed by what it computes
    for length in (1, 21):
        inputs = [x.requires_grad_() for x in draw(length, 3, 2, torch.float32)]
        torch.library.opcheck(custom, tuple(inputs))
        torch.library.opcheck(custom, (*inputs[:5], None))


def test_compiled_whole_it_gives_the_same() -> None:
    inputs = [x.requires_grad_() for x in draw(20, dtype=torch.float32)]

    def function(*x: Any) -> torch.Tensor:
        return gated_delta_rule_from(*x)[0] * 2

    compiled: Any = torch.compile(function, fullgraph=True, backend="aot_eager")
    for found, expected in ((compiled(*inputs), function(*inputs)),):
        torch.testing.assert_close(found, expected)
        pairs = [torch.autograd.grad(y.sum(), inputs) for y in (found, expected)]
        torch.testing.assert_close(*pairs)


def test_mixed_dtypes_and_autocast_return_the_dtype_of_v() -> None:
    q, k, v, decay, beta, state = (x.requires_grad_() for x in draw(20, dtype=torch.float32))
    with torch.autocast("cpu", torch.bfloat16):
        y, last = gated_delta_rule_from(
            q.bfloat16(), k.bfloat16(), v.bfloat16(), decay, beta, state
        )
    assert y.dtype == torch.bfloat16 and last.dtype == torch.float32
    torch.testing.assert_close(
        y.float(), gated_delta_rule_from(q, k, v, decay, beta, state)[0], atol=3e-2, rtol=3e-2
    )
    gradients = torch.autograd.grad(y.float().sum() + last.sum(), (q, v, decay, state))
    assert all(grad.dtype == torch.float32 for grad in gradients)


def test_either_output_alone_has_gradients() -> None:
    inputs = [x.requires_grad_() for x in draw(20)]
    y, last = gated_delta_rule_from(*inputs)
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
        ("decay", torch.zeros(2, 4, 3), r"decay has shape .* expected \(2, 3, 4\)"),
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
    with pytest.raises(ValueError, match=f"gated_delta_rule: {said}"):
        gated_delta_rule(*change(name, x))
