"""Pareto fronts: ranks of non-domination, and the hypervolume that a front dominates.

Everything is minimised here: what is maximised enters with its sign changed.
"""

import numpy as np
import numpy.typing as npt
from pymoo.indicators.hv import HV
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

Values = npt.NDArray[np.float64]

REFERENCE_MARGIN = 1.1


def pareto_ranks(values: Values) -> npt.NDArray[np.int64]:
    """Non-domination rank of each row of values (candidates, objectives); 0 is the Pareto front."""
    ranks = np.zeros(len(values), dtype=np.int64)
    for rank, front in enumerate(NonDominatedSorting().do(values)):
        ranks[front] = rank
    return ranks


def reference_point(values: Values) -> Values:
    """Reference of the hypervolume, (objectives,): the worst of the given rows and a tenth more.

    More is worse: 2.0 gives 2.2; -2.0, which is 2.0 of a quantity that is maximised, gives -1.8; 0,
    of which a tenth is nothing, gives 1.
    """
    worst = values.max(axis=0)
    margin = np.where(worst > 0, REFERENCE_MARGIN, 2 - REFERENCE_MARGIN)
    return np.where(worst == 0, 1.0, worst * margin)


def hypervolume(values: Values, reference: Values) -> float:
    """What the rows of values dominate of the box up to the reference point.

    A share of 0 to 1 where the objectives are minimised and not negative, since the box begins at
    zero then.
    """
    if not len(values):
        return 0.0
    # Each axis is scaled so that the reference is at 1. Where the reference is negative there is no
    # zero to begin at, and the distance to it is measured in units of its size instead: the
    # reference -1.8 and the value -3.6 give 1 + (-3.6 + 1.8) / 1.8 = 0.
    size = np.abs(reference)
    scaled = np.where(reference > 0, values / size, 1 + (values - reference) / size)
    return float(HV(ref_point=np.ones(len(reference)))(scaled))  # type: ignore[arg-type]
