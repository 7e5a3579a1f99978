"""python -m star.report run=<folder>: the page of a search, and its figures for a paper.

Leaves `report.html` in the run folder, one file that works without a network, and `figures/`.
`run=[a,b,...]` puts several runs on one page. A search writes its page by itself, also while it
runs; `star.runs.report` has the parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from star.base.command_line import run_command
from star.base.console import make_console, say
from star.base.errors import UserError
from star.base.locks import is_locked
from star.base.reading import expanded, reason
from star.genomes import GenomeError
from star.runs.claim import LOCK
from star.runs.extensions import use_extensions
from star.runs.report.content import Content
from star.runs.report.live import FIGURES, REPORT
from star.runs.report.page import check_free, make_report, write_figures, write_page
from star.runs.run import Run
from star.runs.tables import WIDTH

SEVERAL = "star_report"  # the folder of a page of several runs, unless to= names one


@dataclass
class ReportConfig:
    """Write the page of a search, or of several beside each other, and its figures."""

    run: list[str] = field(default_factory=list)  # folders of searches: a folder, or [a,b,...]
    to: str | None = None  # a folder; null: the run's own, of several runs star_report here
    figures: bool = True  # pictures for a paper too: figures/*.svg, *.png, *.csv
    plugins: list[str] = field(default_factory=list)  # modules or .py files that add operators
    library: list[str] = field(default_factory=list)  # folders of designs, known by file name

    ALONE: ClassVar[Sequence[str]] = ("run",)  # run=a is run=[a]


def open_runs(folders: Sequence[str]) -> list[Content]:
    """The runs. Raises `UserError` for none, one twice, or what is no run."""
    if not folders:
        raise UserError("run: expected the folder of a search, or several: run=[a,b]")
    places = [str(expanded(folder).resolve()) for folder in folders]
    if len({*places}) < len(places):
        raise UserError(f"run={list(folders)}: names a run twice")
    names = [Path(place).name for place in places]
    found = []
    for folder, place in zip(folders, places, strict=True):
        is_unique = names.count(Path(place).name) == 1
        found.append(Content(Run.open(folder), "" if is_unique else str(folder)))
    for content in found:
        if not content.candidates:
            raise UserError(f"run={content.run.path}: no candidate has finished yet")
    return found


def main(config: ReportConfig, arguments: list[str]) -> None:
    """Read, draw, write."""
    use_extensions(config.plugins, config.library)
    console, contents = make_console(WIDTH), open_runs(config.run)
    usual = contents[0].run.path if len(contents) == 1 else Path(SEVERAL)
    folder = expanded(config.to) if config.to is not None else usual
    report = make_report(contents)
    is_running = len(contents) == 1 and is_locked(contents[0].run.path / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_free(folder / REPORT, folder / FIGURES if config.figures else None)
        write_page(report, folder / REPORT, is_running)
        count = write_figures(report, folder / FIGURES) if config.figures else 0
    except OSError as error:
        raise UserError(f"to={folder}: cannot be written ({reason(error)})") from None
    also = f", {count} figures in {folder / FIGURES}" if count else ""
    say(console, f"report: {folder / REPORT}{also}")


if __name__ == "__main__":
    run_command("report", main, (GenomeError,))
