"""What a running search shows: one progress bar on a terminal, one line a generation elsewhere."""

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from star.search.archive import Archive


class SearchProgress:
    """Progress of one search of `total` candidates."""

    def __init__(self, console: Console, total: int, archive: Archive) -> None:
        self._console = console
        self._archive = archive
        self._finished = 0
        self._total = total
        self._bar = Progress(
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
        self._task = self._bar.add_task("baselines", total=total, state="")

    def __enter__(self) -> "SearchProgress":
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the bar as it is."""
        self._bar.stop()

    def _state(self) -> str:
        return f"front {len(self._archive.front())}  hypervolume {self._archive.hypervolume():.4f}"

    def candidate_finished(self) -> None:
        """Count one evaluation."""
        self._finished += 1
        self._bar.update(self._task, completed=self._finished)

    def generation_started(self, generation: int, generations: int) -> None:
        """Name the generation (from 0) that is being evaluated."""
        self._bar.update(
            self._task,
            description=f"generation {generation + 1}/{generations}",
            state=self._state(),
        )

    def generation_finished(self, generation: int, generations: int, evaluations: int) -> None:
        """Show the state of the front after a generation (from 0); `evaluations` were proposed so
        far."""
        name, state = f"generation {generation + 1}/{generations}", self._state()
        self._finished = max(self._finished, evaluations)
        self._bar.update(self._task, completed=self._finished, state=state)
        if generation + 1 < generations:
            self.generation_started(generation + 1, generations)
        if not self._console.is_terminal:
            self._console.print(
                f"{name}  {self._finished}/{self._total} candidates  {state}", highlight=False
            )
