"""The ledger: every finished evaluation, one row each, in an SQLite database that only grows.

A row is keyed by canonical genome, recipe, seed and run, so that the same command finds what it has
already paid for. In WAL mode a killed process loses at most the row it was writing. Nothing is ever
overwritten: a genome that several runs had to train has a row of each.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from star.base.errors import UserError
from star.evaluation.failures import CIRCUMSTANTIAL
from star.evaluation.recipe import recipe_id
from star.evaluation.result import Evaluation
from star.genomes import current_id, former_id

APPLICATION_ID = 0x53544152  # "STAR", in the header of the file
SCHEMA_VERSION = 2
LOCK_SECONDS = 30.0

_SCHEMA = (
    """CREATE TABLE recipe (
    id TEXT PRIMARY KEY,
    content TEXT NOT NULL          -- JSON: everything that can change a result
) WITHOUT ROWID""",
    """CREATE TABLE evaluation (
    genome_id TEXT NOT NULL,       -- of the canonical genome
    recipe TEXT NOT NULL REFERENCES recipe (id),
    seed INTEGER NOT NULL,
    genome TEXT NOT NULL,
    alphabet TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    metrics TEXT NOT NULL,         -- JSON
    train_seconds REAL NOT NULL,
    peak_bytes INTEGER NOT NULL,   -- of the worker, on its device
    device TEXT NOT NULL,
    finished TEXT NOT NULL,        -- UTC
    run TEXT NOT NULL,
    generation INTEGER NOT NULL,
    origin TEXT NOT NULL,
    parents TEXT NOT NULL,         -- genome ids with spaces between
    variation TEXT NOT NULL,       -- JSON: cuts, mutated genes, repairs
    PRIMARY KEY (genome_id, recipe, seed, run)
)""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)

# `IS NOT` is 0 for rows of the run itself, which so come first; without a run it is 1 for all.
_LOOK_UP = """SELECT * FROM evaluation WHERE genome_id IN (?, ?) AND recipe = ? AND seed = ?
ORDER BY run IS NOT ?, finished, run"""


@dataclass(frozen=True)
class Record:
    """An evaluation with where its genome came from."""

    genome_id: str
    genome: str  # as text
    alphabet: str
    seed: int
    evaluation: Evaluation
    run: str = ""
    generation: int = 0
    origin: str = ""
    parents: tuple[str, ...] = ()  # genome ids
    variation: Mapping[str, Any] = field(default_factory=dict)  # what made it of them
    finished: str = ""  # UTC, ISO 8601


