"""What a running search shows: one progress bar on a terminal, one line a generation elsewhere."""

import math
import time
from collections.abc import Callable
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar


class TimeLeft:
    """How long the rest takes, from what has been finished; whatever needed no training is left
    out, so that jumps over it tell nothing."""

    def __init__(self, at_once: int = 1) -> None:
        """at_once: how many are worked on at the same time, until enough have shown it."""
        self._at_once = at_once
        self._count = self._new = 0
        self._started = 0.0  # when the first new one began
        self._seconds = self._new_seconds = 0.0

    def add(self, seconds: float, is_new: bool = True) -> None:
        """One that took so many seconds. is_new: now, and not before an interruption."""
        if seconds > 0:
            self._count, self._seconds = self._count + 1, self._seconds + seconds
        if seconds > 0 and is_new:
            if not self._new:
                self._started = time.monotonic() - seconds
            self._new, self._new_seconds = self._new + 1, self._new_seconds + seconds

    def seconds(self, left: int) -> float | None:
        """Seconds for so many more; None before anything has taken time."""
        if not self._count:
            return None
        # Seconds of work done in a second: below `at_once` by everything that is no training.
        passed = time.monotonic() - self._started
        has_shown = self._new >= self._at_once and passed > 0
        rate = self._new_seconds / passed if has_shown else self._at_once
        return left * self._seconds / self._count / rate

    def text(self, left: int) -> str:
        """`left 0:12:30`."""
        seconds = self.seconds(left)
        return f"left {'-:--:--' if seconds is None else timedelta(seconds=math.ceil(seconds))}"


class Progress:
    """What a search tells of its progress; this one shows nothing."""

    def started(self, total: int, generations: int, state: Callable[[], str]) -> None:
        """The search begins.

        Args:
            total: candidates, if it runs to its end.
            generations: how many there are.
            state: says in words where the front is.
        """

    def trained_at_once(self, count: int) -> None:
        """So many candidates are trained at the same time."""

    def candidate_trained(self, seconds: float, is_new: bool) -> None:
        """The next candidate to finish was trained for so many seconds, 0 if it was not.

        is_new: now, and not before an interruption or by another run.
        """

    def candidate_finished(self) -> None:
        """One candidate more."""

    def generation_started(self, generation: int) -> None:
        """A generation begins, counted from 0."""

    def further_seeds(self, finished: int, total: int) -> None:
        """So many trainings with further seeds are finished, of those of this round."""

    def generation_finished(self, generation: int, proposed: int) -> None:
        """A generation (from 0) is finished; so many candidates were proposed so far."""


class SearchProgress(Progress):
    """A bar on a terminal, a line a generation elsewhere; a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[state]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._time = TimeLeft()
        self._task = self._bar.add_task("baselines", total=None, state="", left=self._time.text(0))
        self._finished = self._total = self._generations = self._generation = 0
        self._further = 0  # trainings with further seeds that are left in this round
        self._state: Callable[[], str] = str

    def __enter__(self) -> "SearchProgress":
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the bar as it is."""
        self._bar.stop()

    def started(self, total: int, generations: int, state: Callable[[], str]) -> None:
        """Take the bar's length."""
        self._total, self._generations, self._state = total, generations, state
        self._bar.update(self._task, total=total)

    def trained_at_once(self, count: int) -> None:
        """Begin to estimate the time that is left."""
        self._time = TimeLeft(count)

    def candidate_trained(self, seconds: float, is_new: bool) -> None:
        """Take its time into the estimate."""
        self._time.add(seconds, is_new)

    def candidate_finished(self) -> None:
        """Count one evaluation."""
        self._finished += 1
        self._show_count()

    def generation_started(self, generation: int) -> None:
        """Name the generation that is being evaluated."""
        self._generation = generation
        self._bar.update(self._task, description=self._name(generation), state=self._state())

    def further_seeds(self, finished: int, total: int) -> None:
        """Count them behind the generation's name, and those that are left in the time."""
        self._further = total - finished
        name = f"{self._name(self._generation)}, further seeds {finished}/{total}"
        self._bar.update(self._task, description=name)
        self._show_count()

    def generation_finished(self, generation: int, proposed: int) -> None:
        """Show the front."""
        self._finished, self._further = max(self._finished, proposed), 0
        state = self._state()
        self._bar.update(self._task, description=self._name(generation), state=state)
        self._show_count()
        if not self._console.is_terminal:
            count = f"{self._finished}/{self._total} candidates"
            self._console.print(f"{self._name(generation)}  {count}  {state}", highlight=False)
        if generation + 1 < self._generations:
            self.generation_started(generation + 1)

    def _show_count(self) -> None:
        left = self._time.text(max(self._total - self._finished, 0) + self._further)
        self._bar.update(self._task, completed=self._finished, left=left)

    def _name(self, generation: int) -> str:
        return f"generation {generation + 1}/{self._generations}"
