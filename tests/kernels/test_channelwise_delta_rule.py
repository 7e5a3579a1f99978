"""The channel-wise gated delta rule beyond the registry's tests: the paper's equation, the
convention of transformers, hard decays."""

import pytest
import torch

from star.kernels.channelwise_delta_rule import channelwise_delta_rule
from star.kernels.channelwise_delta_rule.operator import channelwise_delta_rule_from
from star.kernels.channelwise_delta_rule.reference import channelwise_delta_rule_reference
from tests.kernels.delta_rules import CHANNELWISE, NAMES

draw = CHANNELWISE.draw


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


def test_a_decay_of_minus_infinity_forgets_all() -> None:
    q, k, v, decay, beta, state = draw(40)
    decay[:, :, 21] = -torch.inf
    decay.requires_grad_()
    y, _ = channelwise_delta_rule_from(q, k, v, decay, beta, state)
    fresh = channelwise_delta_rule(*(x[:, :, 21:] for x in (q, k, v, decay, beta)))
    torch.testing.assert_close(y[:, :, 21:], fresh)
    (grad,) = torch.autograd.grad(y.sum(), decay)
    assert torch.isfinite(grad).all() and not grad[:, :, 21].any()
