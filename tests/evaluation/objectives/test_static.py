"""Static objectives beside parameters and cache, against what models allocate."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from star.base.errors import UserError
from star.data import DataConfig
from star.evaluation import Context, Recipe
from star.evaluation.objectives import load_objective
from star.genomes import (
    CacheSetting,
    Genome,
    ModelConfig,
    cache_bytes,
    footprint_bytes,
    load_genome,
    random_genome,
    state_bytes,
)
from star.models import Cache, decode
from star.training import TrainingConfig

MODEL = ModelConfig(width=64, window=12)


def buffers(genome: Genome, setting: CacheSetting) -> list[torch.Tensor]:
    """What generation allocates, in the order of the LIVs."""
    dtypes = getattr(torch, setting.dtype), getattr(torch, setting.state_dtype)
    cache = Cache.allocate(decode(genome, MODEL), setting.batch, setting.context, *dtypes)
    return [buffer for memory in cache.memories for buffer in memory.buffers.values()]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 8),
    st.sampled_from([0.0, 0.9]),
    st.integers(12, 30),
    st.integers(1, 3),
    st.sampled_from(["bfloat16", "float32"]),
)
def test_state_bytes_are_those_of_buffers_that_a_longer_context_leaves_as_they_are(
    seed: int, depth: int, sharing: float, context: int, batch: int, dtype: str
) -> None:
    genome = random_genome(depth, np.random.default_rng(seed), "extended", sharing)
    setting = CacheSetting(context, batch, dtype)
    here, longer = buffers(genome, setting), buffers(genome, CacheSetting(99, batch, dtype))
    same = [one.nbytes for one, other in zip(here, longer, strict=True) if one.shape == other.shape]
    assert state_bytes(genome, MODEL, setting) == sum(same)


@pytest.mark.parametrize(
    ("text", "growing"),
    [("11111", True), ("81111", True), ("51111", False), ("71111", False), ("91111", False)],
)
def test_state_bytes_of_the_kinds_of_memory(text: str, growing: bool) -> None:
    genome = Genome.from_text(text)
    setting = CacheSetting(context=100)
    expected = 0 if growing else cache_bytes(genome, MODEL, setting)
    assert state_bytes(genome, MODEL, setting) == expected


def test_a_window_longer_than_the_context_counts_what_is_there() -> None:
    genome, short = Genome.from_text("19.1.1.1.1", "extended"), CacheSetting(context=5)
    assert state_bytes(genome, MODEL, short) == cache_bytes(genome, MODEL, short) > 0


@pytest.mark.parametrize("tie", [True, False])
def test_the_footprint_is_what_weights_and_cache_take(tie: bool) -> None:
    model = ModelConfig(width=64, tie_embeddings=tie)
    for name in ("transformer_pp", "mamba", "lfm2"):
        genome, setting = load_genome(name, 8)[0], CacheSetting(50, 3, "bfloat16")
        built = decode(genome, model).to(torch.bfloat16)
        weights = sum(parameter.nbytes for parameter in built.parameters())
        cache = Cache.allocate(built, 3, 50).nbytes
        assert footprint_bytes(genome, model, setting) == weights + cache


def test_the_objectives_measure_at_the_width_and_context_of_the_recipe() -> None:
    genome, training = load_genome("lfm2", 8)[0], TrainingConfig()
    found = []
    for width, context in ((64, 100), (64, 200), (128, 100)):
        recipe = Recipe(ModelConfig(width), CacheSetting(context), training, DataConfig(), 0)
        names = ("flops_per_token", "state_bytes", "footprint")
        measured = [load_objective(name).measure(Context(genome, recipe))[name] for name in names]
        assert all(isinstance(value, int) for value in measured)
        found.append(measured)
    (flops, state, footprint), longer, wider = found
    assert longer[0] > flops and longer[1] == state and longer[2] > footprint
    assert wider[0] > flops and wider[1] > state and wider[2] > footprint


def test_static_ones_have_no_settings() -> None:
    with pytest.raises(UserError, match="objectives.footprint=.*: it has no settings"):
        load_objective("footprint", {"dtype": "float32"})
