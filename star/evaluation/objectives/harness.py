"""Accuracy on tasks of lm-evaluation-harness as an objective of trained candidates.

After a short training most tasks are at chance; it is meant for `star.validate`, which trains
longer (`validation.also_measure`).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from star.base.errors import UserError
from star.base.imports import expect_installed
from star.base.ranges import Range, expect_ranges
from star.base.settings import expect
from star.evaluation.harness import PACKAGE, HarnessSetting, lm_eval_version
from star.evaluation.harness.settings import RANGES
from star.evaluation.harness.vocabulary import vocabulary_of
from star.evaluation.objectives.base import TRAINED, Context, Objective

PREFIX = "objectives.harness_accuracy."


@dataclass
class HarnessAccuracy(HarnessSetting, Objective):
    """Mean of a metric over tasks of lm-evaluation-harness, from 0 to 1."""

    metric: str = "acc"  # of each task, as the harness calls it
    context: int | None = None  # the most positions it sees; null: those the cache is counted at
    source: str | None = None  # of lm-eval and of the tasks, to know them again; null: of now

    name, unit, label, cost, maximised = "harness_accuracy", "", "harness", TRAINED, True
    bounds = (0.0, 1.0)

    def __post_init__(self) -> None:
        """Raise `UserError` for a number that is out of its range; for the tasks, see `prepare`."""
        expect_ranges(PREFIX, self, {**RANGES, "context": Range(1, 10**9)})

    def prepare(self) -> None:
        """Load the tasks. Raises `UserError` for what cannot be measured here."""
        expect_installed(f"{PREFIX}tasks", PACKAGE)
        self.check(PREFIX)
        expected = f"{self._found}, that of lm-eval and of the tasks here, or null"
        expect(f"{PREFIX}source", self.source, self.source in (None, self._found), expected)

    @cached_property
    def _found(self) -> str:
        """The version of lm-eval, and a digest of the tasks' settings and documents."""
        digest = hashlib.sha256("".join(task.digest() for task in self._tasks).encode())
        return f"lm-eval {lm_eval_version()}, {digest.hexdigest()[:16]}"

    def settings(self) -> dict[str, Any]:
        """Those that decide its result, and what the tasks are now."""
        content = {one.name: getattr(self, one.name) for one in fields(self)}
        return {**content, "source": self.source or self._found}

    @cached_property
    def _tasks(self) -> Any:
        """The tasks with their data."""
        from star.evaluation.harness.running import undisturbed
        from star.evaluation.harness.tasks import Tasks

        with undisturbed():
            tasks = Tasks(self, PREFIX)
            return [tasks.load(name) for name in self.tasks]

    def measure(self, context: Context) -> Mapping[str, float]:
        """The mean, and of each entry of `tasks` the metric as `harness_accuracy_<task>`."""
        from star.evaluation.harness.model import HarnessModel
        from star.evaluation.harness.running import run_task, undisturbed

        assert context.model is not None
        recipe = context.recipe
        corpus = context.corpus
        folder = None if corpus is None else corpus.tokenizer
        vocabulary = vocabulary_of(recipe.model.vocabulary, folder)
        length = self.context or recipe.cache.context
        model = HarnessModel(context.model, vocabulary, length, self.batch_size)
        found: dict[str, float] = {}
        with undisturbed(model.model.device):
            for task in self._tasks:
                rows = run_task(task, self, model, bootstraps=0)
                found[task.name] = self._value(task.name, rows)
        mean = sum(found.values()) / len(found)
        named = {f"{self.name}_{Path(name).stem}": value for name, value in found.items()}
        return {self.name: mean, **named}

    def _value(self, name: str, rows: list[Any]) -> float:
        """The metric of a task; of a group that of the whole, or else the mean of its members."""
        values = {row.task: row.value for row in rows if row.metric == self.metric}
        if not values:
            known = ", ".join(sorted({row.metric for row in rows})) or "none"
            raise UserError(
                f"{PREFIX}metric={self.metric}: the task {name} has no such metric; it has {known}"
            )
        return values.get(name, sum(values.values()) / len(values))

    def format(self, value: float) -> str:
        """In percent."""
        return f"{100 * value:.1f}%"
