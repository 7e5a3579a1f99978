"""Held-out samples: evenly spaced, and others that share no token with them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from star.base.errors import UserError
from star.data import Corpus, DataConfig, load_corpus
from star.data.windows import Sample, even_starts, starts_apart


def tokens(starts: np.ndarray, length: int) -> np.ndarray:
    """Positions that the windows touch, (windows, length + 1)."""
    return starts[:, None] + np.arange(length + 1)


samples = st.tuples(st.integers(1, 12), st.integers(1, 20))


@given(st.integers(60, 900), samples, st.lists(samples, max_size=2, unique=True))
def test_windows_apart_share_no_token_with_the_others_or_each_other(
    size: int, sample: Sample, others: list[Sample]
) -> None:
    taken = {
        int(position)
        for other in others
        for position in tokens(even_starts(size, other), other[1]).ravel()
    }
    width = sample[1] + 1
    try:
        found = tokens(starts_apart(size, sample, others), sample[1])
    except UserError:
        room, free = 0, 0  # as many as lie side by side in what is free, counted naively
        for position in range(size):
            free = 0 if position in taken else free + 1
            room, free = (room + 1, 0) if free == width else (room, free)
        assert room < sample[0]
        return
    assert found.min() >= 0 and found.max() < size
    assert len(np.unique(found)) == found.size == sample[0] * width
    assert not taken & set(found.ravel().tolist())


def test_they_are_spread_over_the_text() -> None:
    starts = starts_apart(100_000, (50, 99), [(20, 99)])
    assert starts[0] < 2000 and starts[-1] > 98_000
    assert np.diff(starts).max() < 3 * np.diff(starts).mean()


def test_a_text_without_room_says_how_many_fit() -> None:
    with pytest.raises(UserError, match="9 held-out windows of 10 tokens .* do not fit, 8 do; use"):
        starts_apart(100, (9, 10), [(2, 5)])
    with pytest.raises(UserError, match=", 0 do"):
        starts_apart(20, (1, 10), [(2, 9)])


def corpus(*apart_from: Sample) -> Corpus:
    """A held-out text in which a byte names its position."""
    text = np.arange(256, dtype=np.uint8)
    return Corpus(text, text, "made up", apart_from=apart_from)


def test_a_corpus_draws_its_sample_apart_from_those_it_is_told() -> None:
    def seen(corpus: Corpus) -> set[int]:
        batches = list(corpus.validation_batches(3, 2, 9))
        assert [tuple(batch.shape) for batch in batches] == [(2, 10)] * 3
        return {int(token) for batch in batches for token in batch.ravel()}

    usual, fresh = seen(corpus()), seen(corpus((6, 9)))
    assert len(usual) == len(fresh) == 60 and not usual & fresh
    assert not seen(corpus((6, 9), (4, 12))) & usual


def test_the_setting_reaches_the_corpus_and_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAR_CACHE_DIR", str(tmp_path / "cache"))
    for n in range(20):
        (tmp_path / f"{n}.txt").write_text(f"file {n} " * 30)
    config = DataConfig("files", f"{tmp_path}/*.txt", apart_from=[4, 10, 2, 5])
    config.check()
    found, usual = load_corpus(config), load_corpus(DataConfig("files", f"{tmp_path}/*.txt"))
    assert found.apart_from == ((4, 10), (2, 5)) and found.fingerprint == usual.fingerprint
    assert DataConfig().content("f00d") == {"fingerprint": "f00d"}
    assert config.content("f00d") == {"fingerprint": "f00d", "apart_from": [4, 10, 2, 5]}


@pytest.mark.parametrize("given", [[3], [0, 5], [4, -1], [1, 2, 3]])
def test_other_settings_are_refused(given: list[int]) -> None:
    with pytest.raises(UserError, match=r"data\.apart_from=.*expected pairs of windows and their"):
        DataConfig(apart_from=given).check()


def test_a_sample_that_stands_twice_stands_for_what_is_chosen_by_beside_it() -> None:
    def positions(text: Corpus, selecting: bool) -> set[int]:
        batches = text.validation_batches(2, 2, 9, selecting)
        return {int(token) for batch in batches for token in batch.ravel()}

    seen = positions(corpus(), False) | positions(corpus(), True)
    assert len(seen) == 80
    once, twice = corpus((4, 9)), corpus((4, 9), (4, 9))
    assert positions(once, False) & seen and not positions(twice, False) & seen
    assert not positions(twice, True) & (seen | positions(twice, False))
