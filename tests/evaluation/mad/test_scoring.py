"""Accuracies against cases counted by hand and against scikit-learn; scores against plain means."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from star.evaluation.mad import BASELINES, Outcome, Run, summarise
from star.evaluation.mad.published import PUBLISHED
from star.evaluation.mad.scores import chosen
from star.evaluation.mad.scoring import macro_accuracy

NONE = -100


def tokens(*rows: list[int]) -> torch.Tensor:
    return torch.tensor(rows)


@pytest.mark.parametrize(
    ("predicted", "targets", "expected"),
    [
        # class 0: 2 of 3 right, class 1: 1 of 1
        ([0, 0, 1, 1], [0, 0, 0, 1], (2 / 3 + 1) / 2),
        # class 2 is predicted once and never a target, so it counts as 0
        ([0, 2, 1], [0, 0, 1], (1 / 2 + 1 + 0) / 3),
        # but not where the position is not scored
        ([0, 2, 1], [0, NONE, 1], 1.0),
        # class 1 is a target and never predicted
        ([0, 0], [0, 1], 1 / 2),
    ],
)
def test_macro_accuracy_counts_classes(
    predicted: list[int], targets: list[int], expected: float
) -> None:
    assert macro_accuracy(tokens(predicted), tokens(targets)) == pytest.approx(expected)


def test_macro_accuracy_is_the_mean_over_batches() -> None:
    predicted, targets = tokens([0, 0], [1, 0], [0, 0]), tokens([0, 1], [1, 1], [0, 0])
    batches = [(1 + 1 / 3) / 2, 1.0]  # first: class 0 is 1 of 1, class 1 is 1 of 3
    assert macro_accuracy(predicted, targets, batch_size=2) == pytest.approx(np.mean(batches))


@given(st.data())
def test_macro_accuracy_is_scikit_learns_recall_over_all_that_occur(data: st.DataObject) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    size = data.draw(st.integers(1, 30))
    labels = st.lists(st.integers(0, 6), min_size=size, max_size=size)
    predicted, targets = data.draw(labels), data.draw(labels)
    occurring = sorted({*predicted, *targets})
    expected = metrics.recall_score(
        targets, predicted, labels=occurring, average="macro", zero_division=0
    )
    found = macro_accuracy(tokens(predicted), tokens(targets))
    assert found == pytest.approx(expected)


def outcome(rate: float, seed: int, validation: float, test: float, macro: float) -> Outcome:
    run = Run(BASELINES["compression"], rate, 0.0, seed)
    return Outcome(run, 10, False, validation, test, macro, 1.0)


def test_rates_are_chosen_on_validation_and_counted_on_test() -> None:
    """The other rate is better on the test split, which only mad-lab's number may see."""
    runs = [outcome(1e-3, 0, 0.8, 0.5, 0.4), outcome(1e-4, 0, 0.7, 0.9, 0.6)]
    score = summarise(runs).tasks["compression"]
    assert (score.accuracy, score.mad_lab_accuracy) == (0.5, 0.6)


def test_the_mean_over_seeds_decides_and_the_spread_is_over_seeds() -> None:
    runs = [
        *(outcome(1e-3, 0, 0.9, 0.2, 0.2), outcome(1e-3, 1, 0.1, 0.2, 0.2)),
        *(outcome(1e-4, 0, 0.6, 0.3, 0.1), outcome(1e-4, 1, 0.6, 0.5, 0.1)),
    ]
    assert {run.run.learning_rate for run in chosen(runs)} == {1e-4}
    score = summarise(runs).tasks["compression"]
    assert score.accuracy == pytest.approx(0.4) and score.spread == pytest.approx(0.1)


def test_a_run_that_diverged_counts_as_zero_and_is_not_dropped() -> None:
    fine = outcome(1e-3, 0, 0.8, 0.8, 0.8)
    setting = replace(fine.run.setting, vocabulary=32)
    lost = Outcome(replace(fine.run, setting=setting), 3, True, 0.0, 0.0, 0.0, 1.0)
    score = summarise([fine, lost]).tasks["compression"]
    assert (score.accuracy, score.mad_lab_accuracy) == (0.4, 0.4)
    assert (score.settings, score.diverged) == (2, 1)


def test_the_mean_is_over_tasks_not_over_runs() -> None:
    first = outcome(1e-3, 0, 1.0, 1.0, 1.0)
    others = [
        replace(first, run=replace(first.run, setting=setting), test_accuracy=0.0)
        for setting in (BASELINES["memorization"], replace(BASELINES["memorization"], length=64))
    ]
    assert summarise([first, *others]).mean == 0.5


def test_published_rows_have_their_printed_means() -> None:
    """DeltaNet paper, table of MAD: Transformer 74.5, Hyena 66.0, Mamba 69.3 and so on."""
    printed = (74.5, 66.0, 73.2, 69.3, 60.0, 71.8)
    means = [sum(row.values()) / len(row) for row in PUBLISHED.values()]
    assert means == pytest.approx(printed, abs=0.06)
