"""The run folder of a search: its CSVs and the genomes of the front.

Whole files are written to a temporary name and moved into place; `population.csv` also grows by a line whenever a
candidate finishes. They are views: the ledger beside them holds what a resumed run starts from.
"""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from star import atomic
from star.errors import UserError
from star.genomes import GenomeFile, genome_file_text
from star.search.archive import Archive
from star.search.candidates import COLUMNS, Evaluated

POPULATION, PARETO, LEDGER = "population.csv", "pareto.csv", "ledger.sqlite"


class RunFolder:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        """Create the folder, or go on in it. Raises `UserError` when it cannot be written or holds something else."""
        self.path = path
        if (path / POPULATION).exists() and not (path / LEDGER).exists():
            raise UserError(f"run_dir={path}: holds {POPULATION} without a ledger to go on from; choose another folder")
        try:
            (path / "genomes").mkdir(parents=True, exist_ok=True)
            self._write_rows(path / POPULATION, [])
        except OSError as error:
            raise UserError(
                f"run_dir={path}: cannot be written ({error.strerror}); choose a folder you may write to"
            ) from None

    def _write_rows(self, path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
        atomic.write_text(path, pd.DataFrame(list(rows), columns=list(COLUMNS)).to_csv(index=False))

    def append(self, evaluated: Evaluated) -> None:
        """Add one finished candidate to `population.csv`; its rank follows at the generation's end."""
        with (self.path / POPULATION).open("a", newline="", encoding="utf-8") as stream:
            csv.DictWriter(stream, COLUMNS, lineterminator="\n").writerow(evaluated.row())

    def write_views(self, archive: Archive) -> None:
        """Rewrite both CSVs with ranks over the whole run, and the genome files of the front."""
        ranks, front = archive.ranks(), archive.front()
        rows = [evaluated.row(ranks.get(evaluated.genome_id)) for evaluated in archive.all]
        self._write_rows(self.path / POPULATION, rows)
        self._write_rows(self.path / PARETO, [evaluated.row(0) for evaluated in front])
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
