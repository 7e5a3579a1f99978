"""Ranks a surplus of children by what is predicted of them, while the predictions are worth it.

The loop tells it before each generation what has been measured (`prepare`); the algorithm's mating
asks it which children to keep (`SurplusMating`). The same archive gives the same choice, so that a
search replayed from its ledger proposes the same children.
"""

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

import numpy as np
from pymoo.core.algorithm import Algorithm
from pymoo.core.infill import InfillCriterion
from pymoo.core.population import Population

from star.base.csv_files import csv_text
from star.evaluation.constraints import Budget
from star.evaluation.failures import OVER_BUDGET
from star.evaluation.objectives import OWN, STATIC, Context, Objective, measure
from star.evaluation.pareto import Values
from star.genomes import Genome, parameter_count
from star.search.algorithms.scalarised import take
from star.search.archive import Archive
from star.search.candidates import Evaluated
from star.search.halving import SuccessiveHalving
from star.search.prescreening.choice import best
from star.search.prescreening.config import PrescreenConfig
from star.search.prescreening.regression import rank_correlation
from star.search.prescreening.surrogate import Predictor
from star.search.space.problem import GenomeProblem

ROUNDS = 10  # of mating for a surplus; where new children are rare, a smaller one will do


@dataclass(frozen=True)
class Fit:
    """How well an objective is predicted."""

    objective: str
    rows: int  # candidates that it was learnt from
    spearman: float  # of predictions and what was measured, in cross-validation
    spearman_of_parameters: float  # the same of the number of parameters, whatever its sign

    def beats(self, fewest: int) -> bool:
        """Whether it is better than counting parameters, on so many candidates at the least."""
        return self.rows >= fewest and self.spearman > self.spearman_of_parameters


@dataclass(frozen=True)
class Round:
    """What a generation's children were chosen by: a row of `prescreen.csv`."""

    generation: int  # from 0
    acts: bool  # whether predictions chose among them
    surplus: int  # children made for each that was trained
    objective: str  # and the rest as in `Fit`
    rows: int
    spearman: float
    spearman_of_parameters: float


class Prescreen:
    """The pre-screening of one search."""

    def __init__(
        self,
        config: PrescreenConfig,
        objectives: Sequence[Objective],
        budget: Budget,
        make_predictor: Callable[[], Predictor],
    ) -> None:
        """Prepare for the objectives that are not known exactly.

        Args:
            config: the settings.
            objectives: what the search minimises.
            budget: limits, which count among what is predicted.
            make_predictor: a predictor of one objective.
        """
        self.config, self.budget, self.objectives = config, budget, list(objectives)
        limited = [budget.measured.objectives[name] for name in budget.limits]
        wanted = {o.name: o for o in (*objectives, *limited) if o.cost != STATIC}
        self.predicted = wanted
        self._predictors = {name: make_predictor() for name in wanted}
        self._static = [o for o in (*objectives, *limited) if o.cost == STATIC]
        self._known: Values = np.zeros((0, len(self.objectives)))
        self.acts = False
        self.rounds: list[Round] = []

    def prepare(self, generation: int, archive: Archive, halving: SuccessiveHalving) -> None:
        """Learn from what was measured, and decide whether to act in this generation (from 0)."""
        found = []
        for name, objective in self.predicted.items():
            evaluated = measured_rows(objective, archive, halving, self.config.minimum_rows)
            covers = self._predictors[name].covers
            known = [e for e in evaluated if covers(e.candidate.genome)]
            found.append(self._fitted(name, known))
        self.acts = bool(found) and all(fit.beats(self.config.minimum_rows) for fit in found)
        surplus = self.config.surplus if self.acts else 1
        self.rounds += [Round(generation, self.acts, surplus, *astuple(fit)) for fit in found]
        self._known = archive.values(archive.front())

    def _fitted(self, name: str, evaluated: Sequence[Evaluated]) -> Fit:
        """How good the predictor of an objective is, fitted to these."""
        if len(evaluated) < self.config.minimum_rows:
            return Fit(name, len(evaluated), 0.0, 0.0)
        genomes = [e.candidate.genome for e in evaluated]
        values = np.array([e.evaluation.metrics[name] for e in evaluated])
        model = self.budget.recipe.model
        counts = np.array([parameter_count(genome, model).non_embedding for genome in genomes])
        own = self._predictors[name].fit(genomes, values)
        rival = abs(rank_correlation(counts.astype(float), values))
        return Fit(name, len(evaluated), own, rival)

    def choose(self, genomes: Sequence[Genome], count: int) -> list[int]:
        """Which of these genomes are trained, as ascending indices."""
        predicted = {name: p.predict(genomes) for name, p in self._predictors.items()}
        values, is_refused = [], []
        for number, genome in enumerate(genomes):
            metrics = {name: float(column[number]) for name, column in predicted.items()}
            metrics |= self._static_metrics(genome)
            values.append([o.sign * metrics.get(o.name, o.sign * np.inf) for o in self.objectives])
            is_refused.append(bool(self.budget.violated(metrics)))
        return best(np.array(values), count, self._known, np.array(is_refused))

    def _static_metrics(self, genome: Genome) -> dict[str, float]:
        """Exact costs; nothing of what cannot be measured, which its evaluation will say."""
        try:
            return measure(self._static, Context(genome, self.budget.recipe.of(genome)))
        except Exception:
            return {}

    @property
    def state(self) -> str:
        """In words, how good the predictions of the last generation were; empty before any."""
        last = [r for r in self.rounds if r.generation == self.rounds[-1].generation]
        if not last or not any(r.rows >= self.config.minimum_rows for r in last):
            return ""
        words = [f"{r.spearman:.2f} against {r.spearman_of_parameters:.2f}" for r in last]
        return f"prescreen {', '.join(words)}" + ("" if self.acts else ": off")

    def csv(self) -> str:
        """All rounds as text with a header."""
        return csv_text([one.name for one in fields(Round)], map(vars, self.rounds))

    def attach(self, algorithm: Algorithm) -> None:
        """Let the algorithm's mating ask for a surplus; it must have one (`mates`)."""
        mating = algorithm.mating  # type: ignore[attr-defined]
        algorithm.mating = SurplusMating(mating, self)  # type: ignore[attr-defined]


