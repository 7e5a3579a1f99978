"""Ranks against pymoo's own, and hypervolumes worked by hand."""

import numpy as np
import pytest
from pymoo.util.nds.fast_non_dominated_sort import fast_non_dominated_sort

from star.evaluation.pareto import hypervolume, pareto_ranks, reference_point


def test_ranks_match_pymoo_and_hypervolume_is_a_share() -> None:
    values = np.random.default_rng(0).random((40, 2))
    ranks = pareto_ranks(values)
    for rank, members in enumerate(fast_non_dominated_sort(values)):
        assert set(np.flatnonzero(ranks == rank)) == set(members)
    assert hypervolume(np.array([[0.5, 0.5]]), np.ones(2)) == pytest.approx(0.25)
    assert hypervolume(np.array([[1.0, 5.0]]), np.array([2.0, 10.0])) == pytest.approx(0.25)
    assert hypervolume(np.empty((0, 2)), np.ones(2)) == 0.0


def test_the_hypervolume_of_a_maximised_objective_is_that_of_its_gain() -> None:
    """Worked by hand: loss 1 of at most 2.2, speed 12 of at least 9, which is a third above it."""
    reference = reference_point(np.array([[2.0, -10.0]]))
    assert reference == pytest.approx([2.2, -9.0])
    share = (1 - 1 / 2.2) * (12 - 9) / 9
    assert hypervolume(np.array([[1.0, -12.0]]), reference) == pytest.approx(share)


def test_the_reference_is_a_tenth_worse_than_the_worst() -> None:
    values = np.array([[2.0, -4.0, 0.0], [1.0, -10.0, 0.0]])
    assert reference_point(values) == pytest.approx([2.2, -3.6, 1.0])
