"""What a report shows of a run, read once: candidates as plain rows, and what their columns mean.

Names and reasons may be anybody's: they are made visible here, so that nothing steers a page, and
escaped where they are written (`page.py`). What cannot be read of a candidate is left out.
"""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from star.base.errors import UserError
from star.evaluation.failures import OVER_BUDGET
from star.evaluation.objectives import LOSS, Measured, Objective
from star.evaluation.objectives.registry import load_name, load_objective
from star.evaluation.pareto import Values, pareto_ranks, reference_point
from star.evaluation.recipe import DEVIATION
from star.evaluation.result import OK, STOPPED
from star.evaluation.statistics import Spread, mean_interval
from star.runs.names import BASELINE, HEADINGS, baseline_ids, composition
from star.runs.recall import is_at_chance
from star.runs.report.families import backbone_family
from star.runs.run import Run, RunCandidate

FRONT, TRAINED, INFEASIBLE = "front", "trained", "infeasible"  # states, beside STOPPED
SEED = "seed"  # the origin of one
# Controls, and what turns the direction of the text around it.
_INVISIBLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
LOGARITHMIC = ("parameters", "bytes", "tokens", "flops", "latency", "throughput", "memory")
LONGEST = 400  # characters of a name or reason
# What a row holds beside numbers: no quantity of that name can be shown.
ROW = {"id", "name", "design", "family", "generation", "origin", "state", "mark", "reason", "key"}
OTHERS = ("train_tokens", "train_seconds", "seeds")  # columns that a candidate does not hold


def visible(text: object, longest: int | None = LONGEST) -> str:
    """A text with controls and marks of direction as escapes, `\\u202e`, cut where it is long."""
    plain = _INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", str(text))
    return plain if longest is None or len(plain) <= longest else f"{plain[:longest]} ..."


@dataclass(frozen=True)
class Quantity:
    """A column that can be an axis."""

    name: str
    label: str
    is_logarithmic: bool
    is_maximised: bool = False
    is_minimised: bool = False  # an objective of the search, whichever its direction


