"""`validated.csv`, what a validation leaves beside a run, and the mark of it in `pareto.csv`.

The numbers of `pareto.csv` are those of the search's own, short trainings. Its column `validated`
says of each design whether longer ones of it are in `validated.csv`.
"""

import csv
import io
from collections.abc import Set
from pathlib import Path

from star.base import files
from star.base.csv_files import csv_text

VALIDATED = "validated.csv"
COLUMN, NO = "validated", "no"  # of `pareto.csv`; the other value is the name of the file


def validated_ids(folder: Path) -> set[str]:
    """Ids of the genomes in a run's `validated.csv`; none where there is no such file."""
    try:
        text = (folder / VALIDATED).read_text(encoding="utf-8")
        return {row.get("genome_id", "") for row in csv.DictReader(io.StringIO(text))}
    except (OSError, ValueError, csv.Error):
        return set()


def mark(genome_id: str, validated: Set[str]) -> str:
    """What the column says of a genome. validated: as `validated_ids` gives them."""
    return VALIDATED if genome_id in validated else NO


def mark_front(folder: Path) -> None:
    """Bring the column of a run's `pareto.csv` up to date. Raises `OSError` where it cannot."""
    path, validated = folder / "pareto.csv", validated_ids(folder)
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        rows, names = list(reader), [*(reader.fieldnames or ())]
    if COLUMN not in names:  # of a run of before
        names.append(COLUMN)
    marked = ({**row, COLUMN: mark(row.get("genome_id", ""), validated)} for row in rows)
    files.write_text(path, csv_text(names, marked))
