"""A search in its run folder: the ledger that it resumes from, and the files that it leaves."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from star.base.interrupts import deferred_interrupt
from star.evaluation.states import StateStore
from star.runs.folder import STATES, RunFolder, check_foreign
from star.runs.provenance import (
    CONFIGURATION,
    check_same_run,
    new_folder,
    write_provenance,
    writing,
)
from star.runs.run import Run
from star.search.candidates import Evaluated
from star.search.memory import check_ledger, open_memory
from star.search.upgrade import upgrade_settings

if TYPE_CHECKING:
    from star.search.search import Search

# Settings that change no evaluation: they may differ when a run is resumed.
FREE = {"run_dir", "experiment_name", "executor", "ledger", "limits", "plugins", "library"} | {
    f"search.{key}" for key in ("generations", "stop")
}


class Progress(Protocol):
    """What shows a running search (`star.runs.progress.SearchProgress`)."""

    def started(self, total: int, generations: int, state: Callable[[], str]) -> None:
        """The search begins."""

    def candidate_finished(self) -> None:
        """One candidate more."""

    def generation_started(self, generation: int) -> None:
        """A generation begins, counted from 0."""

    def generation_finished(self, generation: int, proposed: int) -> None:
        """A generation is finished; so many candidates were proposed so far."""


class NoProgress:
    """Shows nothing."""

    def started(self, total: int, generations: int, state: Callable[[], str]) -> None:
        """Nothing."""

    def candidate_finished(self) -> None:
        """Nothing."""

    def generation_started(self, generation: int) -> None:
        """Nothing."""

    def generation_finished(self, generation: int, proposed: int) -> None:
        """Nothing."""


class SearchInFolder:
    """A search in its run folder."""

    def __init__(self, search: "Search", arguments: Sequence[str] | None) -> None:
        """Open or make the folder and the ledger; see `Search.open`."""
        self.search = search
        self._progress: Progress = NoProgress()
        config = search.config
        settings = search.settings()
        given = Path(config.run_dir) if config.run_dir else None
        if given is not None and (given / CONFIGURATION).exists():
            check_same_run(given, "a search", settings, FREE, upgrade_settings)
        check_ledger(config.ledger)
        path = new_folder(config.experiment_name) if given is None else given
        check_foreign(path)
        self.memory = open_memory(
            config.ledger, path, search.recipe, search.measured, search.fingerprint
        )
        try:
            with writing(path):
                path.mkdir(parents=True, exist_ok=True)
            write_provenance(path, "evolve", settings, search.fingerprint, arguments)
            self._folder = RunFolder(path, search.measured.names)
        except BaseException:
            self.memory.close()
            raise
        url = getattr(config.executor, "states", None)
        name = f"{path.resolve().name}-{search.fingerprint[:8]}"
        self._states = StateStore(f"{url.rstrip('/')}/{name}" if url else str(path / STATES))

    def _candidate_finished(self, evaluated: Evaluated) -> None:
        self._folder.append(evaluated.row())
        self._progress.candidate_finished()

    def _state(self) -> str:
        archive = self.search.archive
        return f"front {len(archive.front())}  hypervolume {archive.hypervolume():.4f}"

    @property
    def path(self) -> Path:
        """The folder."""
        return self._folder.path

    def run(self, progress: Progress | None = None) -> Run:
        """Search to the end; the folder is whole whenever this returns or raises."""
        self._progress = progress or NoProgress()
        search, config = self.search, self.search.config.search
        baselines, population = len(search.baselines), config.population
        total = baselines + config.generations * population
        self._progress.started(total, config.generations, self._state)
        try:
            with deferred_interrupt() as interrupt:
                for generation in search.generations(
                    self.memory, self._candidate_finished, interrupt.check, self._states
                ):
                    self._folder.update_views(search.views)
                    if generation < 0:
                        self._progress.generation_started(0)
                        continue
                    proposed = baselines + (generation + 1) * population
                    self._progress.generation_finished(generation, proposed)
        finally:
            self._folder.write_views(*search.views())
            self.memory.close()
        return Run.open(self.path)
