"""Objectives of a user's own, named by import path: `tests.search.objectives:Attention`."""

from collections.abc import Mapping
from dataclasses import dataclass

from star.evaluation import Context, Objective
from star.evaluation.objectives import STATIC


class Attention(Objective):
    """How many LIVs are attention; from the genome alone."""

    name, unit, label, cost = "attention", "LIVs", "attn", STATIC

    def measure(self, context: Context) -> Mapping[str, float]:
        classes = context.genome.classes()
        return {self.name: sum(liv_class.name.startswith("SA") for liv_class in classes)}


class Variety(Attention):
    """How many different classes there are; the more the better."""

    name, unit, label, maximised = "variety", "classes", "", True

    def measure(self, context: Context) -> Mapping[str, float]:
        return {self.name: len({liv_class.id for liv_class in context.genome.classes()})}


@dataclass
class Margin(Objective):
    """How far the trained model is below a loss of the user's choice; the more the better."""

    below: float = 5.0  # nats a token

    name, unit, maximised = "margin", "nats/token", True

    def measure(self, context: Context) -> Mapping[str, float]:
        return {self.name: self.below - context.quality.validation_loss}


class Nameless(Objective):
    """Lacks a name."""

    def measure(self, context: Context) -> Mapping[str, float]:
        return {}


class Taken(Attention):
    """Its name is that of another objective."""

    name = "parameters"


class Misplaced(Attention):
    """Its cost class does not exist."""

    name, cost = "misplaced", "cheap"


class Untrue(Attention):
    """Says that it is static, but asks for the trained model."""

    name = "untrue"

    def measure(self, context: Context) -> Mapping[str, float]:
        return {self.name: context.quality.validation_loss}


NOT_AN_OBJECTIVE = 3
