"""The run folder of a search: its CSVs and the genomes of the front.

Every file is written under a temporary name and moved into place, so that a reader never sees half
of one. They are views: the ledger holds what a resumed run starts from.
"""

import csv
import io
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from star.base import files
from star.base.errors import UserError
from star.genomes import GenomeFile, genome_file_text
from star.runs.columns import columns
from star.runs.provenance import CONFIGURATION
from star.runs.provenance import writing as writing

POPULATION, PARETO, LEDGER, GENOMES = "population.csv", "pareto.csv", "ledger.sqlite", "genomes"
STATES = "states"  # training states, there while a generation climbs its rungs
# While a search runs, its files take at most this share of the time, beyond so many seconds.
SHARE, FREE_SECONDS = 0.01, 0.5

Row = Mapping[str, Any]
Views = tuple[Sequence[Row], Sequence[tuple[Row, GenomeFile]]]


def check_foreign(path: Path) -> None:
    """Raise `UserError` for a folder with results that no run of this program left.

    A run leaves its configuration or its ledger first and its CSVs last, so that one killed at any
    instant is known as a run.
    """
    known = (path / LEDGER).exists() or (path / CONFIGURATION).exists()
    if (path / POPULATION).exists() and not known:
        raise UserError(
            f"run_dir={path}: holds {POPULATION} without a ledger to go on from, and no "
            f"{CONFIGURATION}; choose another folder"
        )


class RunFolder:
    """The files of one run; rows are mappings by column."""

    def __init__(self, path: Path, metrics: Sequence[str]) -> None:
        """Create the folder, or go on in it.

        Args:
            path: the folder.
            metrics: names of the measured objectives, in the order of their columns.

        Raises:
            UserError: when it cannot be written or holds something else.
        """
        self.path, self.columns = path, columns(metrics)
        check_foreign(path)
        with writing(path):
            (path / GENOMES).mkdir(parents=True, exist_ok=True)
        self._ranked, self._unranked = self._csv([]), ""
        self._started, self._writing_seconds = time.monotonic(), 0.0

    def _csv(self, rows: Iterable[Row], header: bool = True) -> str:
        """Rows as lines of text; metrics that were not measured are empty."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n", extrasaction="ignore")
        if header:
            writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()

    def append(self, row: Row) -> None:
        """Add one finished candidate to `population.csv`; its rank follows at the generation's end.

        Where candidates finish faster than the file can be written, the line follows with a later
        one.
        """
        self._unranked += self._csv([row], header=False)
        self._write_in_time(self._write_population)

    def update_views(self, view: Callable[[], Views]) -> None:
        """`write_views` of what `view` gives, unless generations pass faster than files."""
        self._write_in_time(lambda: self.write_views(*view()))

    def _write_in_time(self, write: Callable[[], None]) -> None:
        start = time.monotonic()
        if self._writing_seconds < FREE_SECONDS + SHARE * (start - self._started):
            write()
            self._writing_seconds += time.monotonic() - start

    def _write_population(self) -> None:
        files.write_text(self.path / POPULATION, self._ranked + self._unranked)

    def write_views(self, rows: Iterable[Row], front: Sequence[tuple[Row, GenomeFile]]) -> None:
        """Write both CSVs, and the genome files of the front.

        Args:
            rows: of all candidates, with their ranks over the whole run.
            front: rows of the front and the content of their genome files.
        """
        self._ranked, self._unranked = self._csv(rows), ""
        self._write_population()
        files.write_text(self.path / PARETO, self._csv(row for row, _ in front))
        wanted = {f"{content.name}.yaml": content for _, content in front}
        for name, content in wanted.items():
            if not (self.path / GENOMES / name).exists():
                files.write_text(self.path / GENOMES / name, genome_file_text(content))
        for path in (self.path / GENOMES).glob("*.yaml"):
            if path.name not in wanted:
                path.unlink()
