"""Caches of transformers with our layers: everything that `generate` and its users do to them."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, DynamicCache, LlamaConfig, StaticCache

from star.genomes import Genome
from star.models.hugging_face.cache_layers import LivLayer
from star.models.hugging_face.causal_lm import CACHE, StarConfig, StarForCausalLM
from tests.exporting.small_models import VOCABULARY, generated, ours, prompts

pytestmark = pytest.mark.slow  # models of transformers, a second each

# Attention over all positions and a window of 7, differential and linear attention, a long
# convolution, a state, a short convolution, a feed-forward layer.
MIXED = "1.1.1.1.1-19.1.1.1.1-12.1.1.1.1-18.1.1.1.1-8.1.1.1.1-5.1.1.1.1-7.1.1.1.1-9.1.1.1.1"
ALL_POSITIONS = "1.1.1.2.4-9.1.1.1.1-8.1.1.1.1-12.1.1.1.1-1.1.1.2.4"  # two LIVs share values
STATES = "1.1.1.1.1-5.1.1.1.1"
TOLERANCE: dict[str, Any] = {"rtol": 0, "atol": 1e-4}


def model_of(text: str) -> StarForCausalLM:
    return ours(Genome.from_text(text, "extended"))


@pytest.fixture(scope="module")
def mixed() -> StarForCausalLM:
    return model_of(MIXED)


def whole_logits(model: StarForCausalLM, tokens: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(tokens).logits


def filled(model: StarForCausalLM, *lengths: int) -> tuple[torch.Tensor, torch.Tensor, Any]:
    """Tokens, their mask and a cache that has seen them."""
    tokens, mask = prompts(*lengths)
    cache = model(tokens, attention_mask=mask, use_cache=True)[CACHE]
    return tokens, mask, cache


def next_logits(model: StarForCausalLM, cache: Any, tokens: torch.Tensor) -> torch.Tensor:
    return model(tokens, **{CACHE: cache}).logits[:, -1]


def rows_alone(
    model: StarForCausalLM, tokens: torch.Tensor, mask: torch.Tensor, new: torch.Tensor
) -> torch.Tensor:
    """Logits behind each sequence and its new token, without cache or padding."""
    rows = zip(tokens, mask, new, strict=True)
    sequences = [torch.cat([row[seen.bool()], more]) for row, seen, more in rows]
    return torch.stack([whole_logits(model, row[None])[0, -1] for row in sequences])


@pytest.mark.parametrize("make", [DynamicCache, lambda config: DynamicCache()])
def test_caches_grow_as_far_as_they_are_used(mixed: StarForCausalLM, make: Any) -> None:
    tokens = prompts(40, 40)[0]
    cache = make(config=mixed.config)
    logits, seen = [], 0
    for columns in (1, 1, 3, 9, 1, 20, 1, 4):
        logits.append(mixed(tokens[:, seen : seen + columns], **{CACHE: cache}).logits)
        seen += columns
        assert cache.get_seq_length() == seen
    torch.testing.assert_close(torch.cat(logits, 1), whole_logits(mixed, tokens), **TOLERANCE)
    assert cache.get_mask_sizes(2, 0) == (42, 0) and cache.get_max_length() == -1


def test_generation_makes_room_once(mixed: StarForCausalLM) -> None:
    tokens, mask = prompts(9, 5)
    how = {"max_new_tokens": 20, "return_dict_in_generate": True}
    cache = generated(mixed, tokens, mask, **how)[CACHE]
    assert all(isinstance(layer, LivLayer) for layer in cache.layers)
    keys = [group.memory.buffers["B"].shape[2] for group in cache.layers[0].groups]
    assert keys == [29, 25]
    static = generated(mixed, tokens, mask, **how, cache_implementation="static")
    assert isinstance(static[CACHE], StaticCache)
    assert torch.equal(static.sequences, generated(mixed, tokens, mask, max_new_tokens=20))


@pytest.mark.parametrize("text", [MIXED, STATES, "5.1.1.1.1", "9.1.1.1.1"])
def test_a_cache_goes_on_in_a_second_call(text: str) -> None:
    """Given all tokens, or only those that it has not seen."""
    model = model_of(text)
    tokens, mask = prompts(9, 5)
    cache = DynamicCache(config=model.config)
    how = {"max_new_tokens": 6}
    first = generated(model, tokens, mask, **how, **{CACHE: cache})
    assert cache.get_seq_length() == 9 + 6 - 1
    more = torch.cat([first, prompts(3, 3)[0]], dim=1)
    whole_mask = torch.cat([mask, torch.ones(2, 9, dtype=torch.int64)], dim=1)
    expected = generated(model, more, whole_mask, **how, use_cache=False)
    kept = copy.deepcopy(cache)
    assert torch.equal(generated(model, more, whole_mask, **how, **{CACHE: cache}), expected)
    alone = generated(model, more[:, 14:], whole_mask, **how, **{CACHE: kept})
    assert torch.equal(alone, expected[:, 14:])


def test_beams_of_a_cache_that_was_repeated(mixed: StarForCausalLM) -> None:
    tokens, mask, cache = filled(mixed, 9, 5)
    more, whole_mask = torch.cat([tokens, prompts(2, 2)[0]], dim=1), torch.ones(2, 11)
    whole_mask[:, :9] = mask
    cache.batch_repeat_interleave(3)
    beams = {"max_new_tokens": 6, "num_beams": 3}
    found = generated(mixed, more, whole_mask.long(), **beams, **{CACHE: cache})
    assert torch.equal(found, generated(mixed, more, whole_mask.long(), **beams, use_cache=False))


def test_sampling_goes_on_with_past_key_values(mixed: StarForCausalLM) -> None:
    tokens, mask = prompts(9, 9)
    found = []
    for how in ({"past_key_values": DynamicCache()}, {"use_cache": False}):
        torch.manual_seed(3)
        how = {"do_sample": True, "top_k": 20, "max_new_tokens": 12, **how}
        found.append(generated(mixed, tokens, mask, **how))
    assert torch.equal(*found)


@settings(max_examples=15)
@given(st.lists(st.integers(-3, 2), min_size=1, max_size=5), st.booleans())
def test_any_sequences_are_chosen(order: list[int], twice: bool) -> None:
    model = model_of("1.1.1.1.1-19.1.1.1.1-8.1.1.1.1-5.1.1.1.1")
    tokens, mask, cache = filled(model, 9, 5, 9)
    index = torch.tensor(order)
    if len(order) == 3:
        cache.reorder_cache(index % 3)
    else:
        cache.batch_select_indices(index)
    if twice:
        cache.batch_repeat_interleave(2)
        index = index.repeat_interleave(2)
    new = prompts(*[1] * len(index))[0]
    expected = rows_alone(model, tokens[index], mask[index], new)
    torch.testing.assert_close(next_logits(model, cache, new), expected, **TOLERANCE)


@pytest.mark.parametrize("columns", [0, 1, 4, 5, 8, 9])
def test_positions_are_taken_back(columns: int) -> None:
    model = model_of(ALL_POSITIONS)
    tokens, mask, cache = filled(model, 9, 5)
    assert cache.is_croppable
    cache.crop(-columns)
    kept = 9 - columns
    assert cache.get_seq_length() == kept
    tokens, mask = tokens[:, :kept], mask[:, :kept]
    again = prompts(8, 8)[0]
    more_mask = torch.cat([mask, torch.ones_like(again)], dim=1)
    found = model(again, attention_mask=more_mask, **{CACHE: cache}).logits[:, -1]
    torch.testing.assert_close(found, rows_alone(model, tokens, mask, again), **TOLERANCE)


@pytest.mark.parametrize("text", [MIXED, STATES, "19.1.1.1.1", "7.1.1.1.1"])
def test_states_are_not_taken_back(text: str) -> None:
    model = model_of(text)
    tokens, mask, cache = filled(model, 9, 5)
    with pytest.raises(ValueError, match="cannot take any back"):
        cache.crop(-2)
    assert not cache.is_croppable
    new = prompts(1, 1)[0]
    expected = rows_alone(model, tokens, mask, new)
    torch.testing.assert_close(next_logits(model, cache, new), expected, **TOLERANCE)
    with pytest.raises(ValueError, match="assisted generation is not supported"):
        generated(model, tokens[:1], mask[:1], prompt_lookup_num_tokens=2)


@pytest.mark.parametrize("columns", [1, -10])
def test_crops_that_are_none(columns: int) -> None:
    _, _, cache = filled(model_of(ALL_POSITIONS), 9, 5)
    with pytest.raises(ValueError, match="expected minus the number of tokens"):
        cache.crop(columns)


def test_assisted_generation() -> None:
    model = model_of(ALL_POSITIONS)
    tokens, mask = prompts(9, 9)[0][:1].repeat(1, 2), torch.ones(1, 18, dtype=torch.int64)
    found = generated(model, tokens, mask, prompt_lookup_num_tokens=3)
    assert torch.equal(found, generated(model, tokens, mask, use_cache=False))


def test_a_reset_cache_is_as_new(mixed: StarForCausalLM) -> None:
    _, _, cache = filled(mixed, 9, 5)
    cache.reset()
    assert cache.get_seq_length() == 0
    tokens = prompts(4, 4, 4)[0]
    torch.testing.assert_close(
        next_logits(mixed, cache, tokens), whole_logits(mixed, tokens)[:, -1], **TOLERANCE
    )


@pytest.mark.parametrize("size", [1, 4, 30])
def test_prompts_in_parts_of_which_some_are_padding(mixed: StarForCausalLM, size: int) -> None:
    tokens, mask = prompts(9, 2, 5)
    how = {"max_new_tokens": 8}
    found = generated(mixed, tokens, mask, prefill_chunk_size=size, **how)
    assert torch.equal(found, generated(mixed, tokens, mask, use_cache=False, **how))


def test_nothing_but_padding(mixed: StarForCausalLM) -> None:
    tokens, mask = prompts(9, 5)
    none = torch.zeros_like(mask)
    assert not whole_logits(mixed, tokens).eq(0).all()
    with torch.no_grad():
        assert not mixed(tokens, attention_mask=none).logits.any()
    cache = mixed(tokens[:, :3], attention_mask=none[:, :3], use_cache=True)[CACHE]
    found = mixed(tokens[:, 3:], attention_mask=mask * (torch.arange(9) > 3), **{CACHE: cache})
    expected = rows_alone(mixed, tokens[:, 4:8], torch.ones(2, 4), tokens[:, 8:])
    torch.testing.assert_close(found.logits[:, -1], expected, **TOLERANCE)


def test_moved_layers_come_back(mixed: StarForCausalLM) -> None:
    tokens, mask, cache = filled(mixed, 9, 5)
    for layer in cache.layers:
        layer.offload()
        assert not any(group.memory.tables for group in layer.groups)
    new = prompts(1, 1)[0]
    expected = rows_alone(mixed, tokens, mask, new)
    torch.testing.assert_close(next_logits(mixed, cache, new), expected, **TOLERANCE)


def test_the_loss_of_what_a_cache_has_not_seen(mixed: StarForCausalLM) -> None:
    tokens = prompts(12, 12)[0]
    mask = torch.ones_like(tokens)
    mask[1, :7] = 0
    cache = mixed(tokens[:, :5], attention_mask=mask[:, :5], use_cache=True)[CACHE]
    found = mixed(tokens[:, 5:], attention_mask=mask, labels=tokens[:, 5:], **{CACHE: cache}).loss
    labels = tokens.clone()
    labels[:, :6] = -100
    torch.testing.assert_close(found, mixed(tokens, attention_mask=mask, labels=labels).loss)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda c: DynamicCache(config=StarConfig("91111")), "not a cache of this model's 8 LIVs"),
        (lambda c: DynamicCache(config=LlamaConfig(num_hidden_layers=8)), "not a cache of this"),
        (lambda c: filled_layers(c, offloading=True), "an offloaded one"),
        (lambda c: filled_layers(c, batch=3), "holds 3 sequences, but tokens are of 2"),
    ],
)
def test_other_caches(mixed: StarForCausalLM, make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mixed(prompts(9, 5)[0], **{CACHE: make(mixed.config)})


def filled_layers(config: StarConfig, batch: int = 2, offloading: bool = False) -> DynamicCache:
    cache = DynamicCache(config=config)
    cache.offloading = offloading
    for layer in cache.layers:
        assert isinstance(layer, LivLayer)
        layer.begin(batch, False, torch.device("cpu"))
    return cache


def test_keys_and_values_are_refused(mixed: StarForCausalLM) -> None:
    cache = DynamicCache(config=mixed.config)
    with pytest.raises(ValueError, match="written by StarForCausalLM alone"):
        cache.update(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), 0)


def test_the_configuration_names_the_layers(mixed: StarForCausalLM, tmp_path: Path) -> None:
    mixed.config.save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path)
    assert config.layer_types == ["star_liv"] * 8 and config.vocab_size == VOCABULARY
    config.validate()
    assert len(DynamicCache(config=config).layers) == 8
