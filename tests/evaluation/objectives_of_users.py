"""Objectives as users write them, right and wrong, for `test_user_objectives.py`."""

from dataclasses import dataclass

import torch

from star.evaluation.objectives import STATIC, Context, Objective


class Static(Objective):
    name, cost = "wrong", STATIC
    answer: object = 1.0

    def measure(self, context: Context) -> object:  # type: ignore[override]
        return {self.name: self.answer}


class Tensor(Static):
    answer = torch.tensor(2.5)


class Text(Static):
    answer = "many"


class OtherKey(Static):
    def measure(self, context: Context) -> object:  # type: ignore[override]
        return {"other": 1.0}


class NoMapping(Static):
    def measure(self, context: Context) -> object:  # type: ignore[override]
        return 3.0


class Nameless(Objective):
    def measure(self, context: Context) -> dict[str, float]:
        return {}


class Spaced(Static):
    name = "my error"


class Rank(Static):
    name = "rank"


class Expensive(Static):
    cost = "dear"


class Unbounded(Static):
    bounds = (0.0,)  # type: ignore[assignment]


class Reversed(Static):
    bounds = (1.0, 0.0)


class NoUnit(Static):
    unit = None  # type: ignore[assignment]


class BadFormat(Static):
    def format(self, value: float) -> str:
        return int(value)  # type: ignore[return-value]


class RaisingFormat(Static):
    def format(self, value: float) -> str:
        raise KeyError(value)


@dataclass
class Settable(Static):
    steps: int = 3
    share: float = 0.5
