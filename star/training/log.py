"""The log of a training: one CSV row a step, which loggers may be told too."""

import csv
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from star.base import files
from star.base.errors import UserError, plain
from star.base.files import writing
from star.base.imports import expect_installed, is_installed
from star.base.loggers import EVENTS, LoggedRun, Loggers, check_loggers

LOG = "log.csv"
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


def chosen_loggers(loggers: Sequence[str], tensorboard: str) -> list[str]:
    """The loggers of a training: those named, and TensorBoard's events as the setting has it.

    Raises `UserError` for one that is unknown or not installed.
    """
    check_loggers(loggers)
    if tensorboard == "always":
        expect_installed("tensorboard=always", EVENTS)
    is_added = tensorboard == "always" or (tensorboard == "auto" and is_installed(EVENTS))
    return list(dict.fromkeys((*loggers, *([EVENTS] if is_added else []))))


class TrainingLog:
    """Rows of `log.csv`; after an interruption it goes on behind the row of the step that training
    resumes from."""

    def __init__(
        self,
        folder: Path,
        step: int,
        loggers: Sequence[str] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Keep the rows up to `step`.

        Args:
            folder: of the training.
            step: that it goes on after.
            loggers: which get the rows too, see `chosen_loggers`.
            settings: of the training, for them.

        Raises:
            UserError: for a log that cannot be read, a folder that cannot be written, and a logger
                that cannot be started.
        """
        self._folder, self.path = folder, folder / LOG
        kept = self._rows(step) if step else []
        lines = [",".join(COLUMNS), *(",".join(row[column] for column in COLUMNS) for row in kept)]
        self._seconds = float(kept[-1]["seconds"]) if kept else 0.0
        with writing(folder):
            files.write_text(self.path, "\n".join(lines) + "\n")
            self._stream = self.path.open("ab", buffering=0)
            self._loggers = Loggers(loggers, LoggedRun(folder, step, settings or {}))

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
        told = {name: value for name, value in values.items() if name != "step"}
        self._loggers.log(int(values["step"] or 0), told)

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
        self._loggers.close()
