"""Which of a surplus of children are trained."""

import numpy as np
import numpy.typing as npt

from star.evaluation.pareto import Values, pareto_ranks
from star.search.halving import crowding_distances


def best(values: Values, count: int, known: Values, is_refused: npt.NDArray[np.bool_]) -> list[int]:
    """Rows to train, ascending.

    By non-dominated rank among themselves and what is known, so that a child in a region that
    others have conquered comes late; equals by crowding distance, the lonelier first, then in
    order.

    Args:
        values: (children, objectives), predicted or exact, to be minimised.
        count: how many to choose.
        known: (candidates, objectives) of those that were measured.
        is_refused: (children,), those that are predicted to break a limit, which come last.
    """
    everyone = np.concatenate([values, known])
    ranks = pareto_ranks(everyone)
    distances = crowding_distances(everyone, ranks)
    children = slice(0, len(values))
    order = np.lexsort([-distances[children], ranks[children], is_refused])  # the last key first
    return sorted(order[:count].tolist())
