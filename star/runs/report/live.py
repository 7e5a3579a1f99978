"""The page of a search while it runs: written anew as generations pass, and never in its way."""

import time
import warnings
from contextlib import suppress
from pathlib import Path

from star.base.errors import UserError
from star.base.locks import is_locked
from star.runs.claim import LOCK
from star.runs.folder import WritingTime
from star.runs.run import Run

REPORT, FIGURES = "report.html", "figures"
LEAST_SECONDS = 60  # of a search that leaves figures too, since they take seconds


class LiveReport:
    """The page of one run. What goes wrong with it ends no search: a warning says it, once."""

    def __init__(self, folder: Path) -> None:
        """Begin in a run folder."""
        self.folder = folder
        self._started, self._time = time.monotonic(), WritingTime()
        self._has_failed = False

    def update(self) -> None:
        """Write the page, unless generations pass faster than pages."""
        self._time.spend(lambda: self.write(is_running=True))

    def finish(self, is_whole: bool = True) -> None:
        """Write it for the last time, and the figures where the search took a while.

        is_whole: the search has come to its end; of one that is interrupted the page must do.
        """
        took_long = time.monotonic() - self._started > LEAST_SECONDS
        self.write(is_running=False, has_figures=is_whole and took_long)

    def write(self, is_running: bool, has_figures: bool = False) -> None:
        """Write the page as the run is now.

        Args:
            is_running: the search goes on, so that the page reads itself again.
            has_figures: write the figures too.
        """
        # Imported here: what draws takes half a second to import, which other commands do without.
        from star.runs.report.content import Content
        from star.runs.report.page import check_free, make_report, write_figures, write_page

        try:
            check_free(self.folder / REPORT)
            content = Content(Run.open(self.folder))
            if not content.candidates:
                return
            report = make_report([content])
            write_page(report, self.folder / REPORT, is_running)
            if has_figures:
                write_figures(report, self.folder / FIGURES)
        except Exception as error:
            if not self._has_failed:
                self._has_failed = True
                text = f"{self.folder / REPORT}: could not be written ({_said(error)}); "
                text += f"python -m star.report run={self.folder} tries again"
                with suppress(Warning):  # which `python -W error` raises
                    warnings.warn(text, stacklevel=2)


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def refresh(folder: Path) -> None:
    """Write the page of a finished run anew, if it has one: something about it is new."""
    if (folder / REPORT).is_file():
        LiveReport(folder).write(is_running=is_locked(folder / LOCK))
