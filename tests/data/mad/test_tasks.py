"""The generators against what their papers say, and against slow and plain definitions."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from star.base.errors import UserError
from star.data import mad
from star.data.mad.copying import facts

TASKS: dict[str, Callable[..., mad.Instances]] = {
    name: getattr(mad, name)
    for name in (
        *("in_context_recall", "noisy_recall", "fuzzy_recall", "selective_copying"),
        *("compression", "memorization", "one_token_pairs"),
    )
}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@given(
    first=st.integers(0, 2000), seed=st.integers(0, 2**63 - 1), split=st.sampled_from(mad.SPLITS)
)
def test_any_instance_can_be_made_again_alone(
    task: Callable[..., mad.Instances], first: int, seed: int, split: str
) -> None:
    many = task(3, seed=seed, split=split, first=first)
    one = task(1, seed=seed, split=split, first=first + 2)
    assert torch.equal(many.inputs[2:], one.inputs) and torch.equal(many.targets[2:], one.targets)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_seeds_splits_and_instances_differ(task: Callable[..., mad.Instances]) -> None:
    first = task(2, seed=0).inputs
    others = [task(1, seed=1).inputs[0], task(1, split="validation").inputs[0], first[1]]
    assert all(not torch.equal(first[0], other) for other in others)


@pytest.mark.parametrize(
    ("task", "expected", "error"),
    [("in_context_recall", 56.0, 0.1), ("noisy_recall", 43.5, 0.3), ("fuzzy_recall", 4.5, 0.15)],
)
def test_scored_tokens_of_a_test_sequence(task: str, expected: float, error: float) -> None:
    """At the baseline settings (FACTS.md A2, measured with mad-lab)."""
    found = TASKS[task](6400, split="test")
    assert found.scored.sum().item() / 6400 == pytest.approx(expected, abs=error)


@pytest.mark.parametrize("multi_query", [True, False])
@pytest.mark.parametrize("noise", [0.0, 0.4])
def test_recall_is_what_a_dictionary_would_answer(multi_query: bool, noise: float) -> None:
    settings = {"noise_vocabulary": 8, "noise_fraction": noise, "multi_query": multi_query}
    found = mad.in_context_recall(200, split="test", vocabulary=24, length=64, **settings)
    usable = 16 if multi_query else 15
    for inputs, targets in zip(found.inputs.tolist(), found.targets.tolist(), strict=True):
        if not multi_query:
            assert inputs.pop(-2) == 23 and targets.pop(-2) == mad.IGNORED
        known: dict[int, int] = {}
        for position in range(0, len(inputs), 2):
            key, wanted = inputs[position], targets[position]
            if key >= usable:
                assert wanted == mad.IGNORED and inputs[position + 1] >= usable
                continue
            value = inputs[position + 1] if position + 1 < len(inputs) else wanted
            assert known.setdefault(key, value) == value
            assert key < usable // 2 <= value < usable
        again = [t for t in targets if t != mad.IGNORED]
        assert again if multi_query else len(again) == 1
        assert targets[-1] == known[inputs[-1]]  # a key that was seen


def motifs(tokens: list[int], split_at: int, padding: int) -> list[tuple[tuple[int, ...], ...]]:
    """Pairs of motifs of a fuzzy sequence; a key begins where a value ended."""
    found, key, value = [], [], []
    for token in tokens:
        if token == padding:
            continue
        if token < split_at and value:
            found.append((tuple(key), tuple(value)))
            key, value = [], []
        (key if token < split_at else value).append(token)
    return [*found, (tuple(key), tuple(value))]


@pytest.mark.parametrize("split", ["train", "test"])
def test_fuzzy_recall_is_what_a_dictionary_would_answer(split: str) -> None:
    found = mad.fuzzy_recall(300, split=split, vocabulary=16, length=96)
    assert found.inputs.shape == (300, 96)
    for inputs, targets in zip(found.inputs.tolist(), found.targets.tolist(), strict=True):
        last = targets[-1]
        pairs = motifs([*inputs, last], split_at=7, padding=15)
        known: dict[tuple[int, ...], tuple[int, ...]] = {}
        wanted = []
        for key, value in pairs:
            assert len(set(key)) == len(key) <= 3 and len(set(value)) == len(value) <= 3
            assert split == "train" or len(key) == 3
            if key in known:
                wanted += value
            assert known.setdefault(key, value) == value
        assert pairs[-1][0] in [key for key, _ in pairs[:-1]]  # the probe was seen
        scored = [target for target in targets if target != mad.IGNORED]
        assert scored == (wanted if split == "test" else targets)
    if split == "train":
        assert torch.equal(found.targets[:, :-1], found.inputs[:, 1:])


def test_selective_copying_asks_for_the_content_in_order() -> None:
    found = mad.selective_copying(200, vocabulary=10, length=64, copied=12)
    for inputs, targets in zip(found.inputs.tolist(), found.targets.tolist(), strict=True):
        content = [token for token in inputs if token < 8]
        assert targets == [mad.IGNORED] * 52 + content and len(content) == 12
        assert inputs[51] == 9 and inputs[52:] == [8] * 12 and inputs[50] < 8
    blanks = (found.inputs[:, :51] == 8).float().mean(0)
    assert blanks[:10].mean() == pytest.approx(39 / 51, abs=0.1)  # not all at the beginning


def test_compression_and_memorization() -> None:
    found = mad.compression(100, vocabulary=16, length=32)
    assert torch.equal(found.inputs, found.targets)
    assert (found.inputs[:, -1] == 15).all() and (found.inputs[:, :-1] < 15).all()
    known = facts(256)
    assert len(known) == len(set(known.tolist())) == 127 and known.min() >= 127
    for split in mad.SPLITS:
        found = mad.memorization(100, split=split, seed=3)
        assert (found.inputs[:, 1::2] == 255).all() and (found.targets[:, ::2] == -100).all()
        assert (found.targets[:, 1::2].numpy() == known[found.inputs[:, ::2].numpy()]).all()


@given(
    keys=st.integers(1, 20),
    values=st.integers(2, 20),
    room=st.integers(0, 30),
    fillers=st.integers(1, 8),
)
def test_filler_never_overwrites_a_pair_or_a_question(
    keys: int, values: int, room: int, fillers: int
) -> None:
    length = 2 * keys + room
    found = mad.one_token_pairs(
        20, keys=keys, values=values, length=length, fillers=fillers, split="test"
    )
    assert found.inputs.max() < mad.pair_vocabulary(keys, values, fillers)
    for inputs, targets in zip(found.inputs.tolist(), found.targets.tolist(), strict=True):
        told = {token // values: token for token in inputs if token < keys * values}
        asked = [token - keys * values for token in inputs[-keys:]]
        assert sorted(told) == sorted(asked) == list(range(keys))
        assert targets == [mad.IGNORED] * (length - keys) + [told[key] for key in asked]
        assert sum(token >= keys * (values + 1) for token in inputs) == room


def test_draws_are_uniform() -> None:
    """Keys, values and places are each as likely, by a chi-square test with a fixed seed."""
    from scipy.stats import chisquare

    found = mad.in_context_recall(2000, length=32)
    assert chisquare(np.bincount(found.inputs[:, 0:20:2].flatten(), minlength=8)).pvalue > 0.001
    assert chisquare(np.bincount(found.inputs[:, 1] - 8, minlength=8)).pvalue > 0.001
    pairs = mad.one_token_pairs(2000, keys=4, values=4, length=16).inputs
    places = np.nonzero((pairs < 16).numpy())[1]
    assert chisquare(np.bincount(places, minlength=12)).pvalue > 0.001


@pytest.mark.parametrize(
    ("task", "settings", "message"),
    [
        ("in_context_recall", {"vocabulary": 1}, "vocabulary=1"),
        ("in_context_recall", {"length": 33}, "length=33"),
        ("noisy_recall", {"vocabulary": 16}, "vocabulary=16"),
        ("noisy_recall", {"noise_fraction": 1.0}, "noise_fraction=1.0"),
        ("fuzzy_recall", {"vocabulary": 6}, "vocabulary=6"),
        ("fuzzy_recall", {"length": 8}, "length=8"),
        ("selective_copying", {"copied": 128}, "copied=128"),
        ("memorization", {"length": 3}, "length=3"),
        ("one_token_pairs", {"keys": 40}, "length=64"),
        ("compression", {"split": "dev"}, "split=dev"),
        ("compression", {"seed": -1}, "seed=-1"),
    ],
)
def test_settings_that_no_sequence_has(
    task: str, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=f"^{task}: {message}: expected"):
        TASKS[task](1, **settings)
