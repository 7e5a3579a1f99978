"""Sizes as people read them: small ones are not 0.00 MB."""

from collections.abc import Callable
from typing import Any

import pytest

from star.base.settings import size_text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (6144, "6.1 kB"),
        (150_994_944, "150.99 MB"),
        (1.7e9, "1,700.00 MB"),
    ],
)
def test_sizes_have_the_unit_that_suits_them(count: float, text: str) -> None:
    assert size_text(count) == text


def test_a_small_cache_is_described_in_bytes(command: Callable[..., Any]) -> None:
    result = command("describe", "genome=71111", "width=64")
    assert "cache: 256 B at context 4096" in result.stdout