class Ledger:
    """An open ledger; use it as a context manager. One process writes, others may read."""

    def __init__(self, path: Path) -> None:
        """Open the database, or make it.

        Raises `UserError` for a file that is not a ledger, is damaged, locked, of a newer version
        or not writable.
        """
        self.path = path
        with self._errors():
            # Without an isolation level every statement is a transaction of its own.
            self._connection = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)
            self._connection.row_factory = sqlite3.Row
            if self._is_empty():
                self._make_tables()
            self._check()
            self._connection.execute("PRAGMA journal_mode = WAL")
            # A row costs a flush to disk, and survives a power failure.
            self._connection.execute("PRAGMA synchronous = FULL")

    def _is_empty(self) -> bool:
        """Whether the file is new; asked of SQLite, which first takes back what a killed process
        began."""
        return self._pragma("application_id") == 0 and self._pragma("schema_version") == 0

    def _make_tables(self) -> None:
        """All tables or none, by one of the processes that try at the same time."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")  # waits for whoever is making them
            if self._is_empty():  # asked again: another process may have been first
                for statement in _SCHEMA:
                    self._connection.execute(statement)

    def _check(self) -> None:
        application, version = (self._pragma(name) for name in ("application_id", "user_version"))
        if application != APPLICATION_ID:
            raise UserError(
                f"ledger {self.path}: belongs to another program; choose another file, this one is "
                f"kept as it is"
            )
        if version != SCHEMA_VERSION:
            remedy = "upgrade STAR" if version > SCHEMA_VERSION else "choose another file"
            raise UserError(
                f"ledger {self.path}: of version {version}, this program reads {SCHEMA_VERSION}; "
                f"{remedy}"
            )
        damage = self._pragma("quick_check(1)")
        if damage != "ok":
            raise UserError(
                f"ledger {self.path}: damaged ({damage}); recover it with sqlite3 '.recover', or "
                f"move it away"
            )

    def _pragma(self, name: str) -> Any:
        return self._connection.execute(f"PRAGMA {name}").fetchone()[0]

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """What SQLite finds wrong, as one line that names the file."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise UserError(f"ledger {self.path}: {error}; it is kept as it is") from None

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def add_recipe(self, content: Mapping[str, Any]) -> str:
        """Keep a recipe; returns its id."""
        identity = recipe_id(content)
        with self._errors():
            self._connection.execute(
                "INSERT OR IGNORE INTO recipe VALUES (?, ?)",
                (identity, json.dumps(content, sort_keys=True)),
            )
        return identity

    def recipes(self) -> dict[str, dict[str, Any]]:
        """Contents of all recipes by id."""
        with self._errors():
            return {
                row["id"]: json.loads(row["content"])
                for row in self._connection.execute("SELECT * FROM recipe")
            }

    def add(self, record: Record, recipe: str) -> None:
        """Append a finished evaluation; one that the run has there already stays."""
        evaluation = record.evaluation
        row = {
            "genome_id": record.genome_id,
            "recipe": recipe,
            "seed": record.seed,
            "genome": record.genome,
            "alphabet": record.alphabet,
            "status": evaluation.status,
            "reason": evaluation.reason,
            "metrics": json.dumps(dict(evaluation.metrics)),
            "train_seconds": evaluation.train_seconds,
            "peak_bytes": evaluation.peak_bytes,
            "device": evaluation.device,
            "finished": record.finished,
            "run": record.run,
            "generation": record.generation,
            "origin": record.origin,
            "parents": " ".join(record.parents),
            "variation": json.dumps(record.variation),
        }
        names, values = ", ".join(row), ", ".join("?" * len(row))
        with self._errors():
            self._connection.execute(
                f"INSERT OR IGNORE INTO evaluation ({names}) VALUES ({values})", tuple(row.values())
            )

    def get(
        self, genome_id: str, recipe: str, seed: int, run: str | None = None
    ) -> Evaluation | None:
        """The evaluation of a genome under a recipe and seed, if it is there.

        The run's own comes first, so that its replay is exact, then the earliest of another run;
        but the failures in `CIRCUMSTANTIAL` hold for their own run only. Without a run, any
        evaluation counts.
        """
        wanted = (current_id(genome_id), former_id(genome_id), recipe, seed, run)
        with self._errors():
            rows = self._connection.execute(_LOOK_UP, wanted).fetchall()
        found = ((row["run"], _evaluation(row)) for row in rows)
        return next(
            (e for owner, e in found if run in (None, owner) or e.failure not in CIRCUMSTANTIAL),
            None,
        )

    def records(self, recipe: str) -> Iterator[Record]:
        """All evaluations under a recipe, in order of finishing."""
        with self._errors():
            rows = self._connection.execute(
                "SELECT * FROM evaluation WHERE recipe = ? ORDER BY finished", (recipe,)
            )
            for row in rows:
                yield Record(
                    genome_id=current_id(row["genome_id"]),
                    genome=row["genome"],
                    alphabet=row["alphabet"],
                    seed=row["seed"],
                    evaluation=_evaluation(row),
                    run=row["run"],
                    generation=row["generation"],
                    origin=row["origin"],
                    parents=tuple(map(current_id, row["parents"].split())),
                    variation=json.loads(row["variation"]),
                    finished=row["finished"],
                )

    def __len__(self) -> int:
        with self._errors():
            return self._connection.execute("SELECT count(*) FROM evaluation").fetchone()[0]


def _evaluation(row: sqlite3.Row) -> Evaluation:
    return Evaluation(
        status=row["status"],
        reason=row["reason"],
        metrics=json.loads(row["metrics"]),
        train_seconds=row["train_seconds"],
        peak_bytes=row["peak_bytes"],
        device=row["device"],
    )
