"""Ledgers whose rows or file are damaged: a search goes on without them, and loses no CSV."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from cases.case import Case, Scratch, done, either, prepared_search
from cases.disk import same_population

COMMAND = prepared_search("run_dir=tabular")
NAN = '{"validation_loss": NaN, "cache_bytes": 1}'
# SQL on one row: column and its new value, as SQL.
VALUES: Mapping[str, tuple[str, str]] = {
    "metrics that are a text": ("metrics", "'text'"),
    "metrics of nothing": ("metrics", "''"),
    "metrics without a name": ("metrics", "'{}'"),
    "metrics that are a list": ("metrics", "'[]'"),
    "metrics that are null": ("metrics", "'null'"),
    "metrics that are a number": ("metrics", "'5'"),
    "metrics of texts": ("metrics", """'{"validation_loss": "a", "cache_bytes": "b"}'"""),
    "metrics of lists": ("metrics", """'{"validation_loss": [1], "cache_bytes": [2]}'"""),
    "metrics of true": ("metrics", """'{"validation_loss": true, "cache_bytes": true}'"""),
    "metrics of null": ("metrics", """'{"validation_loss": null, "cache_bytes": null}'"""),
    "a loss of NaN": ("metrics", f"'{NAN}'"),
    "a loss of infinity": ("metrics", f"'{NAN.replace('NaN', 'Infinity')}'"),
    "a loss of minus infinity": ("metrics", f"'{NAN.replace('NaN', '-Infinity')}'"),
    "a loss of 10^400": ("metrics", f"'{NAN.replace('NaN', '1e400')}'"),
    "a cache of 5,000 digits": ("metrics", f"'{NAN.replace('NaN', '1' * 5000)}'"),
    "metrics without the loss": ("metrics", """'{"cache_bytes": 1}'"""),
    "metrics without the cache": ("metrics", """'{"validation_loss": 1}'"""),
    "metrics of 9,000 levels": ("metrics", f"'{'[' * 9000 + ']' * 9000}'"),
    "metrics that are bytes": ("metrics", "x'00ff80'"),
    "metrics cut short": ("metrics", "substr(metrics, 1, 20)"),
    "another loss": ("metrics", "replace(metrics, '2.', '1.')"),
    "a better loss": ("metrics", """'{"validation_loss": 0.1, "cache_bytes": 0}'"""),
    "an unknown status": ("status", "'fine'"),
    "an empty status": ("status", "''"),
    "another status": ("status", "'infeasible'"),
    "seconds that are a text": ("train_seconds", "'a while'"),
    "seconds of NaN": ("train_seconds", "'NaN'"),
    "seconds of minus one": ("train_seconds", "-1"),
    "seconds that are bytes": ("train_seconds", "x'ff'"),
    "a peak that is a text": ("peak_bytes", "'much'"),
    "a seed that is a text": ("seed", "'zero'"),
    "a genome that is a text": ("genome", "'hello'"),
    "a genome of nothing": ("genome", "''"),
    "another genome": ("genome", "'11111-11111-11111'"),
    "an id of another": ("genome_id", "'abcdefabcdef'"),
    "an id of 10,000 characters": ("genome_id", f"'{'a' * 10_000}'"),
    "an alphabet that there is not": ("alphabet", "'greek'"),
    "a generation that is a text": ("generation", "'first'"),
    "a generation of minus 10^18": ("generation", "-1000000000000000000"),
    "parents of bytes": ("parents", "x'ff'"),
    "parents that there are not": ("parents", "'x y z'"),
    "a variation that is a text": ("variation", "'text'"),
    "a variation that is a list": ("variation", "'[1]'"),
    "a time that is none": ("finished", "'yesterday'"),
    "a time of bytes": ("finished", "x'ff'"),
    "an origin of another": ("origin", "'[/x]'"),
    "a reason of a megabyte": ("reason", f"'{'x' * 10**6}'"),
    "a device of two lines": ("device", "'a' || char(10) || 'b'"),
}
# SQL on the whole database, and whether a search can go on.
STATEMENTS: Mapping[str, str] = {
    "without a column": "ALTER TABLE evaluation DROP COLUMN device",
    "with a column renamed": "ALTER TABLE evaluation RENAME COLUMN metrics TO metric",
    "with one more column": "ALTER TABLE evaluation ADD COLUMN mine TEXT",
    "without the evaluations": "DROP TABLE evaluation",
    "without the recipes": "DROP TABLE recipe",
    "with a broken recipe": "UPDATE recipe SET content = '{'",
    "with a recipe that is a list": "UPDATE recipe SET content = '[]'",
    "with a recipe of bytes": "UPDATE recipe SET content = x'ff'",
    "with another recipe's id": "UPDATE recipe SET id = 'abc'",
    "with a recipe less": "DELETE FROM recipe",
    "with a view in place": "ALTER TABLE evaluation RENAME TO e; "
    "CREATE VIEW evaluation AS SELECT * FROM e",
    "with a trigger that fails": "CREATE TRIGGER t BEFORE INSERT ON evaluation BEGIN "
    "SELECT RAISE(ABORT, 'no'); END",
    "of another program": "PRAGMA application_id = 5",
    "of a later version": "PRAGMA user_version = 99",
    "of no version": "PRAGMA user_version = 0",
}


def _flip(path: Path, offset: int, bits: int = 1) -> None:
    content = bytearray(path.read_bytes())
    content[offset % len(content)] ^= bits
    path.write_bytes(bytes(content))


FILES: Mapping[str, Callable[[Path], object]] = {
    "of nothing": lambda path: path.write_bytes(b""),
    "of zeros": lambda path: path.write_bytes(b"\0" * path.stat().st_size),
    "of text": lambda path: path.write_bytes(b"hello\n" * 1000),
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "cut to a page": lambda path: path.write_bytes(path.read_bytes()[:4096]),
    "cut within its header": lambda path: path.write_bytes(path.read_bytes()[:50]),
    "with a broken header": lambda path: _flip(path, 3),
    "with another page size": lambda path: _flip(path, 16),
    "with noise behind it": lambda path: path.write_bytes(path.read_bytes() + b"x" * 5000),
    "with a strange journal": lambda path: path.with_name(f"{path.name}-wal").write_bytes(
        b"x" * 99
    ),
    **{
        f"with a flipped bit at {share}%": lambda path, share=share: _flip(
            path, path.stat().st_size * share // 100
        )
        for share in (9, 23, 37, 51, 65, 79, 93)
    },
}


def _table(place: Scratch) -> Path:
    return place.copy("tabular") / "ledger.sqlite"


def _execute(path: Path, statements: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(statements)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _row(column: str, value: str) -> Callable[[Scratch], None]:
    def prepare(place: Scratch) -> None:
        chosen = "(SELECT rowid FROM evaluation ORDER BY finished LIMIT 1 OFFSET 9)"
        _execute(
            _table(place),
            f"UPDATE OR REPLACE evaluation SET {column} = {value} WHERE rowid = {chosen}",
        )

    return prepare


def _not_cut(place: Scratch) -> str:
    """Every CSV is as long as before, or longer."""
    for name in ("population.csv", "pareto.csv"):
        before = (place.shared / "tabular" / name).read_text().count("\n")
        now = (place / "tabular" / name).read_text().count("\n")
        if now < before:
            return f"{name} was cut from {before} lines to {now}"
    return ""


def _same(place: Scratch) -> str:
    return _not_cut(place) or same_population(place / "tabular", place.shared / "tabular")


def _rows() -> Iterator[Case]:
    for name, (column, value) in VALUES.items():
        yield Case(f"ledger/{name}", COMMAND, done("damaged"), _row(column, value), check=_same)


def _databases() -> Iterator[Case]:
    prepared: dict[str, Callable[[Scratch], object]] = {
        **{f"one {name}": _changed(statements) for name, statements in STATEMENTS.items()},
        **{f"a file {name}": _damaged(damage) for name, damage in FILES.items()},
    }
    for name, prepare in prepared.items():
        word = "tabular"  # the file is in it
        yield Case(f"ledger/{name}", COMMAND, either(word), prepare, check=_same)


def _changed(statements: str) -> Callable[[Scratch], object]:
    return lambda place: _execute(_table(place), statements)


def _damaged(damage: Callable[[Path], object]) -> Callable[[Scratch], object]:
    return lambda place: damage(_table(place))


def _as_shared(prepared: Callable[[Scratch], None]) -> Callable[[Scratch], None]:
    def prepare(place: Scratch) -> None:
        prepared(place)
        shutil.move(place / "tabular/ledger.sqlite", place / "shared.sqlite")
        shutil.rmtree(place / "tabular")

    return prepare


def _elsewhere() -> Iterator[Case]:
    """Damaged rows that would answer another run."""
    command = (*COMMAND, "ledger=shared.sqlite")
    for name in ("a loss of NaN", "a better loss", "metrics that are a text", "another genome"):
        prepare = _as_shared(_row(*VALUES[name]))
        yield Case(f"ledger/shared, {name}", command, done("damaged"), prepare, check=_same)
    yield Case("ledger/gone before a resume", COMMAND, either(), _gone, check=_not_cut)


def _gone(place: Scratch) -> None:
    _table(place).unlink()


CASES = (*_rows(), *_databases(), *_elsewhere())
