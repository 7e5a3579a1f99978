"""When a search ends: beside the number of generations, by what it has spent, or without gain."""

import time
from dataclasses import dataclass, field
from typing import Any

from star.base.ranges import Range, expect_ranges
from star.base.settings import expect, parse_duration, parse_quantity
from star.search.archive import Archive

RANGES = {"evaluations": Range(1, 10**12), "patience": Range(1, 10**9)}
LEAST_GAIN = 1e-6  # of the hypervolume, which is scaled to 0..1


@dataclass
class StopConfig:
    """Each of these ends the search at the end of a generation; null does not."""

    evaluations: int | None = None  # candidates evaluated
    wall_time: Any = None  # of this process, in seconds or as 90min, 2h
    training_tokens: Any = None  # over all candidates, such as 50M
    patience: int | None = None  # generations without a gain in hypervolume

    def check(self) -> None:
        """Raise `UserError` for the first value that cannot be used."""
        expect_ranges("search.stop.", self, RANGES)
        for name, limit in self.limits().items():
            expect(f"search.stop.{name}", getattr(self, name), limit > 0, "above 0")

    def limits(self) -> dict[str, float]:
        """The limits that are set, as numbers. Raises `UserError` for a text that is none."""
        readers = {"wall_time": parse_duration, "training_tokens": parse_quantity}
        given = {name: value for name, value in vars(self).items() if value is not None}
        return {
            name: readers[name](f"search.stop.{name}", value) if name in readers else value
            for name, value in given.items()
        }


@dataclass
class Stopping:
    """Watches one search."""

    config: StopConfig
    started: float = field(default_factory=time.monotonic)
    _best: float = 0.0
    _without_gain: int = 0

    def reason(self, archive: Archive) -> str:
        """Why the search ends after the generation that has just finished; empty if it goes on."""
        hypervolume = archive.hypervolume()
        gained = hypervolume > self._best + LEAST_GAIN
        self._without_gain = 0 if gained else self._without_gain + 1
        self._best = max(self._best, hypervolume)
        reached = {
            "evaluations": len(archive),
            "training_tokens": archive.train_tokens(),
            "wall_time": time.monotonic() - self.started,
            "patience": self._without_gain,
        }
        limits = self.config.limits()
        return next(
            (
                f"search.stop.{name}={getattr(self.config, name)}"
                for name, value in reached.items()
                if name in limits and value >= limits[name]
            ),
            "",
        )
