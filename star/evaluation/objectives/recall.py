"""Recall: how well a design learns to look up what it was told, after a few steps on each task.

`experiments/recall` says why these tasks and steps: a single form or size misjudges whole families.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean

import torch

from star.base.errors import UserError
from star.base.random_numbers import seeded
from star.base.ranges import Range, expect_ranges
from star.base.settings import expect
from star.evaluation.objectives.base import OWN, Context, Objective
from star.evaluation.probing import RecallTask, accuracy, read_task, train_on_instances
from star.models import decode
from star.training import Diverged, TrainingConfig
from star.training.optimizers import make_optimizer

KEY = "objectives.recall_error."
RANGES = {
    "steps": Range(1, 10**6),
    "batch_size": Range(1, 10**5),
    "held_out": Range(1, 10**6),
    "learning_rate": Range(0, 10**3, above=True),
    "matrix_learning_rate": Range(0, 10**3, above=True),
}
PARTS = 3  # of a training, with a measurement at the end of each
SOLVED = 0.01  # error below which a training stops, since nothing is left to learn
HOPELESS = 0.9  # error above which larger sizes of the same form are not tried


@dataclass
class RecallError(Objective):
    """Share of recall that a design did not learn: 0 is solved, 1 is no better than guessing.

    The candidate's backbone is trained anew on each task, on the answers only, with Muon; seed,
    first weights and batches are the same for all candidates. A task's error is 1 minus the
    accuracy on held-out sequences, scaled such that guessing without looking anything up is 1, and
    averaged over three measurements during the training, so that who learns sooner is ahead. The
    result is the mean over forms of the mean over each form's tasks. What diverges has error 1.
    """

    name, label, cost, bounds = "recall_error", "recall", OWN, (0.0, 1.0)
    from_nothing = True

    # `pairs_<keys>` and `adjacent_<vocabulary>_<length>`; of each form the easiest first
    tasks: list[str] = field(default_factory=lambda: ["pairs_4", "pairs_8", "adjacent_8_32"])
    steps: int = 60  # of each training, at most
    batch_size: int = 16  # sequences a step
    held_out: int = 128  # sequences that accuracy is measured on
    learning_rate: float = 0.01  # of AdamW: embeddings, head and vectors
    matrix_learning_rate: float = 0.02  # of Muon: the matrices of the backbone

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Raise `UserError` for the first value that cannot be used."""
        expect_ranges(KEY, self, RANGES)
        whole = len(self.tasks) > 0 and len(set(self.tasks)) == len(self.tasks)
        expect(f"{KEY}tasks", self.tasks, whole, "one or more different tasks, such as [pairs_8]")
        try:
            for name in self.tasks:
                read_task(name)
        except UserError as error:
            raise UserError(f"{KEY}tasks: {error}") from None

    def measure(self, context: Context) -> Mapping[str, float]:
        """The mean, and the error of each task as `recall_error_<task>`."""
        forms: dict[str, dict[str, float]] = {}
        for task in map(read_task, self.tasks):
            errors = forms.setdefault(task.form, {})
            hopeless = any(error > HOPELESS for error in errors.values())
            errors[task.name] = 1.0 if hopeless else self.task_error(task, context)
        named = {
            f"{self.name}_{task}": error
            for errors in forms.values()
            for task, error in errors.items()
        }
        return {self.name: fmean(fmean(errors.values()) for errors in forms.values()), **named}

    def task_error(self, task: RecallTask, context: Context) -> float:
        """The error on one task, from 0 to 1."""
        try:
            return sum(self.errors(task, context)) / PARTS  # those after it is solved are 0
        except Diverged:
            return 1.0

    def errors(self, task: RecallTask, context: Context) -> list[float]:
        """Errors at the ends of the parts of a training, until it is solved. Raises `Diverged`."""
        recipe = context.recipe
        with seeded(recipe.seed, recipe.training.torch_device()):
            return list(self._errors(task, context))

    def _errors(self, task: RecallTask, context: Context) -> Iterator[float]:
        recipe = context.recipe
        device = recipe.training.torch_device()
        sizes = replace(recipe.trained_model, vocabulary=task.vocabulary)
        model = decode(context.genome, sizes).to(device)
        held_out = task.instances(self.held_out, seed=recipe.seed).to(device)
        chance = task.guessed(held_out)
        firsts = range(self.held_out, self.held_out + self.steps * self.batch_size, self.batch_size)
        batches = (task.instances(self.batch_size, n, recipe.seed).to(device) for n in firsts)
        ends = [-(-self.steps * part // PARTS) for part in range(1, PARTS + 1)]  # rounded up
        trained = train_on_instances(model, batches, self._optimizer(model))
        for step, _ in enumerate(trained, start=1):
            for _ in range(ends.count(step)):  # several when there are fewer steps than parts
                error = task.error(accuracy(model, held_out), chance)
                yield error
                if error < SOLVED:
                    return

    def _optimizer(self, model: torch.nn.Module) -> torch.optim.Optimizer:
        return make_optimizer(
            model,
            TrainingConfig(
                optimizer="muon",
                learning_rate=self.learning_rate,
                matrix_learning_rate=self.matrix_learning_rate,
                weight_decay=0.0,
            ),
        )

    def format(self, value: float) -> str:
        """Three decimals."""
        return f"{value:.3f}"
