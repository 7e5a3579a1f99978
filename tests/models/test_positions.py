"""Rotary positions and the buffers of keys and values."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from star.genomes import GenomeError, ModelConfig
from star.models.hugging_face.family import rotary_parameters
from star.models.structures.positions import (
    Frequencies,
    remember_all,
    remember_window,
    rotate,
)

FREQUENCIES = Frequencies(1e4)


def test_rotated_scores_depend_on_distance_only() -> None:
    x = torch.randn(8, dtype=torch.float64).expand(1, 1, 12, 8)
    scores = rotate(x, FREQUENCIES) @ rotate(x, FREQUENCIES).transpose(-1, -2)
    torch.testing.assert_close(scores[..., 5, 2], scores[..., 9, 6], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("position", [1, 7, 31])
def test_rotation_continues_where_it_stopped(position: int) -> None:
    x = torch.randn(2, 3, 40, 8)
    torch.testing.assert_close(
        rotate(x[:, :, position:], FREQUENCIES, position), rotate(x, FREQUENCIES)[:, :, position:]
    )


@given(
    st.sampled_from([8, 64, 128]), st.floats(2, 1e7), st.floats(1.001, 100),
    st.none() | st.integers(1, 10**5), st.floats(0.1, 8), st.floats(0.1, 8),
)  # fmt: skip
def test_frequencies_are_those_of_transformers(
    width: int, base: float, factor: float, original: int | None, low: float, more: float
) -> None:
    sizes = ModelConfig(
        rope_base=base, rope_factor=factor, rope_original_positions=original,
        rope_low_factor=low, rope_high_factor=low + more,
    )  # fmt: skip
    sizes.check()
    parameters = rotary_parameters(sizes)
    config = LlamaConfig(head_dim=width, rope_parameters=parameters)
    make: Any = ROPE_INIT_FUNCTIONS[parameters["rope_type"]]
    expected, share = make(config)
    found = Frequencies.of(sizes).values(width, torch.device("cpu"))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)
    assert share == 1


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"rope_factor": 0.5}, "rope_factor=0.5: expected at least 1"),
        ({"rope_original_positions": 8}, "rope_original_positions=8: expected null, or"),
        ({"rope_low_factor": 4.0}, "rope_low_factor=4.0: expected less than"),
    ],
)
def test_scalings_that_are_none(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(GenomeError, match=message):
        ModelConfig(**sizes).check()


@given(st.integers(1, 6), st.lists(st.integers(1, 5), min_size=1, max_size=8))
def test_a_ring_gives_every_position_that_is_visible(window: int, parts: list[int]) -> None:
    context = sum(parts)
    x = torch.arange(float(context)).expand(1, 1, context)[..., None]
    ring, everything = torch.zeros(1, 1, min(window, context), 1), torch.zeros(1, 1, context, 1)
    position = 0
    for length in parts:
        new = x[:, :, position : position + length]
        seen = remember_window(new, ring, position).flatten().tolist()
        position += length
        first = max(0, position - length - window + 1)
        assert sorted(seen) == list(range(first, position))
        assert length == 1 or seen == sorted(seen)
        assert remember_all(new, everything, position - length).flatten().tolist() == list(
            range(position)
        )
