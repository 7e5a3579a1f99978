"""How far to believe a search: what longer trainings with several seeds say of its designs.

Means are over seeds. Intervals are Student's, with the spread over seeds that all designs share
(pooled), since three trainings of one design alone tell little of it. Who dominates whom is decided
by differences between designs of the same seeds, so that the probability to be on the front leaves
out what a seed does to all of them (`star.evaluation.statistics`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from star.base.csv_files import csv_text
from star.evaluation import Evaluation, Measured
from star.evaluation.constraints import Budget
from star.evaluation.objectives import STATIC
from star.evaluation.result import OK
from star.evaluation.statistics import (
    Correlation,
    Spread,
    fit_seeds,
    front_probabilities,
    mean_interval,
    non_dominated,
    pooled_spread,
    rank_correlations,
)
from star.runs.names import composition
from star.validating.designs import FRONT, Design

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A quantity of a design: its mean over seeds, and how far that can be trusted."""

    mean: float
    deviation: float  # over the design's own seeds; nan with one
    low: float  # of the interval; infinite where nothing tells the spread
    high: float


@dataclass(frozen=True)
class Results:
    """What a validation found."""

    designs: Sequence[Design]
    trainings: Sequence[Sequence[Evaluation]]  # (designs, seeds)
    measured: Measured
    minimised: Sequence[str]  # names of the search's objectives
    budget: Budget  # its constraints
    seeds: Sequence[int]
    also: Sequence[str] = ()  # names of what the validation alone measured

    @cached_property
    def complete(self) -> list[int]:
        """Numbers of the designs that could be measured with every seed: the mean of those that
        did not fail would flatter the others."""
        return [n for n, row in enumerate(self.trainings) if all(e.feasible for e in row)]

    @cached_property
    def trained(self) -> list[str]:
        """Names of what was measured of trainings, in the order of their columns."""
        there = [self.trainings[n][0].metrics for n in self.complete]
        names = (o.name for o in self.measured.objectives.values() if o.cost != STATIC)
        return [name for name in names if there and all(name in metrics for metrics in there)]

    @cached_property
    def estimates(self) -> Mapping[tuple[int, str], Estimate]:
        """By the number of a complete design and the name of a trained quantity."""
        found = {}
        for name in self.trained:
            rows = self._values(name)
            spread = pooled_spread(list(rows))
            for number, row in zip(self.complete, rows, strict=True):
                deviation = float(row.std(ddof=1)) if len(row) > 1 else float("nan")
                mean = float(row.mean())
                found[number, name] = Estimate(
                    mean, deviation, *mean_interval(mean, len(row), spread)
                )
        return found

    def _values(self, name: str) -> Array:
        """A trained quantity of the complete designs, (designs, seeds)."""
        rows = [[e.metrics[name] for e in self.trainings[n]] for n in self.complete]
        return np.array(rows, dtype=np.float64).reshape(len(rows), -1)

    def means(self, number: int) -> dict[str, float]:
        """All metrics of a complete design, those of trainings as means."""
        exact = dict(self.trainings[number][0].metrics)
        return {**exact, **{name: self.estimates[number, name].mean for name in self.trained}}

    @cached_property
    def competing(self) -> list[int]:
        """Numbers of the complete designs that keep the search's constraints, on their means."""
        return [
            number
            for number in self.complete
            if self.budget.judge(Evaluation(OK, "", self.means(number))).feasible
        ]

    @cached_property
    def _objective_values(self) -> Array:
        """Means of those that compete, (designs, objectives), to be minimised."""
        objectives = [self.measured.objectives[name] for name in self.minimised]
        rows = [[o.sign * self.means(n)[o.name] for o in objectives] for n in self.competing]
        return np.array(rows, dtype=np.float64).reshape(-1, len(objectives))

    @cached_property
    def front(self) -> set[int]:
        """Numbers of the designs that none of the validated ones dominates."""
        places = np.flatnonzero(non_dominated(self._objective_values))
        return {self.competing[place] for place in places}

    @cached_property
    def spreads(self) -> dict[str, Spread]:
        """Spread of each trained objective without what seeds do to all designs."""
        noisy = [name for name in self.minimised if name in self.trained]
        return {
            name: fit_seeds([dict(enumerate(row)) for row in self._values(name).tolist()]).spread
            for name in noisy
        }

    @cached_property
    def probabilities(self) -> dict[int, float]:
        """Probability of each competing design to be on the front, by its number; none where one
        seed, or one design, tells no spread."""
        if not all(spread.is_known for spread in self.spreads.values()):
            return {}
        values, count = self._objective_values, len(self.minimised)
        errors, degrees = np.zeros_like(values), [1] * count
        for name, spread in self.spreads.items():
            place = list(self.minimised).index(name)
            errors[:, place] = spread.deviation / np.sqrt(len(self.seeds))
            degrees[place] = spread.degrees
        found = front_probabilities(values, errors, degrees)
        return {n: float(p) for n, p in zip(self.competing, found, strict=True)}

    def correlations(self, name: str) -> tuple[Correlation, Correlation, int]:
        """Spearman's and Kendall's rank correlation of a trained quantity between search and
        validation, and over how many designs."""
        both = [n for n in self.complete if name in self.designs[n].candidate.metrics]
        before = np.array([self.designs[n].candidate.metrics[name] for n in both])
        after = np.array([self.estimates[n, name].mean for n in both])
        return *rank_correlations(before, after), len(both)

    @property
    def searched_front(self) -> list[int]:
        """Numbers of the designs on the search's front."""
        return [n for n, design in enumerate(self.designs) if design.role == FRONT]

    @property
    def kept(self) -> list[int]:
        """Those of them that no validated design dominates."""
        return [n for n in self.searched_front if n in self.front]

    def rows(self) -> list[dict[str, Any]]:
        """The rows of `validated.csv`, by column; what is not known is missing."""
        return [self._row(number) for number in range(len(self.designs))]

    def _row(self, number: int) -> dict[str, Any]:
        design, trainings = self.designs[number], self.trainings[number]
        candidate = design.candidate
        failed = next((e for e in trainings if not e.feasible), None)
        row: dict[str, Any] = {
            "genome_id": design.genome_id,
            "name": design.name,
            "composition": composition(candidate.genome),
            "role": design.role,
            "origin": candidate.origin,
            "genome": candidate.genome.to_text(),
            "status": "ok" if failed is None else "infeasible",
            "reason": "" if failed is None else failed.reason,
            "seeds": sum(e.feasible for e in trainings),
            "steps": self.budget.recipe.training.steps,
        }
        row["search_rank"] = candidate.rank
        row |= {f"search_{name}": candidate.metrics.get(name) for name in self.trained}
        static = {name: v for name, v in trainings[0].metrics.items() if name in self._static}
        row |= {name: static.get(name) for name in self._static}
        if failed is None:
            for name in self.trained:
                row |= _columns(name, self.estimates[number, name])
        row["front_probability"] = self.probabilities.get(number)
        row["on_front"] = number in self.front
        return row

    @property
    def _static(self) -> list[str]:
        return [objective.name for objective in self.measured.static]

    def csv(self) -> str:
        """`validated.csv` as text."""
        rows = self.rows()
        fields = dict.fromkeys(name for row in rows for name in row)
        last = ("front_probability", "on_front")
        return csv_text([*(name for name in fields if name not in last), *last], rows)


def _columns(name: str, estimate: Estimate) -> dict[str, float | None]:
    """An estimate as cells; what is not finite is empty."""
    cells = {
        name: estimate.mean,
        f"{name}_deviation": estimate.deviation,
        f"{name}_low": estimate.low,
        f"{name}_high": estimate.high,
    }
    return {column: value if np.isfinite(value) else None for column, value in cells.items()}
