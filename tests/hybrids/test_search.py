"""The search for a mixture: gradients, steps, costs, and the part of the text it is made on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from star.base.errors import UserError
from star.data import Corpus
from star.genomes import CacheSetting, cache_bytes, flops_per_token
from star.hybrids.config import COSTS, HybridConfig
from star.hybrids.costs import Penalty, cost_table, penalty
from star.hybrids.discretise import (
    found_letters,
    genome_of,
    nearest_letters,
)
from star.hybrids.mixtures import METHODS
from star.hybrids.search import MixtureSearch, mixture_gradient
from star.hybrids.text import parts, stretch_of
from star.models.hybrid.mixture import load_components
from star.training import Trainer
from star.training.loop import token_loss
from tests.mixtures import write

from .tiny import (
    FIRST,
    alike,
    component,
    corpus,
    fresh,
    hybrid,
    trained,
    training,
    uniform_model,
)

CACHE = CacheSetting(context=32)
TOKENS = torch.randint(256, (2, 9), generator=torch.Generator().manual_seed(0))


def test_the_gradient_of_a_mixture_is_that_of_its_loss() -> None:
    model = uniform_model(alike()).double()
    values = torch.tensor([[0.3, -0.2], [-1.0, 0.4]], dtype=torch.float64, requires_grad=True)

    def loss(given: torch.Tensor) -> torch.Tensor:
        model.weights = torch.softmax(given, dim=-1)
        logits = model(TOKENS[:, :-1])
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), TOKENS[:, 1:].flatten())

    assert torch.autograd.gradcheck(loss, values)
    wanted = torch.autograd.grad(loss(values), values)[0]
    weights = torch.softmax(values, dim=-1)

    def half(part: torch.Tensor) -> torch.Tensor:
        logits = model(part[:, :-1])
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten())

    losses = [lambda: half(TOKENS[:1]), lambda: half(TOKENS[1:])]
    found, value = mixture_gradient(model, values, weights, losses)
    assert torch.allclose(found, wanted) and value == pytest.approx(loss(values).item())
    assert all(weight.grad is None for weight in model.parameters())


def test_a_cost_is_added_to_the_gradient() -> None:
    model = uniform_model(alike())
    values = torch.zeros(2, 2, requires_grad=True)
    costs = torch.tensor([[1.0, 0.0], [0.0, 3.0]])

    def cost() -> torch.Tensor:
        return (torch.softmax(values, dim=-1) * costs).sum()

    plain, _ = mixture_gradient(
        model, values, torch.softmax(values, -1), [lambda: token_loss(model, TOKENS)]
    )
    both, _ = mixture_gradient(
        model, values, torch.softmax(values, -1), [lambda: token_loss(model, TOKENS)], cost
    )
    (own,) = torch.autograd.grad(cost(), values)
    assert torch.allclose(both, plain + own, atol=1e-6) and own.abs().max() > 0.1


def search_of(
    folder: Path, method: str, weight_rate: float, cost: Penalty | None = None
) -> MixtureSearch:
    """Of a folder whose second component is the trained one."""
    pair = (component(FIRST, "untrained"), component(FIRST, "trained"))
    one = hybrid(components=pair, projector="identity")
    one = write(folder, one, [fresh(pair[0], 3), trained(FIRST)]).hybrid
    model = uniform_model(one)
    load_components(model, folder)
    own, other = parts(corpus(), 12)
    trainer = Trainer(model, own, training(steps=40, learning_rate=weight_rate), 0)
    rate = {"darts": 0.1, "gaea": 0.3, "dash": 0.1}[method]
    mixture = METHODS[method]((2, 2), rate, torch.device("cpu"))
    return MixtureSearch(trainer, mixture, other, cost)


@pytest.mark.parametrize("method", list(METHODS))
def test_the_mixture_moves_to_the_component_that_knows_the_text(
    tmp_path: Path, method: str
) -> None:
    search = search_of(tmp_path, method, 1e-5)
    for _ in range(12):
        search.advance()
    assert all(row[1] > 0.55 for row in search.found())
    assert all(sum(row) == pytest.approx(1, abs=1e-12) for row in search.found())


def test_a_search_goes_on_from_its_state_bit_for_bit(tmp_path: Path) -> None:
    one, other = (search_of(tmp_path / name, "dash", 1e-3) for name in ("one", "other"))
    for _ in range(3):
        one.advance()
    one.save(tmp_path / "state.safetensors")
    other.load(tmp_path / "state.safetensors")
    assert other.step == 3
    assert one.advance() == other.advance()
    assert one.found() == other.found()
    for mine, theirs in zip(one.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_state_without_a_mixture_is_refused(tmp_path: Path) -> None:
    from star.training import save_state

    search = search_of(tmp_path / "one", "darts", 1e-3)
    save_state(tmp_path / "state.safetensors", search.trainer)
    with pytest.raises(UserError, match="beside.values is missing"):
        search.load(tmp_path / "state.safetensors")


def test_a_cost_moves_the_mixture_to_the_cheap_component() -> None:
    one = hybrid()
    table = cost_table(one, "cache_bytes", CACHE)
    for budget in (None, 1.1 * table.cheapest):
        mixture = METHODS["darts"]((2, 2), 0.1, torch.device("cpu"))
        cost, before = (
            Penalty(table, 5.0, budget),
            float(table.expected(mixture.weights().detach())),
        )
        for _ in range(60):
            (gradient,) = torch.autograd.grad(cost(mixture.weights()), mixture.values)
            mixture.update(gradient)
        after = float(table.expected(mixture.weights().detach()))
        assert after < before
        assert after < (budget or before) * 1.01
    assert Penalty(table, 5.0, 2 * table.dearest)(mixture.weights()).item() == 0


@pytest.mark.parametrize("ends", ["mixed", "averaged", "shared", "1"])
@pytest.mark.parametrize("name", COSTS)
def test_the_expected_cost_of_one_component_is_its_exact_one(
    tmp_path: Path, name: str, ends: str
) -> None:
    one = hybrid(ends=ends)
    alphabet = write(tmp_path / "hybrid", one, [fresh(c) for c in one.components])  # type: ignore[arg-type]
    table = cost_table(one, name, CACHE)
    for row in ([1.0, 0.0], [0.0, 1.0]):
        genome = genome_of(alphabet, nearest_letters(alphabet, [row, row[::-1]], "one_hot"))
        exact = (
            cache_bytes(genome, one.sizes, CACHE)
            if name == "cache_bytes"
            else flops_per_token(genome, one.sizes, CACHE.context)
        )
        assert float(table.expected(torch.tensor([row, row[::-1]]).double())) == exact
        assert table.cheapest <= exact <= table.dearest


def test_a_budget_that_no_mixture_keeps_is_refused() -> None:
    config = HybridConfig(cost="cache_bytes", budget="10")
    with pytest.raises(UserError, match=r"hybrid.budget=10: the cheapest mixture .* costs"):
        penalty(hybrid(), config, CACHE)


def test_letters(tmp_path: Path) -> None:
    rows = ((0.9, 0.1), (0.36, 0.64))
    one = hybrid(mixture=rows)
    alphabet = write(tmp_path / "hybrid", one, [fresh(c) for c in one.components])  # type: ignore[arg-type]
    for letters, expected in (
        (found_letters(alphabet), rows),
        (nearest_letters(alphabet, rows, "one_hot"), ((1, 0), (0, 1))),
        (nearest_letters(alphabet, rows, "parts"), ((1, 0), (0.25, 0.75))),
    ):
        assert one.weights(genome_of(alphabet, letters)) == expected


@given(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), st.integers(1, 6))
def test_no_letter_is_nearer(weights: list[float], count: int) -> None:
    from star.genomes.hybrids import hybrid_alphabet

    own = [component(FIRST, name) for name in "abc"]
    one = hybrid(components=tuple(own), parts=count)
    row = [weight / sum(weights) for weight in weights]
    alphabet = hybrid_alphabet("hybrid:x", one, "0" * 16)
    chosen = alphabet.by_id[nearest_letters(alphabet, [row, row], "parts")[0]].weights(one, 0)  # type: ignore[attr-defined]
    nearest = min(
        sum((a - b) ** 2 for a, b in zip(letter.weights(one, 0), row, strict=True))  # type: ignore[attr-defined]
        for letter in alphabet.classes
    )
    assert sum((a - b) ** 2 for a, b in zip(chosen, row, strict=True)) <= nearest + 1e-9
    assert sum(chosen) == pytest.approx(1, abs=1e-12)


@given(st.integers(200, 5000), st.integers(4, 20), st.integers(0, 9))
def test_parts_share_no_token(tokens: int, length: int, seed: int) -> None:
    text = np.arange(tokens, dtype=np.uint16)
    whole = Corpus(text, text, "numbers", vocabulary=tokens)
    try:
        size = stretch_of(tokens, length)
    except UserError:
        assert tokens < 8 * (length + 1)
        return
    first, second = parts(whole, length)
    one, other = (part.batch(seed, 1, 16, length) for part in (first, second))
    assert set((one // size % 2).flatten().tolist()) == {0}
    assert set((other // size % 2).flatten().tolist()) == {1}
    assert torch.equal(one, first.batch(seed, 1, 16, length))
    assert bool((one.diff(dim=1) == 1).all()) and one.shape == (16, length + 1)


def test_a_text_without_room_for_two_parts_is_refused() -> None:
    with pytest.raises(UserError, match="training text has only 100 tokens, expected"):
        parts(corpus(100), 20)
