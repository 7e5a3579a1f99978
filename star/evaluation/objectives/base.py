"""What an objective is: a named quantity of a candidate, and how it is measured and shown."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from star.data import Corpus
from star.evaluation.recipe import Recipe
from star.genomes import Genome
from star.models import LanguageModel
from star.training import Quality, validate

# Cost classes: from the genome alone, before any training; of the trained candidate; or by
# trainings of the objective's own.
STATIC, TRAINED, OWN = "static", "trained", "own"
COSTLY = (TRAINED, OWN)  # those that take time


@dataclass
class Context:
    """What an objective can measure: a genome, under a recipe, for others than static ones the
    corpus, and for those of the trained candidate the model that was trained on it."""

    genome: Genome
    recipe: Recipe
    corpus: Corpus | None = None
    model: LanguageModel | None = None

    @cached_property
    def quality(self) -> Quality:
        """Held-out quality of the trained model, measured once for all that ask."""
        if self.model is None or self.corpus is None:
            raise RuntimeError(
                "a static objective has no trained model; declare its cost as TRAINED"
            )
        return validate(self.model, self.corpus, self.recipe.training)


class Objective(ABC):
    """A quantity of a candidate. Subclasses set the class attributes and `measure`.

    A subclass that has settings is a dataclass: `objectives.<name>.<setting>=...` fills its fields.
    """

    name: ClassVar[str]  # column of CSVs, key of constraints, key of `metrics`
    unit: ClassVar[str] = ""  # limits in bytes may be written 4MB, those in s or ms 1m30s or 5ms
    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)  # least and most it can be
    label: ClassVar[str] = ""  # heading in tables, `name` when empty
    cost: ClassVar[str] = TRAINED  # STATIC, TRAINED or OWN
    maximised: ClassVar[bool] = False  # larger is better; a constraint is then its least value
    # why it may be missing, of ours that are measured always where they can be; empty: it never is
    optional: ClassVar[str] = ""
    repeatable: ClassVar[bool] = True  # False: a timing, which differs a little every time
    from_nothing: ClassVar[bool] = False  # trains the genome anew, on tokens of its own
    on_device: ClassVar[bool] = False  # depends on the device: `device` is a setting, in the recipe
    version: ClassVar[int] = 1  # of ours: rises when the same settings can give another result

    @abstractmethod
    def measure(self, context: Context) -> Mapping[str, float]:
        """`{name: value}`, and further quantities that came with it; raises for what cannot be."""

    def prepare(self) -> None:
        """Called before candidates are measured, in every process that does, outside of memory
        limits; raises `UserError` for what cannot be measured here."""
        return

    def settings(self) -> dict[str, Any]:
        """What decides its result, as plain data: part of the recipe while it is in use."""
        return dict(vars(self))

    def format(self, value: float) -> str:
        """A value as tables show it."""
        return f"{value:,.4g}"

    def shown(self, value: float) -> str:
        """`format`, or plain digits where that fails: a table comes after all the training."""
        try:
            text = self.format(value)
        except Exception:
            text = None
        return text if isinstance(text, str) else f"{value:,.4g}"

    @property
    def heading(self) -> str:
        """Its heading in tables."""
        return self.label or self.name

    @property
    def sign(self) -> int:
        """What a value is multiplied with before it is minimised."""
        return -1 if self.maximised else 1

    def exceeds(self, value: float, bound: float) -> bool:
        """Whether a value breaks a constraint: above the largest, or below the least allowed."""
        return self.sign * value > self.sign * bound
