"""Which of a surplus of children are trained."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from star.evaluation.pareto import pareto_ranks
from star.search.prescreening.choice import best

NOTHING = np.zeros((0, 2))


def chosen(values: list[list[float]], count: int, known: np.ndarray = NOTHING) -> list[int]:
    return best(np.array(values), count, known, np.zeros(len(values), dtype=bool))


def test_the_first_ranks_are_chosen_the_lonelier_first() -> None:
    values = [[3.0, 3.0], [1.0, 4.0], [4.0, 1.0], [2.0, 2.0], [2.1, 1.9], [5.0, 5.0]]
    assert chosen(values, 2) == [1, 2]  # the ends of the first rank
    assert chosen(values, 4) == [1, 2, 3, 4]
    assert chosen(values, 5) == [0, 1, 2, 3, 4]


def test_children_where_others_were_better_come_late() -> None:
    values, known = [[1.0, 4.0], [2.0, 2.0], [4.0, 1.0]], np.array([[0.5, 0.9], [0.9, 0.5]])
    assert chosen(values, 1) == [0]
    everyone = np.array([[1.0, 0.95], [0.4, 3.0], [3.0, 0.4]])
    assert best(everyone, 2, known, np.zeros(3, dtype=bool)) == [1, 2]


def test_what_would_break_a_limit_comes_last() -> None:
    values = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    assert best(values, 2, NOTHING, np.array([True, False, False])) == [1, 2]
    assert best(values, 3, NOTHING, np.array([True, False, False])) == [0, 1, 2]


@given(arrays(np.float64, (9, 2), elements=st.floats(0, 1)), st.integers(1, 9))
def test_no_child_is_chosen_before_one_of_a_better_rank(values: np.ndarray, count: int) -> None:
    ranks, found = pareto_ranks(values), chosen(values.tolist(), count)
    assert len(found) == count == len(set(found)) and found == sorted(found)
    assert max(ranks[found]) <= sorted(ranks)[count - 1]
