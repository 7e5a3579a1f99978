"""Hard limits on objectives: static ones are decided before any training, trained ones after it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from star.base.errors import UserError
from star.base.settings import BYTES, SCALES, SECONDS, expect, parse_duration, parse_quantity
from star.evaluation.failures import OVER_BUDGET, failure
from star.evaluation.objectives import NAMED, Context, Measured, Objective, measure
from star.evaluation.recipe import Recipe
from star.evaluation.result import INFEASIBLE, Evaluation, infeasible
from star.genomes import Genome

SHORT = {"bytes": "B", "seconds": "s"}  # units of objectives that settings write shorter


def read_limits(given: Mapping[str, Any], measured: Measured) -> dict[str, float]:
    """The limits that are set, by objective: `constraints.cache_bytes=4MB`.

    Raises `UserError` for an objective that is not measured, a unit that is not of its kind, and a
    number that is not positive, or that the objective can never be.
    """
    limits: dict[str, float] = {}
    for name, value in given.items():
        if value is None and name in NAMED:
            continue  # how an experiment's limit is taken off, also where it is not measured
        if name not in measured.objectives:
            raise UserError(
                f"constraints.{name}: no such objective; measured are {', '.join(measured.names)}"
                " (search.also_measure adds others)"
            )
        if value is not None:
            key, objective = f"constraints.{name}", measured.objectives[name]
            limits[name] = _in_its_unit(key, value, objective.unit.partition("/")[0])
            _expect_within(key, value, limits[name], objective)
    return limits


def _in_its_unit(key: str, value: Any, unit: str) -> float:
    """The number in a unit, from one alone or with another unit of the same kind."""
    unit = SHORT.get(unit, unit)
    if unit in SECONDS:
        return parse_duration(key, value, unit)
    sizes = {name: size / BYTES[unit] for name, size in BYTES.items()} if unit in BYTES else {}
    return parse_quantity(key, value, {**SCALES, **sizes})


def _expect_within(key: str, value: Any, limit: float, objective: Objective) -> None:
    """Raise `UserError` for a limit that is not positive, or that the objective can never be: each
    design would keep it, or none."""
    least, most = objective.bounds
    best, worst = (most, least) if objective.maximised else (least, most)
    ends = ((f"{best:g} at best", best), (f"{worst:g} at worst", worst))
    reach = " and ".join(text for text, end in ends if math.isfinite(end))
    lowest = f"at least {least:g}" if least > 0 else "above 0"
    highest = f" and at most {most:g}" if math.isfinite(most) else ""
    expected = f"{lowest}{highest}, since it is {reach}" if reach else "a positive number"
    expect(key, value, limit > 0 and least <= limit <= most, expected)


@dataclass(frozen=True)
class Budget:
    """The largest value of each limited objective, or the least of one that is maximised."""

    limits: Mapping[str, float]
    measured: Measured
    recipe: Recipe

    @cached_property
    def static(self) -> tuple[str, ...]:
        """Names of the limited objectives that are known before any training."""
        known = {objective.name for objective in self.measured.static}
        return tuple(name for name in self.limits if name in known)

    def static_metrics(self, genome: Genome) -> dict[str, float]:
        """The limited static objectives of a genome. Raises what measuring them raises."""
        limited = [self.measured.objectives[name] for name in self.static]
        return measure(limited, Context(genome, self.recipe.of(genome)))

    def beyond(self, genome: Genome) -> dict[str, float]:
        """How far each of them is beyond its limit, as a share of it: 0.5 is half as much again,
        and below 0 it keeps the limit. Raises what measuring them raises."""
        metrics = self.static_metrics(genome)
        return {
            name: self.measured.objectives[name].sign * (metrics[name] / self.limits[name] - 1)
            for name in self.static
        }

    def violated(self, metrics: Mapping[str, float]) -> str:
        """Which limits the metrics exceed, in words; what is not measured yet violates nothing."""
        over = []
        for name, limit in self.limits.items():
            objective = self.measured.objectives[name]
            if name in metrics and objective.exceeds(metrics[name], limit):
                side = "below" if objective.maximised else "above"
                over.append(f"{name} {_digits(metrics[name])} {side} {_digits(limit)}")
        return ", ".join(over)

    def refuse(self, genome: Genome) -> Evaluation | None:
        """The infeasible evaluation of a genome whose static objectives exceed it, or raise."""
        if not self.limits:
            return None
        try:
            metrics = self.measured.measure_static(genome, self.recipe)
        except Exception as error:  # which would end its evaluation too
            return failure(error)
        reason = self.violated(metrics)
        return infeasible(OVER_BUDGET, reason, metrics) if reason else None

    def judge(self, evaluation: Evaluation) -> Evaluation:
        """The evaluation, or an infeasible one with its metrics when it is over budget."""
        reason = self.violated(evaluation.metrics) if evaluation.feasible else ""
        if not reason:
            return evaluation
        return replace(evaluation, status=INFEASIBLE, reason=f"{OVER_BUDGET}: {reason}")


def _digits(value: float) -> str:
    """Whole numbers with all digits, `1,048,576`; others with six."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.6g}"
