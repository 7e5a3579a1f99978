"""Sampling and the generation loop."""

import math

import pytest
import torch

from star.base.errors import UserError
from star.genomes import Genome, ModelConfig
from star.models import Cache, LanguageModel, decode
from star.models.generation import PREFILL_CHUNK, Sampling, draw, generate

LOGITS = torch.log(torch.tensor([[0.5, 0.25, 0.15, 0.1]]))


def shares(sampling: Sampling, draws: int = 4000) -> list[float]:
    generator = torch.Generator().manual_seed(0)
    tokens = draw(LOGITS.expand(draws, 4), sampling, generator)
    return (torch.bincount(tokens, minlength=4) / draws).tolist()


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(1.0), [0.5, 0.25, 0.15, 0.1]),
        (Sampling(0.5), [0.25 / 0.345, 0.0625 / 0.345, 0.0225 / 0.345, 0.01 / 0.345]),
        (Sampling(1.0, top_k=2), [2 / 3, 1 / 3, 0, 0]),
        (Sampling(1.0, top_k=9), [0.5, 0.25, 0.15, 0.1]),
        (Sampling(1.0, top_p=0.5), [1, 0, 0, 0]),
        (Sampling(1.0, top_p=0.6), [2 / 3, 1 / 3, 0, 0]),
        (Sampling(1.0, top_p=1e-6), [1, 0, 0, 0]),
        (Sampling(1.0, top_p=1e-300), [1, 0, 0, 0]),
        (Sampling(0.0), [1, 0, 0, 0]),
    ],
)
def test_tokens_are_drawn_with_the_wanted_probabilities(
    sampling: Sampling, expected: list[float]
) -> None:
    assert shares(sampling) == pytest.approx(expected, abs=0.03)
    assert [share > 0 for share in shares(sampling)] == [share > 0 for share in expected]


@pytest.mark.parametrize(
    "bad",
    [
        Sampling(-0.1),
        Sampling(float("inf")),
        Sampling(top_k=0),
        Sampling(top_p=0.0),
        Sampling(top_p=1.1),
    ],
)
def test_bad_sampling_is_refused(bad: Sampling) -> None:
    with pytest.raises(UserError, match="expected"):
        bad.check()


@pytest.fixture
def model() -> LanguageModel:
    torch.manual_seed(0)
    return decode(Genome.from_text("31111-51111-71111"), ModelConfig(width=32)).eval()


def test_greedy_generation_follows_the_parallel_form(model: LanguageModel) -> None:
    prompt = list(range(7))
    found = list(generate(model, Cache.allocate(model, 1, 17), prompt, Sampling(0.0)))
    assert len(found) == 11  # ten that fill the context, and the one behind them
    for n, token in enumerate(found):
        with torch.no_grad():
            assert int(model(torch.tensor([prompt + found[:n]]))[0, -1].argmax()) == token


def test_the_seed_decides_and_small_vocabularies_hold(model: LanguageModel) -> None:
    def tokens(seed: int) -> list[int]:
        return list(
            generate(
                model, Cache.allocate(model, 1, 40), [1], Sampling(1.0, seed=seed), vocabulary=50
            )
        )

    assert tokens(1) == tokens(1) != tokens(2)
    assert max(tokens(3)) < 50


def test_long_prompts_are_prefilled_in_parts(model: LanguageModel) -> None:
    prompt = [n % 256 for n in range(2 * PREFILL_CHUNK + 3)]
    cache = Cache.allocate(model, 1, len(prompt))
    first = next(generate(model, cache, prompt, Sampling(0.0)))
    with torch.no_grad():
        assert int(model(torch.tensor([prompt]))[0, -1].argmax()) == first


def test_misuse_is_refused(model: LanguageModel) -> None:
    with pytest.raises(ValueError, match="prompt is empty"):
        next(generate(model, Cache.allocate(model, 1, 4), [], Sampling()))
    with pytest.raises(ValueError, match="exceed the cache's context of 4"):
        next(generate(model, Cache.allocate(model, 1, 4), [1] * 5, Sampling()))


@pytest.mark.parametrize("temperature", [1e-7, 1e-40, 1e-300, 5e-324])
def test_the_smallest_temperatures_take_the_likeliest(temperature: float) -> None:
    assert shares(Sampling(temperature)) == [1, 0, 0, 0]
    generator = torch.Generator().manual_seed(0)
    large = torch.tensor([[3e38, -3e38, 3e38]]).expand(200, 3)  # between equals, chance
    found = draw(large, Sampling(temperature), generator)
    assert set(found.tolist()) == {0, 2}


def test_the_largest_temperature_knows_no_likelier_token() -> None:
    assert shares(Sampling(math.inf)) == pytest.approx([0.25] * 4, abs=0.03)


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_no_numbers_are_one_clear_error(
    model: LanguageModel, value: float, temperature: float
) -> None:
    with torch.no_grad():
        model.norm.weight[3] = value
    with pytest.raises(UserError, match="logits are not finite after 2 tokens: its weights hold"):
        next(generate(model, Cache.allocate(model, 1, 8), [1, 2], Sampling(temperature)))
