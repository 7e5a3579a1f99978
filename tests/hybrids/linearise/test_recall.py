"""Recall tasks made of a text's tokens: every answer can be read off what came before."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from star.base.errors import UserError
from star.data.mad import IGNORED
from star.hybrids.linearise.recall import SYMBOLS, pairs, repeat


@given(seed=st.integers(0, 1000), rows=st.integers(1, 4), length=st.integers(4, 40))
def test_what_is_repeated_is_asked(seed: int, rows: int, length: int) -> None:
    rng = np.random.default_rng(seed)
    text = torch.from_numpy(rng.integers(0, 9, (rows, length + 1)))
    made = repeat(text, rng)
    half = (length + 1) // 2
    assert made.inputs.shape == made.targets.shape == (rows, 2 * half - 1)
    for row, inputs, targets in zip(
        text.tolist(), made.inputs.tolist(), made.targets.tolist(), strict=True
    ):
        assert sorted(inputs[:half]) == sorted(row[:half])
        assert targets[:half] == [IGNORED] * half
        assert targets[half:] == inputs[1:half]  # what followed before
        assert inputs[half:] == inputs[: half - 1]


@given(seed=st.integers(0, 1000), length=st.integers(32, 60))
def test_pairs_are_of_tokens_that_occur(seed: int, length: int) -> None:
    rng = np.random.default_rng(seed)
    text = torch.from_numpy(rng.permuted(np.tile(np.arange(100, 200), (3, 1)), axis=1))
    text = text[:, : length + 1]
    made = pairs(text, rng)
    used = set(made.inputs.flatten().tolist())
    assert used <= set(text.flatten().tolist()) and len(used) <= SYMBOLS
    scored = made.targets != IGNORED
    assert scored.any()
    for inputs, targets in zip(made.inputs.tolist(), made.targets.tolist(), strict=True):
        told: dict[int, int] = {}
        for place in range(0, len(inputs), 2):
            if targets[place] != IGNORED:
                assert told[inputs[place]] == targets[place]
            if place + 1 < len(inputs):
                told[inputs[place]] = inputs[place + 1]


def test_tasks_are_functions_of_text_and_generator() -> None:
    text = torch.arange(80).reshape(2, 40)
    for task in (repeat, pairs):
        first, same, other = (task(text, np.random.default_rng(seed)) for seed in (0, 0, 1))
        assert torch.equal(first.inputs, same.inputs)
        assert not torch.equal(first.inputs, other.inputs)


def test_too_few_tokens_for_pairs() -> None:
    with pytest.raises(UserError, match="task=pairs: a batch has only 3 different tokens"):
        pairs(torch.arange(3).repeat(2, 9), np.random.default_rng(0))
