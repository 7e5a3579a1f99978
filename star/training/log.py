"""The log of a training: one CSV row a step and, where TensorBoard is installed, its event
files."""

import csv
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from star.base import files
from star.base.errors import UserError

LOG, EVENTS = "log.csv", "tensorboard"
COLUMNS = (
    "step",
    "tokens",
    "train_loss",
    "gradient_norm",
    "learning_rate",
    "validation_loss",
    "seconds",
)
TENSORBOARD = ("auto", "always", "never")


def _event_writer(folder: Path, step: int, wanted: str) -> Any:
    """A TensorBoard writer that hides events after `step`, or None when there shall be none."""
    if wanted == "never":
        return None
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError:
        if wanted == "auto":
            return None
        raise UserError(
            "tensorboard=always: TensorBoard is not installed; pip install "
            "'star-synthesis[tensorboard]'"
        ) from None
    return SummaryWriter(str(folder / EVENTS), purge_step=step + 1)


class TrainingLog:
    """Rows of `log.csv`; after an interruption it goes on behind the row of the step that training
    resumes from."""

    def __init__(self, folder: Path, step: int, tensorboard: str) -> None:
        """Keep the rows up to `step`. Raises `UserError` when TensorBoard is demanded but
        missing."""
        self.path = folder / LOG
        kept = [row for row in self._rows() if int(row["step"]) <= step] if step else []
        lines = [",".join(COLUMNS), *(",".join(row[column] for column in COLUMNS) for row in kept)]
        self._events = _event_writer(folder, step, tensorboard)
        files.write_text(self.path, "\n".join(lines) + "\n")
        self._seconds = float(kept[-1]["seconds"]) if kept else 0.0
        self._stream = self.path.open("a", newline="", encoding="utf-8")
        self._writer = csv.writer(self._stream, lineterminator="\n")

    def _rows(self) -> list[dict[str, str]]:
        """The whole rows of the file; a last one cut by a kill is left out."""
        if not self.path.exists():
            return []
        text = self.path.read_text(encoding="utf-8")
        lines = text[: text.rfind("\n") + 1].splitlines()
        return [
            row
            for row in csv.DictReader(lines)
            if None not in row.values() and row["step"].isdecimal()
        ]

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count what happens within it as training time, the column `seconds`."""
        start = time.perf_counter()
        yield
        self._seconds += time.perf_counter() - start

    def write(self, **values: float | None) -> None:
        """Add one row, at once on disk; columns that were not measured stay empty."""
        values["seconds"] = round(self._seconds, 3)
        self._writer.writerow([values.get(column) for column in COLUMNS])
        self._stream.flush()
        if self._events is not None:
            for name in set(values) - {"step"}:
                if values[name] is not None:
                    self._events.add_scalar(name, values[name], values["step"])

    def __enter__(self) -> "TrainingLog":
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()
        if self._events is not None:
            self._events.close()
