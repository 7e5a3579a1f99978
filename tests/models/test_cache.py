"""Generation: prefill and steps against the parallel form, and allocated against predicted
bytes."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from star.genomes import (
    ALPHABETS,
    DTYPE_BYTES,
    CacheSetting,
    Genome,
    Liv,
    cache_bytes,
    random_genome,
)
from star.models import Cache, LanguageModel
from star.testing import structures as suite
from star.testing.structures import (
    MODEL,
    ROUNDING,
    check_cache,
    check_generation,
    run_in_parts,
    tokens,
)

RELEASED = ALPHABETS["released"]


def build(genome: Genome) -> LanguageModel:
    return suite.build(genome, scale=3.0)


@pytest.mark.parametrize("parts", [[], [23], [1, 2, 7], [6], [13, 5, 4]], ids=str)
@pytest.mark.parametrize("liv_class", RELEASED.classes, ids=lambda liv_class: liv_class.name)
def test_every_class_generates_what_the_parallel_form_computes(liv_class, parts: list[int]) -> None:
    check_generation(Genome((Liv(liv_class.id), Liv(9), Liv(liv_class.id)), RELEASED), parts)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 8),
    st.sampled_from([0.0, 0.4, 0.9]),
    st.lists(st.integers(1, 8), max_size=4),
)
def test_random_genomes(seed: int, depth: int, sharing: float, parts: list[int]) -> None:
    genome = random_genome(depth, np.random.default_rng(seed), "released", sharing)
    parts = [part for n, part in enumerate(parts) if sum(parts[: n + 1]) <= 23]
    check_generation(genome, parts)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 10),
    st.sampled_from([0.0, 0.9]),
    st.integers(1, 40),
    st.integers(1, 4),
    st.sampled_from(sorted(DTYPE_BYTES)),
    st.sampled_from(sorted(DTYPE_BYTES)),
)
def test_predicted_bytes_are_allocated(
    seed: int, depth: int, sharing: float, context: int, batch: int, dtype: str, states: str
) -> None:
    genome = random_genome(depth, np.random.default_rng(seed), "released", sharing)
    check_cache(genome, CacheSetting(context, batch, dtype, states))


@pytest.mark.parametrize("liv_class", RELEASED.ids)
def test_predicted_bytes_are_allocated_for_every_class(liv_class: int) -> None:
    for context, batch, dtype in itertools.product([1, 5, 6, 7, 128], [1, 3], DTYPE_BYTES):
        genome = Genome((Liv(liv_class), Liv(liv_class)), RELEASED)
        check_cache(genome, CacheSetting(context, batch, dtype))


def test_nothing_is_allocated_while_generating() -> None:
    model = build(Genome.from_text("5.1.1.1.1-8.1.1.1.1-19.1.1.1.1-18.1.1.1.1", RELEASED))
    cache = Cache.allocate(model, 2, 40)
    before = [buffer.data_ptr() for memory in cache.memories for buffer in memory.buffers.values()]
    for t in range(40):
        model.step(tokens(40)[:, t], cache)
    assert [
        buffer.data_ptr() for memory in cache.memories for buffer in memory.buffers.values()
    ] == before
    assert cache.position == 40


MIXED = Genome.from_text(
    "5.1.1.1.1-8.1.1.1.1-19.1.1.1.1-18.1.1.1.1-2.1.1.1.1-7.1.1.1.1-10.1.1.1.1-14.1.1.1.1", RELEASED
)


def test_reset_forgets() -> None:
    model, x = build(MIXED), tokens(15)
    cache = Cache.allocate(model, 2, 15)
    first = model.prefill(x, cache)
    cache.reset()
    assert cache.position == 0 and cache.table_nbytes == 0
    torch.testing.assert_close(model.prefill(x, cache), first)


def test_reorder_and_slice_follow_their_sequences() -> None:
    model, x = build(MIXED), tokens(15, batch=3)
    cache = Cache.allocate(model, 3, 20)
    model.prefill(x, cache)
    part = cache.slice([2])
    cache.reorder([1, 1, 0])
    token = torch.tensor([4, 4, 4])
    reordered = model.step(token, cache)
    alone = model.step(token[:1], part)
    with torch.no_grad():
        expected = model(torch.cat([x, token[:, None]], dim=1))[:, -1]
    torch.testing.assert_close(reordered, expected[[1, 1, 0]], rtol=ROUNDING, atol=ROUNDING)
    torch.testing.assert_close(alone, expected[[2]], rtol=ROUNDING, atol=ROUNDING)
    assert part.batch == 1 and part.nbytes * 3 == cache.nbytes


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_cache_of_another_dtype_serves_the_same_weights(dtype: torch.dtype) -> None:
    model, x = build(MIXED), tokens(12)
    cache = Cache.allocate(model, 2, 12, dtype)
    found = torch.stack([model.step(x[:, t], cache) for t in range(12)], dim=1)
    with torch.no_grad():
        expected = model(x)
    rounding = ROUNDING if dtype == torch.float64 else 0.1
    torch.testing.assert_close(found, expected, rtol=rounding, atol=rounding)


def test_weights_in_bfloat16_generate() -> None:
    model, x = build(MIXED).to(torch.bfloat16), tokens(12)
    with torch.no_grad():
        expected = model(x).float()
    found = run_in_parts(model, x, [4]).float()
    assert Cache.allocate(model).nbytes == cache_bytes(MIXED, MODEL)
    # Both round to 8 bits at many places, differently; each is about as far from the float32 model
    # as from the other.
    assert (found - expected).norm() < 0.1 * expected.norm()


def test_misuse_is_refused() -> None:
    model = build(MIXED)
    cache = Cache.allocate(model, 2, 8)
    with pytest.raises(ValueError, match="9 tokens at position 0 exceed the cache's context of 8"):
        model.prefill(tokens(9), cache)
    with pytest.raises(ValueError, match="holds 2 sequences, but tokens of 3"):
        model.prefill(tokens(4, batch=3), cache)
    with pytest.raises(ValueError, match="cache batch=0"):
        Cache.allocate(model, 0)
    with pytest.raises(ValueError, match="indices from 0 to 1"):
        cache.slice([2])
    with pytest.raises(ValueError, match="3 indices for a batch of 2"):
        cache.reorder([0, 1, 1])


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc"
)
def test_a_recurrent_genome_decodes_2000_tokens_in_constant_memory() -> None:
    def resident_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    model = build(Genome.from_text("5.1.1.1.1-7.1.1.1.1-14.1.1.1.1"))
    cache, token, start = Cache.allocate(model, 1, 2000), torch.tensor([1]), 0
    for t in range(2000):
        token = model.step(token, cache).argmax(-1)
        start = resident_bytes() if t == 200 else start
    assert (
        resident_bytes() - start < 1_000_000
    )  # keeping a state for each position would take 25 MB
