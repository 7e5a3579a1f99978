"""Everything a search has evaluated: answers repeated genomes, ranks, and the front over the whole
run."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from star.evaluation.objectives import Objective
from star.search.candidates import BASELINE, Evaluated
from star.search.front import Values, hypervolume, pareto_ranks, reference_point


class Archive:
    """Evaluated candidates in order of proposal, one for each canonical genome."""

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self.objectives = list(objectives)
        self._by_id: dict[str, Evaluated] = {}
        self._reference: Values | None = None
        self._front: dict[str, Values] = {}  # objectives of the non-dominated, by genome id

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, genome_id: object) -> bool:
        return genome_id in self._by_id

    def __getitem__(self, genome_id: str) -> Evaluated:
        return self._by_id[genome_id]

    def add(self, evaluated: Evaluated) -> None:
        """Keep a finished candidate; one of the same genome gives way to it."""
        replaced = self._by_id.get(evaluated.genome_id)
        self._by_id[evaluated.genome_id] = evaluated
        if (
            replaced is not None and replaced.evaluation.feasible
        ):  # what it dominated may be of the front now
            self._front = {}
            for other in self.feasible:
                self._compare(other)
        elif evaluated.evaluation.feasible:
            self._compare(evaluated)

    def _compare(self, evaluated: Evaluated) -> None:
        """Add a measured candidate to the front, in the place of those it dominates, unless one
        there dominates it."""
        (own,) = self.values([evaluated])
        ids, front = list(self._front), np.array(list(self._front.values())).reshape(-1, len(own))
        if ((front <= own).all(axis=1) & (front < own).any(axis=1)).any():
            return
        for index in np.flatnonzero((own <= front).all(axis=1) & (own < front).any(axis=1)):
            del self._front[ids[index]]
        self._front[evaluated.genome_id] = own

    @property
    def all(self) -> list[Evaluated]:
        """Every candidate, in order of proposal."""
        return list(self._by_id.values())

    @property
    def feasible(self) -> list[Evaluated]:
        """Candidates that were measured."""
        return [evaluated for evaluated in self._by_id.values() if evaluated.evaluation.feasible]

    @property
    def baselines(self) -> list[Evaluated]:
        """Measured baselines."""
        return [evaluated for evaluated in self.feasible if evaluated.candidate.origin == BASELINE]

    def failures(self) -> Counter[str]:
        """How many candidates were infeasible, by kind of failure."""
        return Counter(
            e.evaluation.failure for e in self._by_id.values() if not e.evaluation.measured
        )

    def train_tokens(self) -> int:
        """Training tokens of all candidates together."""
        return sum(evaluated.train_tokens for evaluated in self._by_id.values())

    def stopped(self) -> int:
        """How many candidates successive halving stopped."""
        return sum(
            e.evaluation.measured and not e.evaluation.feasible for e in self._by_id.values()
        )

    def values(self, candidates: Sequence[Evaluated]) -> Values:
        """Objective vectors of measured candidates, (candidates, objectives)."""
        rows = [[c.evaluation.metrics[o.name] for o in self.objectives] for c in candidates]
        return np.array(rows, dtype=np.float64).reshape(-1, len(self.objectives))

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
        """Non-dominated candidates over the whole run, baselines included, by cache, then loss,
        then id."""
        front = [self._by_id[genome_id] for genome_id in self._front]

        def key(evaluated: Evaluated) -> tuple[float, float, str]:
            metrics = evaluated.evaluation.metrics
            return metrics["cache_bytes"], metrics["validation_loss"], evaluated.genome_id

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
        """Hypervolume of the present front, 0 to 1 (see `front.hypervolume`)."""
        self.fix_reference()
        return (
            0.0
            if self._reference is None
            else hypervolume(self.values(self.front()), self._reference)
        )
