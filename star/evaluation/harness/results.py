"""What the harness found, kept in one file beside the checkpoint: nothing in it is overwritten."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from star.base import files
from star.base.errors import UserError, plain
from star.base.files import writing
from star.base.locks import LockedError, locked
from star.base.reading import is_file, kind_of, read_text
from star.data.config import BYTE_LEVEL

RESULTS = "harness.json"
SCHEMA = 1


@dataclass(frozen=True)
class MetricRow:
    """One number of a task, or of a group of tasks."""

    task: str
    metric: str  # as the harness calls it, with its filter where it has one
    value: float
    stderr: float | None
    chance: float | None  # what guessing gives, where that is known
    documents: int | None


@dataclass(frozen=True)
class Identity:
    """What decides the numbers of one entry of `tasks=[...]`."""

    task: str
    digest: str  # of its settings and documents
    shots: int | None
    limit: int | None
    context: int
    weights: str  # digest of the checkpoint's
    harness: str  # version
    tokenizer: str = BYTE_LEVEL  # digest of it; that of bytes in files of before it was kept


@dataclass(frozen=True)
class Measurement:
    """What was measured of one entry of `tasks=[...]`."""

    identity: Identity
    rows: Sequence[MetricRow]
    cut: int  # prompts that were longer than the context
    device: str
    seconds: float

    def content(self) -> dict[str, Any]:
        """As the file has it."""
        rows = [asdict(row) for row in self.rows]
        rest = {"cut": self.cut, "device": self.device, "seconds": round(self.seconds, 3)}
        return {**asdict(self.identity), **rest, "results": rows}

    @classmethod
    def read(cls, content: dict[str, Any]) -> "Measurement":
        """From the file. Raises KeyError or TypeError for other content."""
        kept = {"tokenizer": Identity.tokenizer, **content}
        identity = Identity(**{field.name: kept[field.name] for field in fields(Identity)})
        rows = [MetricRow(**row) for row in content["results"]]
        return cls(identity, rows, content["cut"], content["device"], content["seconds"])


class ResultsFile:
    """All measurements of a checkpoint."""

    def __init__(self, path: Path) -> None:
        """Read the file, where there is one. Raises `UserError` for one of something else."""
        self.path = path
        self.measurements: list[Measurement] = []
        what = kind_of(path)
        if what not in ("", "a file"):
            raise UserError(f"{path}: is {what}, expected a file of star.evaluate, or none")
        if not is_file(path):
            return
        try:
            content = json.loads(read_text(path))
            if content["schema"] != SCHEMA:
                raise ValueError(f"schema {content['schema']}")
            self.measurements = [Measurement.read(one) for one in content["measurements"]]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(
                f"{path}: not readable as results of star.evaluate ({plain(repr(error))}); move it "
                "away, or choose another file with to=<file>"
            ) from None

    def find(self, identity: Identity) -> Measurement | None:
        """What was measured before; None where nothing was."""
        return next((one for one in self.measurements if one.identity == identity), None)

    def add(self, measurement: Measurement) -> None:
        """Keep one more, at once on disk. Raises `UserError` where it cannot be written."""
        self.measurements.append(measurement)
        content = {
            "schema": SCHEMA,
            "measurements": [one.content() for one in self.measurements],
        }
        with writing(self.path.parent):
            files.write_text(self.path, json.dumps(content, indent=2) + "\n")


@contextmanager
def opened_results(path: Path) -> Iterator[ResultsFile]:
    """The file, while nobody else writes to it.

    Raises:
        UserError: for a file of something else, in a folder that cannot be written, or while
            another process works on it.
    """
    ResultsFile(path)  # before anything is made
    with ExitStack() as held:
        try:
            with writing(path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
                held.enter_context(locked(path.with_name(f".{path.name}.lock")))
        except LockedError as error:
            raise UserError(
                f"{path}: another process works on it ({error}); wait for its end, or choose "
                "another file with to=<file>"
            ) from None
        yield ResultsFile(path)
