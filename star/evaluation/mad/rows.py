"""Finished runs as rows of a CSV file, from which an interrupted evaluation goes on."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from star.base.csv_files import csv_text
from star.base.errors import UserError, plain
from star.base.files import write_text
from star.base.reading import is_file, read_text
from star.evaluation.mad.settings import GENERATORS, Setting
from star.evaluation.mad.training import Outcome, Run

COLUMNS = (
    *("name", "genome_id", "width", "task", "vocabulary", "length", "examples", "copied"),
    *("noise_fraction", "learning_rate", "weight_decay", "seed", "steps", "diverged"),
    *("validation_accuracy", "test_accuracy", "test_macro_accuracy", "seconds"),
)


@dataclass(frozen=True)
class Row:
    """One finished run of one genome."""

    name: str  # of the genome
    genome_id: str
    width: int  # of the model
    outcome: Outcome

    @property
    def key(self) -> tuple[str, int, Run]:
        """What no two rows have in common."""
        return self.genome_id, self.width, self.outcome.run


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write all rows, the whole file or nothing. Raises OSError as the system does."""
    write_text(path, csv_text(COLUMNS, map(_cells, rows)))


def _cells(row: Row) -> dict[str, Any]:
    """What it holds, by column."""
    outcome, run = row.outcome, row.outcome.run
    return {**vars(row), **vars(outcome), **vars(run), **vars(run.setting)}


def read_rows(path: Path) -> list[Row]:
    """The rows of a file, none where there is no file. Raises `UserError` for another file."""
    if not is_file(path):
        return []
    try:
        reader = csv.DictReader(io.StringIO(read_text(path)))
        if not set(COLUMNS) <= set(reader.fieldnames or ()):
            raise ValueError(f"columns {reader.fieldnames}")
        return [_row(cells) for cells in reader]
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(
            f"{path}: not readable as runs of star.mad ({plain(repr(error))}); move it away, or "
            "choose another run_dir"
        ) from None


def _row(cells: dict[str, str]) -> Row:
    task = cells["task"]
    sizes = (int(cells[name]) for name in ("vocabulary", "length", "examples"))
    copied = int(cells["copied"]) if cells["copied"] else None
    noise = float(cells["noise_fraction"]) if cells["noise_fraction"] else None
    setting = Setting(task, *sizes, copied=copied, noise_fraction=noise)
    if task not in GENERATORS or cells["diverged"] not in ("True", "False"):
        raise ValueError(f"task {task!r}, diverged {cells['diverged']!r}")
    rates = float(cells["learning_rate"]), float(cells["weight_decay"])
    outcome = Outcome(
        Run(setting, *rates, seed=int(cells["seed"])),
        int(cells["steps"]),
        cells["diverged"] == "True",
        *(float(cells[name]) for name in COLUMNS[-4:]),
    )
    return Row(cells["name"], cells["genome_id"], int(cells["width"]), outcome)