class Content:
    """A run as a report shows it."""

    def __init__(self, run: Run, label: str = "", only: Collection[str] | None = None) -> None:
        """Read it. Raises `UserError` for a folder that cannot be read.

        Args:
            run: the folder.
            label: what it is called among several; its folder's name unless it is given.
            only: names of the objectives that candidates compete by; None: all of the search's.
        """
        self.run, self.settings = run, run.settings
        self.label = visible(label or run.path.resolve().name)
        self.candidates: list[RunCandidate] = list(run.candidates.values())
        chosen = list(self.section("search").get("objectives", ()))
        loaded = _objectives(self.settings)
        self.objectives = {objective.name: objective for objective in loaded.values()}
        self.unknown = [visible(name) for name in chosen if name not in loaded]
        self.minimised = [
            loaded[name]
            for name in chosen
            if name in loaded
            and loaded[name].name in run.metrics
            and (only is None or loaded[name].name in only)
        ]
        self.is_whole = only is None  # it competes by the objectives of its own search
        there = [c.genome_id for c in self.candidates if c.origin == BASELINE]
        named = baseline_ids(self.settings, there)
        self.designs = {genome_id: visible(HEADINGS.get(n, n)) for n, genome_id in named.items()}

    def section(self, name: str) -> Mapping[str, Any]:
        """A section of the settings; empty where there is none."""
        found = self.settings.get(name)
        return found if isinstance(found, Mapping) else {}

    @property
    def steps(self) -> int:
        """Of one training in the search; 0 where nothing says it."""
        steps = self.section("training").get("steps")
        return steps if isinstance(steps, int) else 0

    @property
    def is_tabular(self) -> bool:
        """Whether evaluations were answered from a table."""
        return str(self.settings.get("data_fingerprint", "")).startswith("table:")

    @cached_property
    def environment(self) -> Mapping[str, Any]:
        """Versions and hardware; empty where nothing says it."""
        try:
            found = self.run.environment
        except (UserError, OSError):
            return {}
        return found if isinstance(found, Mapping) else {}

    def is_competing(self, candidate: RunCandidate) -> bool:
        """Whether it was trained to the end, keeps the constraints, and has all objectives."""
        return candidate.status == OK and self._has_objectives(candidate)

    def _has_objectives(self, candidate: RunCandidate) -> bool:
        return all(math.isfinite(candidate.metrics.get(o.name, math.nan)) for o in self.minimised)

    def values(self, candidates: Sequence[RunCandidate]) -> Values:
        """Objectives of competing candidates, (candidates, objectives), to be minimised."""
        rows = [[o.sign * c.metrics[o.name] for o in self.minimised] for c in candidates]
        return np.array(rows, dtype=np.float64).reshape(-1, len(self.minimised))

    @property
    def is_comparable(self) -> bool:
        """Whether every objective is known, so that fronts can be counted."""
        return bool(self.minimised) and not (self.is_whole and self.unknown)

    @cached_property
    def competing(self) -> list[RunCandidate]:
        """Those that compete, in order of proposal; none where an objective is not known."""
        return [c for c in self.candidates if self.is_competing(c)] if self.is_comparable else []

    @cached_property
    def front_ids(self) -> set[str]:
        """Ids of the non-dominated candidates of the whole run; where an objective is not known
        here, those that the search itself ranked first."""
        if self.is_whole and self.unknown:
            return {c.genome_id for c in self.candidates if c.status == OK and c.rank == 0}
        if not self.competing:
            return set()
        ranks = pareto_ranks(self.values(self.competing))
        return {c.genome_id for c, rank in zip(self.competing, ranks, strict=True) if rank == 0}

    @cached_property
    def dominated_since(self) -> dict[str, int]:
        """By genome id, the generation whose candidates were the first to dominate it; whoever is
        still on the front is missing."""
        since: dict[str, int] = {}
        front: list[RunCandidate] = []
        values = np.empty((0, len(self.minimised)))
        for candidate in sorted(self.competing, key=lambda c: c.generation):
            value = self.values([candidate])
            better = (values <= value).all(axis=1) & (values < value).any(axis=1)
            if better.any():
                since[candidate.genome_id] = candidate.generation
                continue
            worse = (value <= values).all(axis=1) & (value < values).any(axis=1)
            for place in np.flatnonzero(worse):
                since[front[place].genome_id] = candidate.generation
            kept = np.flatnonzero(np.logical_not(worse))
            front = [*(front[place] for place in kept), candidate]
            values = np.concatenate([values[kept], value])
        return since

    @cached_property
    def reference(self) -> Values | None:
        """Reference of the hypervolume: the worst of the baselines, as in the search; without any,
        of the first generation."""
        if not self.is_comparable:
            return None
        measured = [c for c in self.candidates if self._has_objectives(c)]
        usual = [c for c in measured if c.status == OK or c.reason.startswith(OVER_BUDGET)]
        known = [c for c in usual if c.origin == BASELINE] or [
            c for c in usual if c.status == OK and c.generation == 0
        ]
        return reference_point(self.values(known)) if known else None

    def state(self, candidate: RunCandidate) -> str:
        """What became of it."""
        if candidate.genome_id in self.front_ids:
            return FRONT
        return {OK: TRAINED, STOPPED: STOPPED}.get(candidate.status, INFEASIBLE)

    @cached_property
    def validated(self) -> dict[str, dict[str, Any]]:
        """Rows of `validated.csv` by genome id, what is not known left out; empty before there
        were any."""
        frame = self.run.validated
        if frame is None or "genome_id" not in frame:
            return {}
        rows: dict[str, dict[str, Any]] = {}
        for row in frame.to_dict("records"):
            kept = {str(k): v for k, v in row.items() if not (pd.isna(v) or _is_endless(v))}
            rows[str(row["genome_id"])] = kept
        return rows

    def validated_number(self, genome_id: str, column: str) -> float | None:
        """A number of `validated.csv`; None where it is none."""
        value = self.validated.get(genome_id, {}).get(column)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value)

    def validated_numbers(self, column: str) -> list[float]:
        """A column of `validated.csv`, without what is no number."""
        values = (self.validated_number(genome_id, column) for genome_id in self.validated)
        return [value for value in values if value is not None]

    @cached_property
    def quantities(self) -> list[Quantity]:
        """The columns that can be axes: objectives first, then what else was recorded."""
        chosen = {o.name for o in self.minimised}
        found = []
        for name in dict.fromkeys([*(o.name for o in self.minimised), *self.run.metrics]):
            if name in ROW or not any(name in c.metrics for c in self.candidates):
                continue
            objective = self.objectives.get(name)
            is_maximised = objective is not None and objective.maximised
            label, is_log = axis_label(name, objective), self._is_logarithmic(name)
            found.append(Quantity(name, label, is_log, is_maximised, name in chosen))
        trained = [q for q in found if f"search_{q.name}" in self._validated_columns]
        found += [
            replace(q, name=f"validated_{q.name}", label=f"validated {q.label}", is_minimised=False)
            for q in trained
        ]
        spent = {"train_seconds": "seconds of training", "train_tokens": "training tokens"}
        there = {name for row in self.others.values() for name in row}
        return found + [
            Quantity(name, label, False) for name, label in spent.items() if name in there
        ]

    def _is_logarithmic(self, name: str) -> bool:
        """Whether it spans sizes, and no candidate has none of it."""
        values = [c.metrics[name] for c in self.candidates if name in c.metrics]
        return any(word in name for word in LOGARITHMIC) and all(value > 0 for value in values)

    @property
    def _validated_columns(self) -> set[str]:
        return {name for row in self.validated.values() for name in row}

    @cached_property
    def others(self) -> dict[str, dict[str, float]]:
        """Numbers of `population.csv` that a candidate does not hold, by genome id."""
        frame = self.run.population
        columns = [name for name in OTHERS if name in frame]
        numbers = frame[columns].apply(pd.to_numeric, errors="coerce")
        rows = zip(frame["genome_id"].astype(str), numbers.to_dict("records"), strict=True)
        return {
            genome_id: {str(k): v for k, v in row.items() if math.isfinite(v)}
            for genome_id, row in rows
        }

    def row(self, candidate: RunCandidate) -> dict[str, Any]:
        """A candidate as plain data; what is missing was not measured."""
        genome_id, state = candidate.genome_id, self.state(candidate)
        said: dict[str, Any] = {
            "id": visible(genome_id),
            "name": visible(composition(candidate.genome)),
            "design": self.designs.get(genome_id, SEED if candidate.origin == SEED else ""),
            "family": backbone_family(candidate.genome),
            "generation": candidate.generation,
            "origin": visible(candidate.origin),
            "state": state,
            "mark": _mark(candidate.origin, state),
            "reason": visible(candidate.reason),
        }
        numbers = {name: v for name, v in candidate.metrics.items() if math.isfinite(v)}
        # What it is called counts, since an objective of a user's may have any name.
        row = {**said, **numbers, **self.others.get(genome_id, {}), **said}
        if genome_id in self.dominated_since:
            row["dominated"] = self.dominated_since[genome_id]
        row |= self._interval(row)
        if is_at_chance(candidate.metrics):
            row["recalls"] = "nothing"
        for quantity in self.quantities:
            name = quantity.name.removeprefix("validated_")
            if name == quantity.name or self.validated_number(genome_id, name) is None:
                continue
            row[quantity.name] = self.validated_number(genome_id, name)
            for end in ("low", "high"):
                bound = self.validated_number(genome_id, f"{name}_{end}")
                if bound is not None:
                    row[f"{quantity.name}_{end}"] = bound
        return row

    @cached_property
    def _spread(self) -> Spread:
        """Of the search's losses over seeds, pooled over the candidates that have several."""
        squares, degrees = 0.0, 0
        for candidate in self.candidates:
            seeds = int(self.others.get(candidate.genome_id, {}).get("seeds", 1))
            if seeds > 1 and math.isfinite(candidate.metrics.get(DEVIATION, math.nan)):
                squares += (seeds - 1) * candidate.metrics[DEVIATION] ** 2
                degrees += seeds - 1
        return Spread(float(np.sqrt(squares / degrees)) if degrees else float("nan"), degrees)

    def _interval(self, row: Mapping[str, Any]) -> dict[str, float]:
        """The ends of the interval of a candidate's mean loss, where it has several seeds."""
        if DEVIATION not in row or LOSS not in row or not self._spread.is_known:
            return {}
        low, high = mean_interval(row[LOSS], int(row.get("seeds", 1)), self._spread)
        return {f"{LOSS}_low": low, f"{LOSS}_high": high}

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """All candidates, in order of proposal."""
        return [self.row(candidate) for candidate in self.candidates]

    @property
    def has_validation(self) -> bool:
        """Whether longer trainings of its designs are there."""
        return bool(self.validated)


def axis_label(name: str, objective: Objective | None) -> str:
    """What stands at an axis."""
    label = name.replace("_", " ")
    unit = objective.unit if objective is not None else ""
    return f"{label} ({unit})" if unit and unit not in label else label


def _mark(origin: str, state: str) -> str:
    """What a candidate is drawn as."""
    if state in (STOPPED, INFEASIBLE):
        return state
    return {BASELINE: "known design", SEED: "seed"}.get(origin, "candidate")


def _is_endless(value: object) -> bool:
    return isinstance(value, float) and math.isinf(value)


def _objectives(settings: Mapping[str, Any]) -> dict[str, Objective]:
    """Every objective of a run that can be loaded here, by the reference that its settings have.

    One of a user's that cannot be imported is a column without a direction.
    """
    search = settings.get("search", {})
    named = (search.get("objectives", ()), search.get("also_measure", ()))
    found = dict(Measured.of([]).objectives)
    for reference in (*named[0], *named[1], *settings.get("constraints", {})):
        if reference in found:
            continue
        try:
            name = load_name(reference)
            found[reference] = load_objective(reference, settings.get("objectives", {}).get(name))
        except (UserError, SystemExit):  # a user's module may do anything when it is imported
            continue
    return found
