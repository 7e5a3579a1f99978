"""The ledger: every finished evaluation, one row each, in an SQLite database that only grows.

A row is keyed by canonical genome, recipe, seed and run, so that the same command finds what it has
already paid for. In WAL mode a killed process loses at most the row it was writing. No run takes
the row of another: a genome that several had to train has a row of each.

A row has a checksum; one that it does not fit, or without one whose values cannot be, answers
nobody. It gives way when its run trains the genome again, and so do failures of circumstance or of
code that is mended, and results that lack a quantity.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from star.base.errors import UserError
from star.evaluation.failures import BUILD_ERROR, is_circumstantial
from star.evaluation.recipe import recipe_id
from star.evaluation.result import INFEASIBLE, OK, STOPPED, Evaluation, is_finite
from star.genomes import current_id, former_id

APPLICATION_ID = 0x53544152  # "STAR", in the header of the file
SCHEMA_VERSION = 3
READABLE = (2, SCHEMA_VERSION)  # 2 had no checksums
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
    checksum TEXT,                 -- of the row; NULL in those that version 2 wrote
    PRIMARY KEY (genome_id, recipe, seed, run)
)""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)

# Made where it is needed: ledgers of before, and of other algorithms, have none.
_PROPOSALS = """CREATE TABLE IF NOT EXISTS proposal (
    recipe TEXT NOT NULL,
    seed INTEGER NOT NULL,
    run TEXT NOT NULL,
    generation INTEGER NOT NULL,
    content TEXT NOT NULL,         -- JSON: genes, parents and variation of each proposal
    checksum TEXT NOT NULL,
    PRIMARY KEY (recipe, seed, run, generation)
)"""

_PROPOSED = """SELECT content, checksum FROM proposal
WHERE recipe = ? AND seed = ? AND run = ? AND generation = ?"""

# `IS NOT` is 0 for rows of the run itself, which so come first; without a run it is 1 for all.
_LOOK_UP = """SELECT * FROM evaluation WHERE genome_id IN (?, ?) AND recipe = ? AND seed = ?
ORDER BY run IS NOT ?, finished, run"""

_OWN = "SELECT * FROM evaluation WHERE genome_id = ? AND recipe = ? AND seed = ? AND run = ?"

# Columns that a row is known by; the others are values, with the types that SQLite gives them.
_KEY = ("genome_id", "recipe", "seed", "run")
_NUMBERS = ("train_seconds", "peak_bytes", "generation")
_TEXTS = ("genome", "alphabet", "status", "reason", "metrics", "device", "finished", "origin")
_COLUMNS = (*_KEY, *_NUMBERS, *_TEXTS, "parents", "variation", "checksum")


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
            # Bytes that are no text are the matter of a row's checksum, not of the whole file.
            self._connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
            if self._is_empty():
                self._make_tables()
            self._check()
            self._add_columns()
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
        if version not in READABLE:
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

    def _add_columns(self) -> None:
        """Bring the table to this version: what it lacks is empty in every row.

        By version 2 that is the checksum. Whatever else it lacks was lost, and the rows with it.
        """
        if self._pragma("user_version") == SCHEMA_VERSION and not self._missing():
            return
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            for column in self._missing():  # asked again: another process may have been first
                self._connection.execute(f"ALTER TABLE evaluation ADD COLUMN {column}")
            self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _missing(self) -> list[str]:
        there = {row["name"] for row in self._connection.execute("PRAGMA table_info(evaluation)")}
        return [column for column in _COLUMNS if column not in there]

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
        """Keep a recipe; returns its id. A damaged content is put right, since the id tells it."""
        identity = recipe_id(content)
        with self._errors():
            self._connection.execute(
                "INSERT INTO recipe VALUES (?, ?) ON CONFLICT (id) DO UPDATE "
                "SET content = excluded.content WHERE content IS NOT excluded.content",
                (identity, json.dumps(content, sort_keys=True)),
            )
        return identity

    def recipes(self) -> dict[str, dict[str, Any]]:
        """Contents of all recipes by id, empty where they are damaged."""
        with self._errors():
            rows = self._connection.execute("SELECT id, content FROM recipe").fetchall()
        return {row["id"]: _recipe(row) for row in rows}

    def add(self, record: Record, recipe: str) -> None:
        """Append a finished evaluation.

        One that the run has there already stays, unless it answers nobody (`get`), lacks a quantity
        that was measured now, or is an error of code that is mended.
        """
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
            "train_seconds": float(evaluation.train_seconds),  # as they are read again
            "peak_bytes": int(evaluation.peak_bytes),
            "device": evaluation.device,
            "finished": record.finished,
            "run": _storable(record.run),
            "generation": record.generation,
            "origin": record.origin,
            "parents": " ".join(record.parents),
            "variation": json.dumps(record.variation),
        }
        row["checksum"] = _checksum(row)
        with self._errors():
            if self._insert("IGNORE", row):
                return
            key = [row[column] for column in _KEY]
            there = self._connection.execute(_OWN, key).fetchone()
            if there is None or _gives_way(_answer(there), evaluation):
                self._insert("REPLACE", row)

    def _insert(self, otherwise: str, row: Mapping[str, Any]) -> bool:
        """Whether the row was inserted. otherwise: what to do where its key is there."""
        names, values = ", ".join(row), ", ".join("?" * len(row))
        statement = f"INSERT OR {otherwise} INTO evaluation ({names}) VALUES ({values})"
        return self._connection.execute(statement, tuple(row.values())).rowcount > 0

    def get(
        self, genome_id: str, recipe: str, seed: int, run: str | None = None
    ) -> Evaluation | None:
        """The evaluation of a genome under a recipe and seed, if it is there.

        The run's own comes first, so that its replay is exact, then the earliest of another run.
        Damaged rows and failures of circumstance answer nobody: it is to be trained again.
        """
        owner = None if run is None else _storable(run)
        wanted = (current_id(genome_id), former_id(genome_id), recipe, seed, owner)
        with self._errors():
            rows = self._connection.execute(_LOOK_UP, wanted).fetchall()
        return next((e for e in map(_answer, rows) if e is not None), None)

    def damaged(self, recipes: Sequence[str], needed: Set[str] = frozenset()) -> list[str]:
        """Ids of the genomes whose rows under these recipes are damaged, sorted.

        needed: names of the objectives that a measured one must have.
        """
        marks = ", ".join("?" * len(recipes))
        select = f"SELECT * FROM evaluation WHERE recipe IN ({marks})"
        with self._errors():
            rows = self._connection.execute(select, tuple(recipes))
            return sorted({str(row["genome_id"]) for row in rows if not _is_whole(row, needed)})

    def records(self, recipe: str) -> Iterator[Record]:
        """All evaluations under a recipe that are whole, in order of finishing."""
        with self._errors():
            rows = self._connection.execute(
                "SELECT * FROM evaluation WHERE recipe = ? ORDER BY finished", (recipe,)
            )
            for row in rows:
                evaluation = _evaluation(row)
                if evaluation is None:
                    continue
                yield Record(
                    genome_id=current_id(row["genome_id"]),
                    genome=row["genome"],
                    alphabet=row["alphabet"],
                    seed=row["seed"],
                    evaluation=evaluation,
                    run=row["run"],
                    generation=row["generation"],
                    origin=row["origin"],
                    parents=tuple(map(current_id, row["parents"].split())),
                    variation=json.loads(row["variation"]),
                    finished=row["finished"],
                )

    def propose(self, recipe: str, seed: int, run: str, generation: int, content: str) -> None:
        """Keep what an algorithm proposes in a generation, before any of it is evaluated.

        Args:
            recipe: of the evaluations and of the algorithm's settings.
            seed: of the search.
            run: its name.
            generation: from 0.
            content: JSON.
        """
        row = (recipe, seed, _storable(run), generation, content)
        with self._errors():
            self._connection.execute(_PROPOSALS)
            self._connection.execute(
                "INSERT OR REPLACE INTO proposal VALUES (?, ?, ?, ?, ?, ?)", (*row, _digest(row))
            )

    def proposed(self, recipe: str, seed: int, run: str, generation: int) -> str | None:
        """What `propose` kept; None where there is nothing, or it is damaged."""
        key = (recipe, seed, _storable(run), generation)
        with self._errors():
            self._connection.execute(_PROPOSALS)
            found = self._connection.execute(_PROPOSED, key).fetchone()
        if found is None or found["checksum"] != _digest((*key, found["content"])):
            return None
        return found["content"]

    def __len__(self) -> int:
        with self._errors():
            return self._connection.execute("SELECT count(*) FROM evaluation").fetchone()[0]


def _answer(row: sqlite3.Row) -> Evaluation | None:
    """A row's evaluation, unless it is damaged or a failure of circumstance."""
    evaluation = _evaluation(row)
    return None if evaluation is None or is_circumstantial(evaluation) else evaluation


