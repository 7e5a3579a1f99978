"""Tokens that repeat: against a definition in plain words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from star.data.repeats import repeats


def by_hand(text: list[int], length: int) -> list[bool]:
    """Whether the n-gram that ends at each place was there before."""
    grams = [
        tuple(text[i - length + 1 : i + 1]) if i >= length - 1 else None for i in range(len(text))
    ]
    return [gram is not None and gram in grams[:i] for i, gram in enumerate(grams)]


@given(
    st.lists(st.lists(st.integers(0, 3), min_size=9, max_size=9), min_size=1, max_size=4),
    st.integers(1, 8),
)
def test_a_token_repeats_whose_n_gram_was_in_its_row_before(
    rows: list[list[int]], length: int
) -> None:
    found = repeats(np.array(rows), length)
    assert found.tolist() == [by_hand(row, length) for row in rows]


def test_all_bytes_of_an_n_gram_count() -> None:
    text = np.array([[255, 0, 0, 0, 0, 0, 0, 1, 254, 0, 0, 0, 0, 0, 0, 1]])
    assert not repeats(text, 8).any() and repeats(text, 7)[0].tolist() == [False] * 15 + [True]


def test_a_row_shorter_than_an_n_gram_repeats_nothing() -> None:
    assert repeats(np.zeros((2, 3), dtype=np.int64), 4).tolist() == [[False] * 3] * 2


@given(st.lists(st.lists(st.integers(0, 3), min_size=9, max_size=9), min_size=1, max_size=4))
def test_tokens_of_larger_vocabularies_repeat_as_bytes_do(rows: list[list[int]]) -> None:
    """Tokens that no 16 bits hold, and that differ in their high bits only."""
    tokens = np.array([0, 5, 2**16 + 5, 2**31 - 1])[np.array(rows)]
    assert repeats(tokens, 4).tolist() == [by_hand(row, 4) for row in rows]


def test_more_different_tokens_than_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="length=8: expected at most 256 tokens in a row"):
        repeats(np.arange(300)[None], 8)


@pytest.mark.parametrize("length", [0, 9])
def test_n_grams_that_do_not_fit_into_64_bits_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match=f"length={length}: expected 1 to 8"):
        repeats(np.zeros((1, 20), dtype=np.int64), length)
