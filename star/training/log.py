"""The log of a training: one CSV row a step and, where TensorBoard is installed, its event
files."""

import csv
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from star.base import files
from star.base.errors import UserError, plain
from star.base.files import writing

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
            "tensorboard=always: TensorBoard is not installed; pip install tensorboard"
        ) from None
    return SummaryWriter(str(folder / EVENTS), purge_step=step + 1)


class TrainingLog:
    """Rows of `log.csv`; after an interruption it goes on behind the row of the step that training
    resumes from."""

    def __init__(self, folder: Path, step: int, tensorboard: str) -> None:
        """Keep the rows up to `step`.

        Raises `UserError` when TensorBoard is demanded but missing, for a log that cannot be read,
        and for a folder that cannot be written.
        """
        self._folder, self.path = folder, folder / LOG
        kept = self._rows(step) if step else []
        lines = [",".join(COLUMNS), *(",".join(row[column] for column in COLUMNS) for row in kept)]
        self._seconds = float(kept[-1]["seconds"]) if kept else 0.0
        with writing(folder):
            self._events = _event_writer(folder, step, tensorboard)
            files.write_text(self.path, "\n".join(lines) + "\n")
            self._stream = self.path.open("ab", buffering=0)

    def _rows(self, step: int) -> list[dict[str, str]]:
        """The rows of the file up to a step; a last one that is cut is left out."""
        if not self.path.exists():
            return []
        try:
            text = self.path.read_text(encoding="utf-8")
            lines = text[: text.rfind("\n") + 1].splitlines()
            rows = [row for row in csv.DictReader(lines) if None not in row.values()]
            kept = [row for row in rows if int(row["step"]) <= step]
            if kept:
                float(kept[-1]["seconds"])
            return kept
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            raise UserError(
                f"{self.path}: not readable as the log of a training ({plain(error)}); move it "
                "away to go on with a new one"
            ) from None

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count what happens within it as training time, the column `seconds`."""
        start = time.perf_counter()
        yield
        self._seconds += time.perf_counter() - start

    def write(self, **values: float | None) -> None:
        """Add one row, at once on disk; columns that were not measured stay empty.

        Raises `UserError` when it cannot be written; the rows before it stay whole.
        """
        values["seconds"] = round(self._seconds, 3)
        row = ["" if values.get(name) is None else str(values[name]) for name in COLUMNS]
        with writing(self._folder):
            self._append(f"{','.join(row)}\n".encode())
        if self._events is not None:
            for name in set(values) - {"step"}:
                if values[name] is not None:
                    self._events.add_scalar(name, values[name], values["step"])

    def _append(self, line: bytes) -> None:
        """Write all of a line or, on a full disk, nothing of it."""
        before, rest = self._stream.tell(), memoryview(line)
        try:
            while rest:
                rest = rest[self._stream.write(rest) :]
        except OSError:
            with suppress(OSError):
                self._stream.truncate(before)
            raise

    def __enter__(self) -> "TrainingLog":
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()
        if self._events is not None:
            with writing(self._folder):
                self._events.close()
