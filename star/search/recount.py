"""A finished search under another budget: static costs are counted anew, nothing is trained.

The losses and whatever else took a training are those of the run, from its `population.csv`; only
what was trained to the end counts. Where the run was validated, they are those of its
`validated.csv`, and only validated designs count. `star/front.py` is the command.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import pandas as pd

from star.base.csv_files import csv_text, read_csv
from star.base.errors import UserError
from star.base.reading import is_file
from star.evaluation import Measured, Recipe
from star.evaluation.constraints import Budget, read_limits
from star.evaluation.failures import OVER_BUDGET
from star.evaluation.objectives import LOSS, NAMED, STATIC, load_objective
from star.evaluation.objectives.registry import load_name
from star.evaluation.recipe import DataConfig, SearchModelConfig, TrainingConfig
from star.evaluation.result import OK, Evaluation
from star.genomes import CacheSetting, Genome, ModelConfig, current_id
from star.runs.columns import AFTER, BEFORE
from star.runs.names import BASELINE, baseline_ids, composition
from star.runs.run import Run, RunCandidate
from star.runs.validated import COLUMN, VALIDATED, mark, validated_ids
from star.search.archive import Archive
from star.search.candidates import Candidate, Evaluated


@dataclass(frozen=True)
class Question:
    """What is asked of a run; empty lists and mappings are as in the run."""

    model: ModelConfig  # sizes that costs are counted at
    cache: CacheSetting
    objectives: Sequence[str] = ()  # to minimise: names, or import paths that the run knows
    constraints: Mapping[str, Any] = field(default_factory=dict)  # over the run's; None lifts one
    validated: bool = True  # longer trainings instead of the search's, where the run has some


class Recounted(Run):
    """A run as it answers a question: its candidates with their new costs, and the new front.

    A candidate has the status `ok` where it was trained to the end and keeps the limits, and is
    `infeasible` with the limit that it breaks otherwise; those that were not are left out.
    """

    def __init__(self, run: Run, question: Question) -> None:
        """Read what the run measured, or its validation.

        Raises:
            UserError: for an objective that is unknown or was not measured, or a limit that cannot
                be used.
        """
        super().__init__(run.path)
        settings = self.settings
        search = settings["search"]
        own = [*search["objectives"], *search.get("also_measure", ())]
        # What the run named by import path is known by its name too, as in the columns.
        known = {load_name(reference): reference for reference in own}
        self._chosen = [known.get(name, name) for name in question.objectives]
        self._chosen = self._chosen or [*search["objectives"]]
        names = [load_objective(reference, key="objectives").name for reference in self._chosen]
        if len({*names}) < len(names):
            raise UserError(f"objectives={names}: expected different names")
        given = {**settings.get("constraints", {}), **question.constraints}
        also = [*own, *(name for name in given if name in NAMED)]
        self.measured = Measured.of(self._chosen, settings.get("objectives", {}), also)
        self.minimised = [objective.name for objective in self.measured.selected(self._chosen)]
        limits = read_limits(given, self.measured)
        self._check_measured("objectives", self.minimised)
        self._check_measured("constraints", limits)
        training = _known(TrainingConfig(), settings.get("training", {}))
        references = tuple(self.measured.references.values())
        data, seed = DataConfig(), int(settings.get("seed", 0))
        self._recipe = Recipe(question.model, question.cache, training, data, seed, references)
        self._budget = Budget(limits, self.measured, self._recipe)
        self.is_validated = question.validated and is_file(run.path / VALIDATED, "run")
        self._run, self._match = run, settings["model"].get("match")
        width = settings["model"]["width"]
        if self._match is not None and question.model.width != width:
            raise UserError(
                f"model.width={question.model.width}: expected {width}, as in the run, whose "
                f"candidates have widths of their own (model.match={self._match})"
            )

    def _recipe_of(self, genome: Genome) -> Recipe:
        """The recipe at the width that the run trained a genome at, if each had its own."""
        if self._match is None:
            return self._recipe
        sizes = SearchModelConfig(**{**asdict(self._recipe.model), "match": self._match})
        context = self.settings["cache"]["context"]
        return replace(self._recipe, model=sizes.matched(genome, context))

    def _check_measured(self, key: str, names: Mapping[str, float] | Sequence[str]) -> None:
        """Raise `UserError` for what takes a training that the run did not make."""
        for name in names:
            if self.measured.objectives[name].cost != STATIC and name not in self.metrics:
                there = ", ".join(self.metrics)
                raise UserError(
                    f"{key}: {name} was not measured in {self.path}, and takes a training; measured"
                    f" are {there}"
                )

    @cached_property
    def candidates(self) -> dict[str, RunCandidate]:
        """Those that were trained to the end, by genome id. Raises `GenomeError` for sizes that
        one cannot have."""
        found: dict[str, RunCandidate] = {}
        for genome_id, candidate in self._trained_candidates().items():
            recipe = self._recipe_of(candidate.genome)
            static = self.measured.measure_static(candidate.genome, recipe)
            metrics = {**candidate.metrics, **static}
            if {*self.minimised, LOSS} <= metrics.keys():
                judged = self._budget.judge(Evaluation(OK, "", metrics))
                found[genome_id] = replace(
                    candidate, status=judged.status, reason=judged.reason, metrics=metrics
                )
        return found

    def _trained_candidates(self) -> dict[str, RunCandidate]:
        """Those that were trained to the end, with what that measured."""
        known = {
            genome_id: candidate
            for genome_id, candidate in self._run.candidates.items()
            if candidate.status == OK or candidate.reason.startswith(OVER_BUDGET)
        }
        if not self.is_validated:
            return known
        trained = [o.name for o in self.measured.trained]
        rows = read_csv(self.path / VALIDATED).to_dict("records")
        longer: dict[str, RunCandidate] = {}
        for row in rows:
            genome_id = current_id(str(row["genome_id"]))
            if genome_id in known and row.get("status") == OK:
                means = {n: float(row[n]) for n in trained if n in row and not pd.isna(row[n])}
                longer[genome_id] = replace(known[genome_id], metrics=means)
        return longer

    @property
    def front(self) -> pd.DataFrame:
        """The non-dominated candidates under the limits, with the columns of `pareto.csv`."""
        return self._front

    @cached_property
    def _front(self) -> pd.DataFrame:
        archive = Archive([self.measured.objectives[name] for name in self.minimised])
        for candidate in self.candidates.values():
            origin = Candidate(candidate.genome, candidate.origin, candidate.generation)
            evaluation = Evaluation(candidate.status, candidate.reason, candidate.metrics)
            archive.add(Evaluated(origin, evaluation, self._recipe.seed))
        rows = {row["genome_id"]: row for row in self._run.population.to_dict("records")}
        new = {"status": OK, "reason": "", "rank": 0}
        known = validated_ids(self.path)
        front = [
            {
                **rows[e.genome_id],
                "composition": composition(e.candidate.genome),
                **e.evaluation.metrics,
                **new,
                COLUMN: mark(e.genome_id, known),
            }
            for e in archive.front()
        ]
        there = set(self.metrics).union(*front)
        names = [name for name in self.measured.names if name in there]
        return pd.DataFrame(front, columns=[*BEFORE, *names, *AFTER, COLUMN], dtype=object)

    def check_answer(self) -> None:
        """Raise `UserError` where the run has no candidate that was trained, or none that keeps
        the limits."""
        if not self.candidates:
            what = f"validated in {VALIDATED}" if self.is_validated else "trained to the end"
            raise UserError(f"run={self.path}: no candidate of it was {what}")
        if any(candidate.status == OK for candidate in self.candidates.values()):
            return
        for name, limit in self._budget.limits.items():
            objective = self.measured.objectives[name]
            values = [c.metrics[name] for c in self.candidates.values() if name in c.metrics]
            best = min(values, key=lambda value: objective.sign * value)
            if objective.exceeds(best, limit):
                side = "most" if objective.maximised else "least"
                raise UserError(
                    f"constraints.{name}={limit:g}: the {side} of the "
                    f"{len(self.candidates)} trained candidates is {objective.shown(best)}"
                )
        raise UserError("constraints: no trained candidate keeps all of them at once")

    def csv(self) -> str:
        """The front as text, in the form of `pareto.csv`."""
        front = self.front.astype(object)
        rows: Any = front.where(front.notna(), None).to_dict("records")
        return csv_text(list(front.columns), rows)

    def baseline_ids(self) -> dict[str, str]:
        """Genome ids of the baselines by the names of their designs, or by the ids themselves."""
        there = [c.genome_id for c in self.candidates.values() if c.origin == BASELINE]
        return baseline_ids(self.settings, there)


def _known(usual: TrainingConfig, there: Mapping[str, Any]) -> TrainingConfig:
    """Settings of a run, as far as they are known today."""
    names = {one.name for one in fields(usual)}
    return replace(usual, **{key: value for key, value in there.items() if key in names})
