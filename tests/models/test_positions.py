"""Rotary positions and the buffers of keys and values."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from star.models.structures.positions import remember_all, remember_window, rotate


def test_rotated_scores_depend_on_distance_only() -> None:
    x = torch.randn(8, dtype=torch.float64).expand(1, 1, 12, 8)
    scores = rotate(x, 1e4) @ rotate(x, 1e4).transpose(-1, -2)
    torch.testing.assert_close(scores[..., 5, 2], scores[..., 9, 6], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("position", [1, 7, 31])
def test_rotation_continues_where_it_stopped(position: int) -> None:
    x = torch.randn(2, 3, 40, 8)
    torch.testing.assert_close(
        rotate(x[:, :, position:], 1e4, position), rotate(x, 1e4)[:, :, position:]
    )


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
