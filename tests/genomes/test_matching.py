"""Widths of equal size: MAD's own arithmetic, and the nearest of all widths."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from star.genomes import (
    CacheSetting,
    Genome,
    GenomeError,
    ModelConfig,
    cache_bytes,
    load_genome,
    matched_width,
    parameter_count,
    read_match,
    state_elements,
)
from star.genomes.matching import CLOSE, legal_widths

DESIGNS = ("mamba", "transformer_pp", "hyena", "gqa_transformer")
MODEL = ModelConfig()


def design(name: str, depth: int = 4) -> Genome:
    return load_genome(name, depth)[0]


def test_mads_state_of_mamba() -> None:
    """4 layers of 2 x 128 channels with a state of 4 have 4,096; ours are of 1 x 64 with 16."""
    assert 4 * (2 * 128) * 4 == 4096 == state_elements(design("mamba"), ModelConfig(width=64), 1)
    assert matched_width(design("mamba"), MODEL, "state:4096", 128) == 64


def test_states_by_their_formulas() -> None:
    """Attention 2 d L a layer, long convolutions d L, the delta rule heads x head width squared."""
    model = ModelConfig(width=64)
    assert state_elements(design("transformer_pp", 2), model, 100) == 2 * 64 * 100
    assert state_elements(design("hyena", 2), model, 100) == 64 * 100
    delta = Genome.from_text("22.1.1.1.1", "extended")
    assert state_elements(delta, model, 100) == 4 * 16 * 16


@settings(max_examples=20)
@given(name=st.sampled_from(DESIGNS), context=st.integers(1, 5000), width=st.sampled_from([32, 64]))
def test_a_state_is_the_cache_without_convolution_tails(
    name: str, context: int, width: int
) -> None:
    genome, model = design(name), ModelConfig(width=width)
    cache = CacheSetting(context, dtype="float32")
    tails = 4 * 3 * width if name == "mamba" else 0  # convolutions of length 4
    assert 4 * (state_elements(genome, model, context) + tails) == cache_bytes(genome, model, cache)


@settings(max_examples=20)
@given(name=st.sampled_from(DESIGNS), parameters=st.integers(50_000, 10**7))
def test_no_other_width_is_nearer(name: str, parameters: int) -> None:
    genome = design(name)

    def distance(width: int) -> float:
        try:
            size = parameter_count(genome, ModelConfig(width=width)).non_embedding
        except GenomeError:  # heads that cannot be repeated
            return float("inf")
        return max(size / parameters, parameters / size)

    try:
        found = matched_width(genome, MODEL, f"parameters:{parameters}", 1)
    except GenomeError:
        assert min(map(distance, legal_widths())) > CLOSE
        return
    near = [width for width in legal_widths() if found // 2 <= width <= 2 * found]
    assert distance(found) == min(map(distance, near))


@pytest.mark.parametrize(
    ("genome", "match", "message"),
    [
        ("51111", "4096", "model.match=4096: expected state:<elements> or parameters:<count>"),
        ("51111", "cache:4096", "expected state:<elements>"),
        ("51111", "state:many", "expected state:<elements>"),
        ("51111", "state:0", "expected state:<elements>"),
        ("91111-91111", "state:4096", "has no state; leave it out, or set model.width instead"),
        ("11111", "state:1024", "has 4,096 at width 16, the nearest that fits; expected a size"),
        ("71111", "state:1G", "has 131,072 at width 65536, the nearest that fits"),
    ],
)
def test_what_cannot_be_matched_ends_with_one_line(genome: str, match: str, message: str) -> None:
    with pytest.raises(GenomeError, match=message):
        matched_width(Genome.from_text(genome), MODEL, match, 128)


def test_units_of_sizes() -> None:
    assert read_match("parameters:350k") == ("parameters", 350_000)
