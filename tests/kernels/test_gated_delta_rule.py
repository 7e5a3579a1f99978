"""The gated delta rule beyond the registry's tests: transformers' convention, hard decays."""

import pytest
import torch

from star.kernels.gated_delta_rule import gated_delta_rule
from star.kernels.gated_delta_rule.operator import gated_delta_rule_from
from tests.kernels.delta_rules import GATED

draw = GATED.draw


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


def test_a_decay_of_minus_infinity_forgets_all() -> None:
    q, k, v, decay, beta, state = draw(40)
    decay[:, :, 21] = -torch.inf
    decay.requires_grad_()
    y, _ = gated_delta_rule_from(q, k, v, decay, beta, state)
    fresh = gated_delta_rule(*(x[:, :, 21:] for x in (q, k, v, decay, beta)))
    torch.testing.assert_close(y[:, :, 21:], fresh)
    (grad,) = torch.autograd.grad(y.sum(), decay)
    assert torch.isfinite(grad).all() and (grad[:, :, 21].abs() < 1e-12).all()
