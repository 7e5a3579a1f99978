"""What a running search shows: one progress bar on a terminal, one line a generation elsewhere."""

from collections.abc import Callable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar


class Progress:
    """What a search tells of its progress; this one shows nothing."""

    def started(self, total: int, generations: int, state: Callable[[], str]) -> None:
        """The search begins.

        Args:
            total: candidates, if it runs to its end.
            generations: how many there are.
            state: says in words where the front is.
        """

    def candidate_finished(self) -> None:
        """One candidate more."""

    def generation_started(self, generation: int) -> None:
        """A generation begins, counted from 0."""

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
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[state]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("baselines", total=None, state="")
        self._finished = self._total = self._generations = 0
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

    def candidate_finished(self) -> None:
        """Count one evaluation."""
        self._finished += 1
        self._bar.update(self._task, completed=self._finished)

    def generation_started(self, generation: int) -> None:
        """Name the generation that is being evaluated."""
        self._bar.update(self._task, description=self._name(generation), state=self._state())

    def generation_finished(self, generation: int, proposed: int) -> None:
        """Show the front."""
        self._finished = max(self._finished, proposed)
        state = self._state()
        self._bar.update(self._task, completed=self._finished, state=state)
        if not self._console.is_terminal:
            count = f"{self._finished}/{self._total} candidates"
            self._console.print(f"{self._name(generation)}  {count}  {state}", highlight=False)
        if generation + 1 < self._generations:
            self.generation_started(generation + 1)

    def _name(self, generation: int) -> str:
        return f"generation {generation + 1}/{self._generations}"
