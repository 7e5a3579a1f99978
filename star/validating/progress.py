"""What a running validation shows: a progress bar on a terminal, a line a seed elsewhere."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from star.base.console import say
from star.runs.progress import TimeLeft


class ValidationProgress:
    """A context manager; without a console it shows nothing."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console
        columns = (
            TextColumn("trainings"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
        )
        is_shown = console is not None and console.is_terminal
        self._bar = Bar(*columns, console=console, disable=not is_shown)
        self._time = TimeLeft()
        self._task = self._bar.add_task("", total=None, left=self._time.text(0))
        self._total = self._finished = self._each = 0

    def __enter__(self) -> "ValidationProgress":
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the bar as it is."""
        self._bar.stop()

    def started(self, designs: int, seeds: int, at_once: int) -> None:
        """So many designs are trained with so many seeds, so many at the same time."""
        self._total, self._each = designs * seeds, designs
        self._time = TimeLeft(at_once)
        self._bar.update(self._task, total=self._total)

    def finished(self, seconds: float, is_new: bool) -> None:
        """One training more. is_new: made now, and not before an interruption."""
        self._finished += 1
        self._time.add(seconds, is_new)
        left = self._time.text(self._total - self._finished)
        self._bar.update(self._task, completed=self._finished, left=left)
        is_told = self._console is not None and not self._console.is_terminal
        if is_told and self._console is not None and self._finished % self._each == 0:
            say(self._console, f"{self._finished}/{self._total} trainings  {left}")
