"""The run folder of a search: its CSVs and the genomes of the front.

Every file is written under a temporary name and moved into place, so that a reader never sees half
of one. They are views: the ledger holds what a resumed run starts from.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from star.base import files
from star.base.csv_files import csv_text
from star.base.files import writing
from star.genomes import GenomeFile
from star.runs.columns import columns
from star.runs.genome_files import GenomeFiles
from star.runs.validated import COLUMN, mark, validated_ids

POPULATION, PARETO, LEDGER, GENOMES = "population.csv", "pareto.csv", "ledger.sqlite", "genomes"
PRESCREEN = "prescreen.csv"  # how good predictions were, of a search with search.prescreen
STATES = "states"  # training states, there while a generation climbs its rungs
# While a search runs, its files take at most this share of the time, beyond so many seconds.
SHARE, FREE_SECONDS = 0.01, 0.5

Row = Mapping[str, Any]
Views = tuple[Sequence[Row], Sequence[tuple[Row, GenomeFile]]]


class WritingTime:
    """The time that a running search may spend on files of one kind."""

    def __init__(self) -> None:
        self._started, self._spent = time.monotonic(), 0.0

    def spend(self, write: Callable[[], object]) -> None:
        """Write, unless what was written before has taken the share."""
        start = time.monotonic()
        if self._spent < FREE_SECONDS + SHARE * (start - self._started):
            write()
            self._spent += time.monotonic() - start


class RunFolder:
    """The files of one run; rows are mappings by column."""

    def __init__(self, path: Path, metrics: Sequence[str]) -> None:
        """Create the folder, or go on in it.

        Args:
            path: the folder.
            metrics: names of the measured objectives, in the order of their columns.

        Raises:
            UserError: when it cannot be written.
        """
        self.path, self.columns = path, columns(metrics)
        with writing(path):
            self._genomes = GenomeFiles(path / GENOMES, path / POPULATION)
            self._lines_before = _count_lines(path / POPULATION)
        self._ranked, self._unranked = self._csv([]), ""
        self._time = WritingTime()

    def _csv(self, rows: Iterable[Row], header: bool = True, also: Sequence[str] = ()) -> str:
        """Rows as lines of text; metrics that were not measured are empty. also: more columns."""
        return csv_text((*self.columns, *also), rows, header)

    def append(self, row: Row) -> None:
        """Add one finished candidate to `population.csv`; its rank follows at the generation's end.

        Where candidates finish faster than the file can be written, the line follows with a later
        one.
        """
        self._unranked += self._csv([row], header=False)
        self._time.spend(self._write_population)

    def update_views(self, view: Callable[[], Views]) -> None:
        """`write_views` of what `view` gives, unless generations pass faster than files."""
        self._time.spend(lambda: self.write_views(*view()))

    def _write_population(self) -> bool:
        """Write it unless it would be shorter than before: a resumed run first catches up."""
        text = self._ranked + self._unranked
        if text.count("\n") < self._lines_before:
            return False
        with writing(self.path):
            files.write_text(self.path / POPULATION, text)
        return True

    def write_views(
        self, rows: Iterable[Row], front: Sequence[tuple[Row, GenomeFile]], is_whole: bool = False
    ) -> None:
        """Write both CSVs, and the genome files of the front.

        A resumed run leaves them as they are until it has caught up with them.

        Args:
            rows: of all candidates, with their ranks over the whole run.
            front: rows of the front and the content of their genome files.
            is_whole: the run has come to its end, with fewer candidates than before perhaps.

        Raises:
            UserError: when they cannot be written.
        """
        self._ranked, self._unranked = self._csv(rows), ""
        if is_whole:
            self._lines_before = 0
        if not self._write_population():
            return
        with writing(self.path):
            validated = validated_ids(self.path)
            marked = [
                {**row, COLUMN: mark(str(row.get("genome_id")), validated)} for row, _ in front
            ]
            files.write_text(self.path / PARETO, self._csv(marked, also=[COLUMN]))
            self._genomes.write(content for _, content in front)


def _count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0
