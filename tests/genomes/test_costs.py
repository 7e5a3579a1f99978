"""Costs from the genome alone, against published tables."""

from typing import Any

import pytest

from star.genomes import (
    CacheSetting,
    Genome,
    GenomeError,
    ModelConfig,
    cache_bytes,
    fit_depth,
    load_genome,
    parameter_count,
)


@pytest.mark.parametrize(
    ("name", "depth", "width", "parameters", "cache"),
    [
        ("transformer_pp", 24, 768, 84.9e6, 151e6),
        ("transformer_pp", 48, 2048, 1.21e9, 805e6),
        ("striped_mamba", 24, 768, 80e6, 25.5e6),
        ("striped_mamba", 48, 2048, 1.14e9, 136e6),
    ],
)
def test_published_backbones(
    name: str, depth: int, width: int, parameters: float, cache: float
) -> None:
    genome, _, _ = load_genome(name, depth)
    model = ModelConfig(width=width)
    assert parameter_count(genome, model).non_embedding == pytest.approx(parameters, rel=0.005)
    # Published with 2 bytes for every element, running states included.
    setting = CacheSetting(state_dtype="bfloat16")
    assert cache_bytes(genome, model, setting) == pytest.approx(cache, rel=0.005)


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("11111", 2 * 64 * 100),  # keys and values
        ("21111", 2 * 64 * 100 + 3 * 2 * 64),  # and the tails of three short convolutions
        ("31111", 2 * 16 * 100),
        ("41111", 2 * 32 * 100),
        ("51111", 64 * 16 + 3 * 64),
        ("61111", 64 * 2 + 3 * 64),
        ("71111", 2 * 64),
        ("81111", 100 * 64),
        ("91111", 0),
        ("10.1.1.1.1", 2 * 64 * 100),
        ("14.1.1.1.1", 2 * 64 * 16 + 3 * 64),
        ("16.1.1.1.1", 2 * 2 * 64),
        ("18.1.1.1.1", 4 * 16 * 16),
        ("19.1.1.1.1", 2 * 16 * 32),  # the window is shorter than the context
        ("11112-11112", 2 * 64 * 100),  # borrowed keys and values cost nothing
        ("11113-11113", 3 * 64 * 100),
        ("11115-11115", 3 * 64 * 100),
        ("18.1.1.1.2-18.1.1.1.2", 4 * 16 * 16),
        (
            "18.1.1.1.3-18.1.1.1.3",
            2 * 4 * 16 * 16,
        ),  # a state of its own unless both B and V are borrowed
        ("51115-51115", 2 * 64 * 16 + 3 * 64),
        ("21112-21112", 2 * 64 * 100 + 4 * 2 * 64),
    ],
)
def test_cache_formulas(text: str, elements: int) -> None:
    genome = Genome.from_text(text, "extended")
    model = ModelConfig(width=64, window=32)
    assert cache_bytes(genome, model, CacheSetting(100, 3, "float32")) == 3 * 4 * elements


@pytest.mark.parametrize(
    ("text", "written", "states"),
    [
        ("11111", 2 * 64 * 100, 0),
        ("51111", 3 * 64, 64 * 16),  # the tail of the convolution, a state a channel
        ("14.1.1.1.1", 3 * 64, 2 * 64 * 16),
        ("81111", 100 * 64, 0),
        ("18.1.1.1.1", 0, 4 * 16 * 16),
        ("22.1.1.1.1", 3 * 3 * 64, 4 * 16 * 16),
    ],
)
def test_running_states_are_float32_whatever_the_rest_is(
    text: str, written: int, states: int
) -> None:
    genome, model = Genome.from_text(text, "extended"), ModelConfig(width=64)
    for dtype, size in (("bfloat16", 2), ("float64", 8)):
        setting = CacheSetting(100, 3, dtype)
        assert cache_bytes(genome, model, setting) == 3 * (size * written + 4 * states)
    smaller = CacheSetting(100, 3, "bfloat16", "bfloat16")
    assert cache_bytes(genome, model, smaller) == 3 * 2 * (written + states)


def test_tied_featurizer_weights_are_counted_once() -> None:
    model = ModelConfig(width=64)
    free = parameter_count(Genome.from_text("11111-11111"), model).non_embedding
    tied = parameter_count(Genome.from_text("11211-11211"), model).non_embedding
    assert free - tied == 3 * 64 * 64


def test_differential_attention_costs_what_plain_attention_does_but_for_lambda() -> None:
    model = ModelConfig(width=256)
    plain = parameter_count(Genome.from_text("11111"), model).non_embedding
    differential = parameter_count(Genome.from_text("10.1.1.1.1"), model).non_embedding
    assert differential - plain == 4 * 32


@pytest.mark.parametrize("width", ["a", 64.0, True, None, [64]])
def test_a_width_that_is_no_whole_number_is_refused(width: Any) -> None:
    with pytest.raises(GenomeError, match="model.width=.*: expected a whole number"):
        parameter_count(Genome.from_text("91111"), ModelConfig(width=width))


@pytest.mark.parametrize("depth", ["x", 2.5, None, 0])
def test_a_depth_that_no_genome_has_is_refused(depth: Any) -> None:
    with pytest.raises(GenomeError, match="depth=.*: expected 1 to 10,000 LIVs"):
        fit_depth(Genome.from_text("91111"), depth)


@pytest.mark.parametrize("width", [0, 8, 40, 300])
def test_impossible_width_is_refused(width: int) -> None:
    with pytest.raises(GenomeError, match=f"model.width={width}: expected a multiple"):
        parameter_count(Genome.from_text("91111"), ModelConfig(width=width))


def test_width_whose_heads_cannot_be_grouped_is_refused() -> None:
    with pytest.raises(GenomeError, match=r"5 heads.*SA-3 repeats keys and values x4"):
        parameter_count(Genome.from_text("31111"), ModelConfig(width=320))


@pytest.mark.parametrize(
    ("key", "value"), [("context", 0), ("batch", 0), ("dtype", "int3"), ("state_dtype", "int3")]
)
def test_impossible_cache_is_refused(key: str, value: Any) -> None:
    with pytest.raises(GenomeError, match=rf"cache.{key}={value}: expected"):
        cache_bytes(Genome.from_text("11111"), ModelConfig(), CacheSetting(**{key: value}))
