"""Names of recall tasks, and what guessing gets on them."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from star.base.errors import UserError
from star.data.mad import IGNORED, in_context_recall, one_token_pairs
from star.evaluation.probing import read_task
from star.evaluation.probing.recall_tasks import commonest_value


def test_names_are_generators_at_sizes() -> None:
    pairs, adjacent = read_task("pairs_4"), read_task("adjacent_8_32")
    assert pairs.form == "pairs" and adjacent.form == "adjacent"
    expected = one_token_pairs(
        3, seed=5, split="validation", first=7, keys=4, values=8, length=16, fillers=8
    )
    found = pairs.instances(3, first=7, seed=5)
    assert torch.equal(found.inputs, expected.inputs)
    assert torch.equal(found.targets, expected.targets)
    expected = in_context_recall(2, split="validation", vocabulary=8, length=32)
    assert torch.equal(adjacent.instances(2).inputs, expected.inputs)
    for task in (pairs, adjacent):
        many = task.instances(64)
        assert max(many.inputs.max(), many.targets.max()) < task.vocabulary
        assert not many.scored.all()  # answers only


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "chain_4",
            "'chain_4' is unknown; expected pairs_<keys> or adjacent_<vocabulary>_<length>",
        ),
        ("pairs", "'pairs' is unknown"),
        ("pairs_x", "'pairs_x' is unknown"),
        ("pairs_8_32", "'pairs_8_32' is unknown"),
        ("pairs_99999", "'pairs_99999' is unknown; .* numbers up to 1024"),
        ("pairs_0", "pairs_0: one_token_pairs: keys=0: expected at least 1"),
        ("adjacent_2_32", "adjacent_2_32: vocabulary=2: expected at least 4"),
        ("adjacent_16_24", "adjacent_16_24: length=24: expected at least 32, twice the vocabulary"),
        ("adjacent_16_33", "adjacent_16_33: in_context_recall: length=33: expected an even number"),
    ],
)
def test_what_is_no_task(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_task(name)


@given(vocabulary=st.integers(4, 20), room=st.integers(0, 8), seed=st.integers(0, 99))
def test_the_guess_is_the_commonest_value_before(vocabulary: int, room: int, seed: int) -> None:
    """Against counts of one sequence after the other; also that it is never all that there is."""
    length = 2 * vocabulary + 2 * room
    found = in_context_recall(
        64, seed=seed, split="validation", vocabulary=vocabulary, length=length
    )
    right = scored = 0
    for inputs, targets in zip(found.inputs.tolist(), found.targets.tolist(), strict=True):
        counts: Counter[int] = Counter()
        latest: dict[int, int] = {}
        for position, (token, wanted) in enumerate(zip(inputs, targets, strict=True)):
            if position % 2:
                counts[token] += 1
                latest[token] = position
            if wanted != IGNORED:
                scored += 1
                right += max(counts, key=lambda v: (counts[v], latest[v])) == wanted
    assert commonest_value(found, vocabulary) == right / scored < 1


def test_errors_run_from_the_guess_to_all_right() -> None:
    task = read_task("pairs_8")
    chance = task.guessed(task.instances(16))
    assert chance == 1 / 8
    assert task.error(1.0, chance) == 0.0
    assert task.error(chance, chance) == task.error(0.0, chance) == 1.0
    assert task.error((1 + chance) / 2, chance) == pytest.approx(0.5)
