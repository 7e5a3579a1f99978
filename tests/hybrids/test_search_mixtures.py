"""DARTS, GAEA and DASH against steps that are computed another way."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from star.hybrids.mixtures import METHODS, Darts, Dash, Gaea

CPU = torch.device("cpu")
SHAPE = (2, 3)
GRADIENT = torch.tensor([[1.0, -2.0, 0.5], [0.0, 0.25, 4.0]], dtype=torch.float64)
NOISE = np.random.default_rng(0)


@pytest.mark.parametrize("method", list(METHODS))
def test_a_mixture_begins_alike_for_all(method: str) -> None:
    weights = METHODS[method](SHAPE, 0.1, CPU).weights()
    assert torch.allclose(weights, torch.full(SHAPE, 1 / 3))


def test_a_step_of_gaea_is_the_formula() -> None:
    gaea = Gaea(SHAPE, 0.3, CPU, torch.float64)
    theta = np.full(SHAPE, 1 / 3)
    for _ in range(3):  # theta <- theta exp(-rate g) / sum, of Li et al. 2021, equation 4
        gaea.update(GRADIENT)
        theta = theta * np.exp(-0.3 * GRADIENT.numpy())
        theta /= theta.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(gaea.weights().detach().numpy(), theta, rtol=1e-12)


def test_a_weight_of_gaea_never_dies() -> None:
    gaea = Gaea((1, 2), 1.0, CPU)
    for _ in range(4):
        gaea.update(torch.tensor([[1000.0, -1000.0]]))
    assert gaea.weights()[0, 0] > 0 and bool(gaea.weights().isfinite().all())
    for _ in range(4):
        gaea.update(torch.tensor([[-1000.0, 1000.0]]))
    assert gaea.weights()[0, 0] > 0.5


def test_a_first_step_of_darts_is_adams() -> None:
    """Adam's first step is the rate against the sign of the gradient, whatever its size."""
    darts = Darts(SHAPE, 0.1, CPU, torch.float64)
    darts.update(GRADIENT)
    expected = -0.1 * GRADIENT / (GRADIENT.abs() + 1e-8)
    assert torch.allclose(darts.values, expected, atol=1e-12)
    assert torch.allclose(darts.weights(), torch.softmax(expected, dim=-1))


def test_darts_steps_as_torchs_own_adamw() -> None:
    darts = Darts(SHAPE, 0.1, CPU, torch.float64)
    other = torch.zeros(SHAPE, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.AdamW([other], 0.1, weight_decay=0.0)
    for step in range(4):
        darts.update(GRADIENT * (step - 1.5))
        other.grad = GRADIENT * (step - 1.5)
        optimizer.step()
    assert torch.equal(darts.values, other)


def test_the_winner_of_a_gumbel_draw_is_as_likely_as_its_weight() -> None:
    dash = Dash((1, 3), 0.1, CPU, torch.float64)
    with torch.no_grad():
        dash.values.copy_(torch.tensor([[0.0, 1.0, -1.0]]))
    noise, count = np.random.default_rng(1), 4000
    drawn = torch.cat([dash.drawn(noise) for _ in range(count)]).detach()
    assert torch.allclose(drawn.sum(dim=-1), torch.ones(count, dtype=torch.float64))
    winners = np.bincount(drawn.argmax(dim=-1).numpy(), minlength=3)
    expected = dash.weights().detach()[0].numpy() * count
    assert chisquare(winners, expected / expected.sum() * count).pvalue > 1e-3


def test_a_gumbel_draw_follows_from_its_noise_alone() -> None:
    dash = Dash(SHAPE, 0.1, CPU)
    one, same, other = (dash.drawn(np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert torch.equal(one, same) and not torch.equal(one, other)
    gumbel = torch.from_numpy(np.random.default_rng(3).gumbel(size=SHAPE)).float()
    assert torch.allclose(one, torch.softmax(gumbel, dim=-1))


@pytest.mark.parametrize("method", ["darts", "dash"])
def test_gradients_of_what_is_drawn(method: str) -> None:
    mixture = METHODS[method](SHAPE, 0.1, CPU, torch.float64)

    def drawn(values: torch.Tensor) -> torch.Tensor:
        mixture.values = values
        return mixture.drawn(np.random.default_rng(5))

    values = torch.tensor([[0.3, -1.0, 0.2], [0.0, 2.0, 1.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(drawn, values.requires_grad_())


@given(
    st.sampled_from(list(METHODS)),
    st.lists(st.floats(-50, 50), min_size=6, max_size=6),
    st.integers(1, 3),
)
def test_weights_stay_on_the_simplex(method: str, numbers: list[float], steps: int) -> None:
    mixture = METHODS[method](SHAPE, 0.5, CPU)
    for _ in range(steps):
        mixture.update(torch.tensor(numbers).reshape(SHAPE))
    for weights in (mixture.weights(), mixture.drawn(np.random.default_rng(0))):
        assert bool((weights >= 0).all())
        assert torch.allclose(weights.sum(dim=-1), torch.ones(2), atol=1e-5)


@pytest.mark.parametrize("method", list(METHODS))
def test_a_mixture_goes_on_from_its_state(method: str) -> None:
    one, other = (METHODS[method](SHAPE, 0.1, CPU) for _ in range(2))
    gradient = GRADIENT.float()
    for _ in range(3):
        one.update(gradient)
    with torch.no_grad():
        for name, tensor in other.state().items():
            tensor.copy_(one.state()[name])
    one.update(-gradient)
    other.update(-gradient)
    assert torch.equal(one.values, other.values)
