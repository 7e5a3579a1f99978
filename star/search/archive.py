"""Everything a search has evaluated, its ranks, and the front over the whole run.

All objectives are minimised here: those that are maximised enter with their sign changed.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pymoo.indicators.hv import HV
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from star.evaluation.failures import OVER_BUDGET
from star.evaluation.objectives import STATIC, Objective
from star.search.candidates import Evaluated

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


def objective_values(objectives: Sequence[Objective], candidates: Sequence[Evaluated]) -> Values:
    """Values of measured candidates, (candidates, objectives), to be minimised."""
    rows = [[o.sign * c.evaluation.metrics[o.name] for o in objectives] for c in candidates]
    return np.array(rows, dtype=np.float64).reshape(-1, len(objectives))


class Archive:
    """Evaluated candidates in order of proposal, one for each canonical genome."""

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self.objectives = list(objectives)
        self._by_id: dict[str, Evaluated] = {}
        self._reference: Values | None = None
        self._front: list[str] = []  # ids of the front of all but those that wait
        self._waiting: list[str] = []  # ids added since

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, genome_id: object) -> bool:
        return genome_id in self._by_id

    def __getitem__(self, genome_id: str) -> Evaluated:
        return self._by_id[genome_id]

    def add(self, evaluated: Evaluated) -> None:
        """Keep a finished candidate; it takes the place of an earlier one of the same genome."""
        genome_id = evaluated.genome_id
        if genome_id in self._by_id:  # what the earlier one dominated may be of the front now
            self._front, self._waiting = [], list(self._by_id)
        self._by_id[genome_id] = evaluated
        self._waiting.append(genome_id)

    @property
    def all(self) -> list[Evaluated]:
        """Every candidate, in order of proposal."""
        return list(self._by_id.values())

    @property
    def feasible(self) -> list[Evaluated]:
        """Candidates that were measured to the end and keep the constraints."""
        return [evaluated for evaluated in self._by_id.values() if evaluated.evaluation.feasible]

    @property
    def baselines(self) -> list[Evaluated]:
        """Baselines that were trained and measured, those above a constraint too."""
        return [e for e in self.all if e.is_baseline and e.evaluation.failure in ("", OVER_BUDGET)]

    def failures(self) -> Counter[str]:
        """How many candidates were infeasible, by kind of failure; baselines have no constraint
        to keep."""
        kinds = ((e, e.evaluation.failure) for e in self._by_id.values())
        return Counter(
            kind for e, kind in kinds if kind and not (e.is_baseline and kind == OVER_BUDGET)
        )

    def train_tokens(self) -> int:
        """Training tokens of all candidates together."""
        return sum(evaluated.train_tokens for evaluated in self._by_id.values())

    def values(self, candidates: Sequence[Evaluated]) -> Values:
        """Objective vectors of measured candidates, (candidates, objectives), to be minimised."""
        return objective_values(self.objectives, candidates)

    def ranks(self) -> dict[str, int]:
        """Non-domination rank over the whole run of every measured candidate, by genome id."""
        feasible = self.feasible
        if not feasible:
            return {}
        ranks = pareto_ranks(self.values(feasible))
        return {
            evaluated.genome_id: int(rank) for evaluated, rank in zip(feasible, ranks, strict=True)
        }

    def front(self) -> list[Evaluated]:
        """Non-dominated candidates over the whole run, baselines within the constraints included.

        In order of the static objectives, then of the others, then of ids.
        """
        # Whoever was dominated stays so: only the last front and those added since are compared.
        known = [self._by_id[name] for name in dict.fromkeys((*self._front, *self._waiting))]
        measured = [evaluated for evaluated in known if evaluated.evaluation.feasible]
        ranks = pareto_ranks(self.values(measured)) if measured else []
        front = [evaluated for evaluated, rank in zip(measured, ranks, strict=True) if rank == 0]
        self._front, self._waiting = [evaluated.genome_id for evaluated in front], []
        order = sorted(self.objectives, key=lambda objective: objective.cost != STATIC)

        def key(evaluated: Evaluated) -> tuple[list[float], str]:
            metrics = evaluated.evaluation.metrics
            return [o.sign * metrics[o.name] for o in order], evaluated.genome_id

        return sorted(front, key=key)

    def fix_reference(self) -> None:
        """Take the reference point of the hypervolume from the baselines, or from what there is
        without any."""
        if self._reference is not None:
            return
        known = self.baselines or self.feasible
        if known:
            self._reference = reference_point(self.values(known))

    def hypervolume(self) -> float:
        """Hypervolume of the present front, 0 to 1 (see `hypervolume`)."""
        self.fix_reference()
        if self._reference is None:
            return 0.0
        return hypervolume(self.values(self.front()), self._reference)
