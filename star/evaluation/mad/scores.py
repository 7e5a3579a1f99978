"""From runs to scores: the best rates of each setting, settings to tasks, tasks to one number.

Rates are chosen by validation accuracy, and the test accuracy is what counts. mad-lab takes the
best run by test accuracy instead, counts classes (`scoring.macro_accuracy`), and leaves out what
diverged; here a run that diverged is one without a right answer.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

from star.evaluation.mad.settings import TASKS, Setting
from star.evaluation.mad.training import Outcome


@dataclass(frozen=True)
class TaskScore:
    """One task, all accuracies as means over its settings."""

    accuracy: float  # test micro accuracy at the rates chosen on validation, mean over seeds
    spread: float  # standard deviation of that over seeds, 0 for one
    mad_lab_accuracy: float  # the best run's test macro accuracy, chosen on the test split
    settings: int
    diverged: int  # runs

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> "TaskScore":
        """The score of all runs of one task, one or more."""
        by_setting: dict[Setting, list[Outcome]] = defaultdict(list)
        for outcome in outcomes:
            by_setting[outcome.run.setting].append(outcome)
        by_seed: dict[int, list[float]] = defaultdict(list)
        for runs in by_setting.values():
            for outcome in chosen(runs):
                by_seed[outcome.run.seed].append(outcome.test_accuracy)
        per_seed = [fmean(accuracies) for accuracies in by_seed.values()]
        best = [max(run.test_macro_accuracy for run in runs) for runs in by_setting.values()]
        diverged = sum(outcome.diverged for outcome in outcomes)
        return cls(fmean(per_seed), pstdev(per_seed), fmean(best), len(by_setting), diverged)


def chosen(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The runs of one setting, one a seed, at the rates with the best validation accuracy.

    The mean over seeds decides, and among equal ones the smaller rates.
    """
    by_rates: dict[tuple[float, float], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_rates[outcome.run.learning_rate, outcome.run.weight_decay].append(outcome)

    def merit(rates: tuple[float, float]) -> tuple[float, float, float]:
        return fmean(o.validation_accuracy for o in by_rates[rates]), -rates[0], -rates[1]

    return by_rates[max(by_rates, key=merit)]


@dataclass(frozen=True)
class Scores:
    """Scores of one genome, by task, and their means over tasks."""

    tasks: Mapping[str, TaskScore]

    @property
    def mean(self) -> float:
        """Mean accuracy over tasks, from 0 to 1."""
        return fmean(score.accuracy for score in self.tasks.values())

    @property
    def mad_lab_mean(self) -> float:
        """The same of what mad-lab would report."""
        return fmean(score.mad_lab_accuracy for score in self.tasks.values())


def summarise(outcomes: Iterable[Outcome]) -> Scores:
    """The scores of all runs of one genome, one or more."""
    by_task: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_task[outcome.run.setting.task].append(outcome)
    return Scores({task: TaskScore.of(by_task[task]) for task in TASKS if task in by_task})
