"""Evaluation without training: a small space whose every architecture was trained beforehand, as a
table.

A table is a CSV with the columns genome, seed and `validation_loss_<steps>` for every rung of one
training, and beside it `recipe.yaml` with what decided its numbers. The committed one is made by
experiments/tabular/build.py.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
import yaml

from star.base.errors import UserError
from star.data.tokenizers import BYTES_PER_TOKEN
from star.evaluation.evaluate import INVALID, OK, Evaluation, Recipe, failure, infeasible
from star.evaluation.objectives import static_metrics
from star.evaluation.rungs import Rung
from star.genomes import Genome, GenomeError
from star.runs.provenance import differences

TRAIN, TABULAR = "train", "tabular"
EVALUATORS = (TRAIN, TABULAR)
COMMITTED = Path(__file__).resolve().parents[3] / "experiments" / "tabular" / "table.csv.gz"
RECIPE = "recipe.yaml"
LOSS_COLUMN = "validation_loss_"  # and the steps
RECIPE_KEYS = ("depth", "alphabet", "classes", "model", "training", "data")


def recipe_settings(
    recipe: Recipe, depth: int, alphabet: str, classes: Sequence[str]
) -> dict[str, Any]:
    """The settings that a table holds for: its space and how it was trained."""
    parts = {name: asdict(getattr(recipe, name)) for name in ("model", "training", "data")}
    return {"depth": depth, "alphabet": alphabet, "classes": list(classes), **parts}


@dataclass(frozen=True)
class Table:
    """Losses of all architectures of a space. rows: the CSV. recipe: content of `recipe.yaml`."""

    path: Path
    rows: pd.DataFrame
    recipe: Mapping[str, Any]
    fingerprint: str

    @classmethod
    def read(cls, path: Path) -> "Table":
        """Raises `UserError` for a table that is missing, cannot be read, or has no recipe beside
        it."""
        try:
            content = path.read_bytes()
            rows = pd.read_csv(path, dtype={"genome": str, "seed": int})
            recipe = yaml.safe_load((path.parent / RECIPE).read_text(encoding="utf-8"))
        except (OSError, ValueError, EOFError, yaml.YAMLError) as error:
            raise _unusable(path, " ".join(str(error).split())) from None
        if not isinstance(recipe, dict) or not {*RECIPE_KEYS, "seeds", "steps"} <= recipe.keys():
            raise _unusable(path, f"{RECIPE} beside it is not a table's recipe")
        if not {"genome", "seed", *map(_column, recipe["steps"])} <= set(
            rows.columns
        ) or rows.isna().any(axis=None):
            raise _unusable(
                path, f"expected the columns genome, seed and {LOSS_COLUMN}<steps>, without gaps"
            )
        return cls(path, rows, recipe, f"table:{hashlib.sha256(content).hexdigest()[:16]}")

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raise `UserError` with what differs between these settings (`recipe_settings`) and the
        table's."""
        different = list(
            differences({key: self.recipe[key] for key in RECIPE_KEYS}, settings, set())
        )
        if different:
            raise UserError(
                f"search.table={self.path}: made by another recipe ({'; '.join(different)}); use "
                f"its settings, as "
                f"+experiment=tabular does, or search.evaluator={TRAIN}"
            )

    def check_steps(self, steps: int) -> None:
        """Raise `UserError` unless the table has losses after so many steps."""
        if steps not in self.recipe["steps"]:
            raise UserError(
                f"search.table={self.path}: has no losses after {steps} steps, "
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
        f"search.table={path}: cannot be used ({reason}); the committed table is {COMMITTED.name} "
        f"in "
        "experiments/tabular of a checkout, experiments/tabular/build.py makes one"
    )


def open_table(
    evaluator: str, path: str | None, settings: Mapping[str, Any], rungs: Sequence[int] = ()
) -> Table | None:
    """The table that answers a search with these settings (`recipe_settings`), None for one that
    trains.

    path: None for the committed one. rungs: steps after which candidates are measured. Raises
    `UserError` for an unknown evaluator and for a table that does not suit.
    """
    if evaluator not in EVALUATORS:
        raise UserError(f"search.evaluator={evaluator}: expected one of {', '.join(EVALUATORS)}")
    if evaluator == TRAIN:
        if path is not None:
            raise UserError(f"search.table={path}: is read with search.evaluator={TABULAR} only")
        return None
    table = Table.read(Path(path).expanduser() if path else COMMITTED)
    table.check(settings)
    for steps in rungs:
        table.check_steps(steps)
    return table


class TabularEvaluator:
    """Answers from a table what `Workers` finds by training; used as they are.

    A search's seed is answered by the table's seed number `seed % seeds`, so that searches of any
    seed see real trainings. check is called for every genome and may raise to end the search.
    """

    def __init__(
        self, table: Table, recipe: Recipe, check: Callable[[], None] = lambda: None
    ) -> None:
        self.table, self.recipe = table, recipe
        self._check = check
        seeds = table.recipe["seeds"]
        self.seed: int = seeds[recipe.seed % len(seeds)]

    def __enter__(self) -> "TabularEvaluator":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def evaluate(
        self, genomes: Sequence[Genome], rung: Rung | None = None
    ) -> Iterator[tuple[int, Evaluation]]:
        """Yield (index, evaluation) for each genome; one that is not in the table is infeasible.

        rung: None is the whole training. Raises `UserError` for one that the table does not have.
        """
        steps = self.recipe.training.steps if rung is None else rung.steps
        self.table.check_steps(steps)
        for index, genome in enumerate(genomes):
            self._check()
            yield index, self._look_up(genome, steps)

    def _look_up(self, genome: Genome, steps: int) -> Evaluation:
        try:
            metrics: dict[str, float] = dict(
                static_metrics(genome, self.recipe.model, self.recipe.cache)
            )
        except GenomeError as error:
            return failure(error)
        losses = self.table.losses.get((genome.id, self.seed))
        if losses is None:
            return infeasible(
                INVALID, f"{genome.to_text()} is not in the table {self.table.path.name}", metrics
            )
        loss = losses[steps]
        metrics |= {
            "validation_loss": loss,
            "bits_per_byte": loss / math.log(2) / BYTES_PER_TOKEN,
            "perplexity": math.exp(loss),
        }
        return Evaluation(OK, "", metrics)
