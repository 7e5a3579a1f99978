"""Evaluation without training: a small space whose every architecture was trained beforehand.

A table is a CSV with the columns genome, seed and `validation_loss_<steps>` for every rung of one
training, and beside it `recipe.yaml` with what decided its numbers. The packaged one is made by
experiments/tabular/build.py.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from star.base.csv_files import read_csv
from star.base.errors import UserError, plain
from star.base.reading import expanded, read_bytes
from star.base.safe_yaml import read_yaml
from star.base.settings import differences, expect
from star.data.tokenizers import BYTES_PER_TOKEN
from star.evaluation.evaluate import measured_by
from star.evaluation.executors.base import ExecutorConfig, Setup, Task, never
from star.evaluation.failures import INVALID, failure
from star.evaluation.recipe import Recipe
from star.evaluation.result import OK, Evaluation, infeasible
from star.genomes import Genome, GenomeError
from star.training import Quality

PACKAGED = Path(__file__).resolve().parents[1] / "tables" / "table.csv.gz"
RECIPE = "recipe.yaml"
LOSS_COLUMN = "validation_loss_"  # and the steps
BACKBONE = "backbone_genes"  # in the recipe of a table whose genomes have some
RECIPE_KEYS = ("depth", "alphabet", "classes", "model", "training", "data")


def recipe_settings(recipe: Recipe, space: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a table holds for: its space and how it was trained."""
    parts = {"model": recipe.model.content(), "training": recipe.training.content()}
    return {**space, **parts, "data": asdict(recipe.data)}


@dataclass(frozen=True)
class Table:
    """Losses of all architectures of a space."""

    path: Path
    rows: pd.DataFrame  # the CSV
    recipe: Mapping[str, Any]  # content of `recipe.yaml`
    fingerprint: str

    @classmethod
    def read(cls, path: Path) -> "Table":
        """Raises `UserError` for a table that is missing, cannot be read, or has no recipe beside
        it."""
        try:
            content = read_bytes(path)
            rows = read_csv(path, dtype={"genome": str, "seed": int})
            recipe = read_yaml(path.parent / RECIPE)
        except (OSError, ValueError, EOFError, UserError) as error:
            raise _unusable(path, plain(error)) from None
        if not isinstance(recipe, dict) or not {*RECIPE_KEYS, "seeds", "steps"} <= recipe.keys():
            raise _unusable(path, f"{RECIPE} beside it is not a table's recipe")
        columns = {"genome", "seed", *map(_column, recipe["steps"])}
        if not columns <= set(rows.columns) or rows.isna().any(axis=None):
            raise _unusable(
                path, f"expected the columns genome, seed and {LOSS_COLUMN}<steps>, without gaps"
            )
        return cls(path, rows, recipe, f"table:{hashlib.sha256(content).hexdigest()[:16]}")

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raise `UserError` with what differs between the table's settings and these."""
        there = {key: self.recipe[key] for key in RECIPE_KEYS}
        there |= {BACKBONE: True} if self.recipe.get(BACKBONE) else {}
        different = list(differences(there, settings))
        if different:
            raise UserError(
                f"executor.path={self.path}: made by another recipe ({'; '.join(different)}); use "
                "its settings, as +experiment=tabular does, or executor=processes"
            )

    def check_steps(self, steps: int) -> None:
        """Raise `UserError` unless the table has losses after so many steps."""
        if steps not in self.recipe["steps"]:
            raise UserError(
                f"executor.path={self.path}: has no losses after {steps} steps, "
                f"expected one of {', '.join(map(str, self.recipe['steps']))}"
            )

    @cached_property
    def losses(self) -> dict[tuple[str, int], dict[int, float]]:
        """Validation loss (nats per token) after so many steps, by genome id and seed."""
        ids = {
            text: Genome.from_text(text, self.recipe["alphabet"]).id
            for text in self.rows["genome"].unique()
        }
        keys = zip(self.rows["genome"].map(ids), self.rows["seed"], strict=True)
        columns = self.rows[[*map(_column, self.recipe["steps"])]].to_numpy().tolist()
        return {
            key: dict(zip(self.recipe["steps"], row, strict=True))
            for key, row in zip(keys, columns, strict=True)
        }


def _column(steps: int) -> str:
    return f"{LOSS_COLUMN}{steps}"


def _unusable(path: Path, reason: str) -> UserError:
    return UserError(
        f"executor.path={path}: cannot be used ({reason}); null is the packaged table, "
        "experiments/tabular/build.py makes one"
    )


@dataclass
class TableConfig(ExecutorConfig):
    """Answers from a table of a small space that was trained beforehand."""

    path: str | None = None  # of the table; null is the packaged one

    def read(self) -> Table:
        """The table. Raises `UserError` for one that cannot be read."""
        return Table.read(expanded(self.path) if self.path else PACKAGED)

    def fingerprint(self, recipe: Recipe, space: dict[str, Any], rungs: Sequence[int]) -> str:
        """Fingerprint of its losses.

        Raises `UserError` for a table of another recipe, space or rungs.
        """
        table = self.read()
        table.check(recipe_settings(recipe, space))
        for steps in rungs:
            table.check_steps(steps)
        return table.fingerprint

    def check(self, recipe: Recipe) -> None:
        """Raise `UserError` for what a table cannot answer: other objectives, several seeds."""
        answered = Quality.from_loss(0.0, BYTES_PER_TOKEN).metrics
        unknown = sorted(
            o.name
            for o in measured_by(recipe).trained
            if o.name not in answered and (not o.optional or o.name in recipe.objectives)
        )
        expect("search.objectives", unknown, not unknown, "what a table of losses answers")
        seeds = recipe.evaluation.seeds
        expect("evaluation.seeds", seeds, seeds == 1, "1 with executor=table")

    def make(self, setup: Setup) -> "TableExecutor":
        """What looks up; it starts nothing. Raises `UserError` for a table that has changed."""
        table = self.read()
        if setup.fingerprint not in ("", table.fingerprint):
            raise UserError(f"executor.path={table.path}: changed since the search began")
        return TableExecutor(table, setup.recipe, setup.check)


class TableExecutor:
    """Answers from a table what `Processes` finds by training.

    A search's seed is answered by the table's seed number `seed % seeds`, so that searches of any
    seed see real trainings.
    """

    def __init__(self, table: Table, recipe: Recipe, check: Callable[[], None] = never) -> None:
        """check: called for every genome; may raise to end the search."""
        self.table, self.recipe = table, recipe
        self._check, self._measured = check, measured_by(recipe)

    def __enter__(self) -> "TableExecutor":
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def evaluate(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Evaluation]]:
        """Yield (index, evaluation) for each task; a genome that is not there is infeasible.

        Raises `UserError` for a rung that the table does not have.
        """
        for index, task in enumerate(tasks):
            self.table.check_steps(task.steps)
            self._check()
            yield index, self._look_up(task.genome, task.steps, task.seed)

    def _look_up(self, genome: Genome, steps: int, seed: int | None) -> Evaluation:
        try:
            metrics = self._measured.measure_static(genome, self.recipe)
        except GenomeError as error:
            return failure(error)
        seeds = self.table.recipe["seeds"]
        number = (self.recipe.seed if seed is None else seed) % len(seeds)
        losses = self.table.losses.get((genome.id, seeds[number]))
        if losses is None:
            where = f"is not in the table {self.table.path.name}"
            return infeasible(INVALID, f"{genome.to_text()} {where}", metrics)
        quality = Quality.from_loss(losses[steps], BYTES_PER_TOKEN)
        return Evaluation(OK, "", {**metrics, **quality.metrics})
