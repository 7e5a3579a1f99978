"""When a search ends: beside the number of generations, after so many evaluations, seconds, tokens,
or without gain."""

import re
import time
from dataclasses import dataclass, field
from typing import Any

from star.base.errors import UserError
from star.evaluation.constraints import parse_quantity
from star.search.archive import Archive

SECONDS = {"": 1, "s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}
LEAST_GAIN = 1e-6  # of the hypervolume, which is scaled to 0..1


@dataclass
class StopConfig:
    """Each ends the search at the end of a generation; None does not.

    evaluations: candidates evaluated. wall_time: of this process, in seconds or as `90min`, `2h`.
    training_tokens: over all candidates, for example `50M`. patience: generations without a gain in
    hypervolume.
    """

    evaluations: int | None = None
    wall_time: Any = None
    training_tokens: Any = None
    patience: int | None = None

    def check(self) -> None:
        """Raise `UserError` naming the key, its value and what was expected."""
        for name in ("evaluations", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"search.stop.{name}={value}: expected at least 1")
        if self.wall_time is not None:
            parse_duration("search.stop.wall_time", self.wall_time)
        if self.training_tokens is not None:
            parse_quantity("search.stop.training_tokens", self.training_tokens)


def parse_duration(key: str, value: Any) -> float:
    """Seconds from a number or text such as 90min, 2h or 1.5d. Raises `UserError` naming the key
    otherwise."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([a-z]*)\s*", str(value))
    if match is None or match[2] not in SECONDS or float(match[1]) <= 0:
        raise UserError(
            f"{key}={value}: expected a positive number of seconds, or with a unit such as 90min, "
            f"2h or 1d"
        )
    return float(match[1]) * SECONDS[match[2]]


@dataclass
class Stopping:
    """Watches one search."""

    config: StopConfig
    started: float = field(default_factory=time.monotonic)
    _best: float = 0.0
    _without_gain: int = 0

    def reason(self, archive: Archive) -> str:
        """Why the search ends after the generation that has just finished; empty when it goes
        on."""
        hypervolume = archive.hypervolume()
        self._without_gain = 0 if hypervolume > self._best + LEAST_GAIN else self._without_gain + 1
        self._best = max(self._best, hypervolume)
        config = self.config
        reached = {
            f"search.stop.evaluations={config.evaluations}": (config.evaluations, len(archive)),
            f"search.stop.training_tokens={config.training_tokens}": (
                config.training_tokens and parse_quantity("", config.training_tokens),
                archive.train_tokens(),
            ),
            f"search.stop.wall_time={config.wall_time}": (
                config.wall_time and parse_duration("", config.wall_time),
                time.monotonic() - self.started,
            ),
            f"search.stop.patience={config.patience}": (config.patience, self._without_gain),
        }
        return next(
            (
                name
                for name, (limit, value) in reached.items()
                if limit is not None and value >= limit
            ),
            "",
        )