def _gives_way(there: Evaluation | None, evaluation: Evaluation) -> bool:
    """Whether what is there answers nobody, lacks a quantity that is measured now, or is an error
    of code that has been mended since."""
    if there is None or not evaluation.measured:
        return there is None
    lacks = not evaluation.metrics.keys() <= there.metrics.keys()
    return lacks if there.measured else there.failure == BUILD_ERROR


def _is_whole(row: sqlite3.Row, needed: Set[str]) -> bool:
    evaluation = _evaluation(row)
    return evaluation is not None and (
        not evaluation.measured or needed <= evaluation.metrics.keys()
    )


def _evaluation(row: sqlite3.Row) -> Evaluation | None:
    """A row's evaluation, or None when it is damaged."""
    values = dict(row)
    if values["checksum"] is not None and values["checksum"] != _checksum(values):
        return None
    metrics, variation = (_mapping(values[column]) for column in ("metrics", "variation"))
    whole = (
        metrics is not None
        and variation is not None
        and values["status"] in (OK, STOPPED, INFEASIBLE)
        and bool(values["reason"] if values["status"] == INFEASIBLE else metrics)
        and all(isinstance(values[column], str) for column in (*_TEXTS, "parents"))
        and all(map(is_finite, (*metrics.values(), *(values[column] for column in _NUMBERS))))
    )
    if not whole or metrics is None:
        return None
    return Evaluation(
        status=values["status"],
        reason=values["reason"],
        metrics=metrics,
        train_seconds=values["train_seconds"],
        peak_bytes=values["peak_bytes"],
        device=values["device"],
    )


def _storable(path: str) -> str:
    """A folder's name; bytes of it that are no UTF-8 are written `\\udcff`."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def _recipe(row: sqlite3.Row) -> dict[str, Any]:
    content = _mapping(row["content"])
    return content if content is not None and recipe_id(content) == row["id"] else {}


def _mapping(text: Any) -> dict[str, Any] | None:
    """What a column of JSON holds, or None for what is no mapping."""
    try:
        content = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _checksum(row: Mapping[str, Any]) -> str:
    """Of a row by column, without its own."""
    return _digest([row[column] for column in _COLUMNS if column != "checksum"])


def _digest(values: Sequence[Any]) -> str:
    """16 hexadecimal digits that change with any of the values."""
    text = "\n".join(map(repr, values)).encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest()[:16]
