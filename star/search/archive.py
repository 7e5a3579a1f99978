"""Everything a search has evaluated, its ranks, and the front over the whole run.

All objectives are minimised here: those that are maximised enter with their sign changed.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from star.evaluation.failures import OVER_BUDGET
from star.evaluation.objectives import STATIC, Objective
from star.evaluation.pareto import Values, hypervolume, pareto_ranks, reference_point
from star.search.candidates import Evaluated


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

    def summary(self) -> dict[str, float]:
        """Where the search is, in numbers; `best_<objective>` over the present front."""
        front = self.front()
        numbers = {
            "hypervolume": self.hypervolume(),
            "front": len(front),
            "evaluations": len(self),
            "infeasible": sum(self.failures().values()),
        }
        if front:
            best = self.values(front).min(axis=0)
            named = zip(self.objectives, best, strict=True)
            numbers |= {f"best_{o.name}": o.sign * float(value) for o, value in named}
        return numbers

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
