"""How long an evaluation is waited for under `limits.seconds=auto`: many times the slowest so far.

It ends what hangs and nothing else: candidates differ in speed, but none takes twenty times as long
as the slowest of the others, baselines among them, and at least ten minutes.
"""

import logging
import time
from collections.abc import Hashable
from dataclasses import dataclass

from star.evaluation.executors.base import Task
from star.evaluation.failures import TIMEOUT
from star.evaluation.limits import AUTO, LimitsConfig
from star.evaluation.result import Evaluation, infeasible

FACTOR = 20.0  # of the slowest evaluation
LEAST = 600.0  # seconds
LONGEST_LOOK = 5.0  # seconds between two looks; in more than that this process itself was stopped

log = logging.getLogger(__name__)


@dataclass
class _Running:
    task: Task
    since: float  # by the clock of `Patience`


class Patience:
    """Watches the running evaluations of one executor; for other limits than auto it ends none."""

    def __init__(self, limits: LimitsConfig) -> None:
        """limits: of one evaluation."""
        self._is_auto = limits.seconds == AUTO
        self._running: dict[Hashable, _Running] = {}
        self._slowest: dict[int, float] = {}  # seconds, by steps
        self._clock, self._looked = 0.0, time.monotonic()
        self._has_warned = False

    def begin(self, key: Hashable, task: Task) -> None:
        """An evaluation begins. key: what it is known by until it ends."""
        self._running[key] = _Running(task, self._clock)

    def end(self, key: Hashable, evaluation: Evaluation | None = None) -> None:
        """It ended by itself, with this result if any."""
        running = self._running.pop(key, None)
        if running is not None and evaluation is not None and evaluation.measured:
            seconds, steps = self._clock - running.since, running.task.steps
            self._slowest[steps] = max(seconds, self._slowest.get(steps, 0.0))

    def clear(self) -> None:
        """Nothing is running any more."""
        self._running.clear()

    def overdue(self) -> list[tuple[Hashable, Evaluation]]:
        """Keys of the evaluations to end, with what they result in; to be asked again and again."""
        now = time.monotonic()
        self._clock += min(now - self._looked, LONGEST_LOOK)
        self._looked = now
        ended = []
        for key, running in list(self._running.items()) if self._is_auto else ():
            limit, took = self._limit(running.task.steps), self._clock - running.since
            if limit is None:
                self._warn(took)
            elif took > limit:
                reason = f"took longer than {limit:.0f} seconds, the limit by limits.seconds={AUTO}"
                log.warning("genome %s %s; its worker is replaced", running.task.genome.id, reason)
                ended.append((key, infeasible(TIMEOUT, reason)))
                del self._running[key]
        return ended

    def _limit(self, steps: int) -> float | None:
        """Seconds for so many steps; None before anything has finished.

        A training of twice the steps may take twice as long as the slowest so far.
        """
        if not self._slowest:
            return None
        slowest = max(s * max(1.0, steps / max(done, 1)) for done, s in self._slowest.items())
        return max(LEAST, FACTOR * slowest)

    def _warn(self, took: float) -> None:
        if took > LEAST and not self._has_warned:
            self._has_warned = True
            log.warning(
                "no evaluation has finished in %.0f seconds; limits.seconds=<seconds> ends what "
                "takes longer",
                took,
            )
