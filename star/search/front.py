"""Pareto ranks and hypervolume over objective vectors; all objectives are minimised."""

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
    """Reference of the hypervolume: 1.1 x the worst of the given rows (the baselines, or the first
    generation)."""
    worst = values.max(axis=0) * REFERENCE_MARGIN
    return np.where(worst > 0, worst, 1.0)


def hypervolume(values: Values, reference: Values) -> float:
    """Share of the box between zero and the reference point that the rows of values dominate, 0 to
    1."""
    if not len(values):
        return 0.0
    indicator = HV(ref_point=np.ones(len(reference)))
    return float(indicator(values / reference))  # type: ignore[arg-type]
