"""The run folder of a search: its CSVs and the genomes of the front.

Every file is written under a temporary name and moved into place, so that a reader never sees half
of one. They are views: the ledger holds what a resumed run starts from.
"""

import csv
import io
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from star.base import atomic
from star.base.errors import UserError
from star.genomes import GenomeFile, genome_file_text
from star.runs.provenance import CONFIGURATION, writing
from star.search.archive import Archive
from star.search.candidates import COLUMNS, Evaluated

POPULATION, PARETO, LEDGER = "population.csv", "pareto.csv", "ledger.sqlite"
# While a search runs, its files take at most this share of the time, beyond so many seconds.
SHARE, FREE_SECONDS = 0.01, 0.5


def _csv(rows: Iterable[Mapping[str, Any]], header: bool = True) -> str:
    """Rows as lines of text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


class RunFolder:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        """Create the folder, or go on in it. Raises `UserError` when it cannot be written or holds
        something else.

        A run leaves its configuration first, its ledger next and its CSVs last, so that one killed
        at any instant is known as a run.
        """
        self.path = path
        if (path / POPULATION).exists() and not (
            (path / LEDGER).exists() or (path / CONFIGURATION).exists()
        ):
            raise UserError(
                f"run_dir={path}: holds {POPULATION} without a ledger to go on from, and no "
                f"{CONFIGURATION}; "
                "choose another folder"
            )
        with writing(path):
            (path / "genomes").mkdir(parents=True, exist_ok=True)
        self._ranked, self._unranked = _csv([]), ""
        self._started, self._writing_seconds = time.monotonic(), 0.0

    def append(self, evaluated: Evaluated) -> None:
        """Add one finished candidate to `population.csv`; its rank follows at the generation's end.

        Where candidates finish faster than the file can be written, the line follows with a later
        one.
        """
        self._unranked += _csv([evaluated.row()], header=False)
        self._write_in_time(self._write_population)

    def update_views(self, archive: Archive) -> None:
        """`write_views` at a generation's end, unless generations pass faster than the files can be
        written."""
        self._write_in_time(lambda: self.write_views(archive))

    def _write_in_time(self, write: Callable[[], None]) -> None:
        start = time.monotonic()
        if self._writing_seconds < FREE_SECONDS + SHARE * (start - self._started):
            write()
            self._writing_seconds += time.monotonic() - start

    def _write_population(self) -> None:
        atomic.write_text(self.path / POPULATION, self._ranked + self._unranked)

    def write_views(self, archive: Archive) -> None:
        """Write both CSVs with ranks over the whole run, and the genome files of the front."""
        ranks, front = archive.ranks(), archive.front()
        self._ranked = _csv(
            evaluated.row(ranks.get(evaluated.genome_id)) for evaluated in archive.all
        )
        self._unranked = ""
        self._write_population()
        atomic.write_text(self.path / PARETO, _csv(evaluated.row(0) for evaluated in front))
        wanted = {f"{evaluated.genome_id}.yaml": evaluated for evaluated in front}
        for name, evaluated in wanted.items():
            if not (self.path / "genomes" / name).exists():
                self._write_genome(self.path / "genomes" / name, evaluated)
        for path in (self.path / "genomes").glob("*.yaml"):
            if path.name not in wanted:
                path.unlink()

    def _write_genome(self, path: Path, evaluated: Evaluated) -> None:
        content = GenomeFile(
            name=evaluated.genome_id,
            genome=evaluated.candidate.genome,
            notes=f"{evaluated.candidate.origin} of generation {evaluated.candidate.generation}",
            metrics=dict(evaluated.evaluation.metrics),
            parents=list(evaluated.candidate.parents),
        )
        atomic.write_text(path, genome_file_text(content))