def mates(algorithm: Algorithm) -> bool:
    """Whether an algorithm makes its children by mating, so that there may be a surplus."""
    return isinstance(getattr(algorithm, "mating", None), InfillCriterion)


def measured_rows(
    objective: Objective, archive: Archive, halving: SuccessiveHalving, enough: int
) -> list[Evaluated]:
    """Candidates that an objective is known of, all after the same training.

    Those that were trained to the end; where they are fewer than enough, those of the highest rung
    of successive halving that has enough.
    """
    if objective.cost == OWN:  # the same at every rung
        return [e for e in archive.all if objective.name in e.evaluation.metrics]
    whole = [e for e in archive.all if e.evaluation.failure in ("", OVER_BUDGET)]
    whole = [e for e in whole if not e.is_stopped and objective.name in e.evaluation.metrics]
    for rows in (whole, *(halving.reached[rung] for rung in sorted(halving.reached)[::-1] if rung)):
        if len(rows) >= enough:
            return rows
    return whole


class SurplusMating(InfillCriterion):
    """A mating that makes a surplus of children while pre-screening acts, and keeps the chosen."""

    def __init__(self, mating: InfillCriterion, prescreen: Prescreen) -> None:
        """Wrap the mating of an algorithm."""
        super().__init__()
        self.mating, self.prescreen = mating, prescreen

    def do(  # pyright: ignore[reportIncompatibleMethodOverride]  # names what it does not use
        self, problem: GenomeProblem, pop: Population, n_offsprings: int, **kwargs: Any
    ) -> Population:
        """`n_offsprings` children, or fewer where no more new ones are found."""
        if not self.prescreen.acts:
            return self.mating.do(problem, pop, n_offsprings, **kwargs)
        surplus = self.prescreen.config.surplus * n_offsprings
        limited = {**kwargs, "n_max_iterations": ROUNDS}
        children = self.mating.do(problem, pop, surplus, **limited)
        if len(children) <= n_offsprings:  # hardly any are new: as many tries as usual
            return self.mating.do(problem, pop, n_offsprings, **kwargs)
        genomes = [problem.genome(child.X) for child in children]
        return take(children, np.array(self.prescreen.choose(genomes, n_offsprings)))
