"""Files with many documents: a row each of `.jsonl` and `.parquet`, read without ever being whole
in memory."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from star.base.errors import UserError, plain, shown
from star.base.imports import import_optional
from star.base.reading import named, reason

ROWS_AT_ONCE = 256  # of a parquet file

Reader = Callable[[Path, str], Iterator[tuple[str, int]]]


def column_text(row: Any, column: str, place: str) -> str:
    """The text of a column in a row; nothing for null.

    Args:
        row: its values by column.
        column: the name.
        place: of the row, for errors.

    Raises:
        UserError: for a row without that column, and for a value that is no text.
    """
    if not isinstance(row, dict) or column not in row:
        there = shown(", ".join(map(str, row)), 80) if isinstance(row, dict) else "no columns"
        raise _no_column(column, place, there)
    value = row[column]
    if value is not None and not isinstance(value, str):
        kind = type(value).__name__
        raise UserError(f"data.text_column={column}: {place} has a {kind} there, expected text")
    return value or ""


def _no_column(column: str, place: str, there: str) -> UserError:
    return UserError(f"data.text_column={column}: {place} has no such column, it has {there}")


def _jsonl_rows(path: Path, column: str) -> Iterator[tuple[str, int]]:
    """Text and bytes of each line."""
    for number, line in enumerate(_lines(path), start=1):
        place = f"{shown(str(path))}, line {number},"
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                problem = shown(plain(error), 80)
                raise UserError(f"data file {place} is no JSON ({problem})") from None
            yield column_text(row, column, place), len(line)


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            yield from stream
    except OSError as error:
        message = f"data file {named('', path)}: cannot be read ({reason(error)})"
        raise UserError(message) from None


def _parquet_rows(path: Path, column: str) -> Iterator[tuple[str, int]]:
    """Text of each row, and its share of the file's bytes."""
    key = f"data file {shown(str(path))}"
    arrow = import_optional(key, "pyarrow")
    parquet = import_optional(key, "pyarrow.parquet")
    try:
        with parquet.ParquetFile(path) as file:
            if column not in file.schema_arrow.names:
                there = shown(", ".join(file.schema_arrow.names), 80)
                raise _no_column(column, shown(str(path)), there)
            size = path.stat().st_size // max(1, file.metadata.num_rows)
            for text in _column(file.iter_batches(ROWS_AT_ONCE, columns=[column]), column, path):
                yield text, size
    except (arrow.ArrowException, OSError) as error:
        problem = shown(plain(reason(error)), 120)
        raise UserError(f"{key}: cannot be read as parquet ({problem})") from None


def _column(batches: Iterable[Any], column: str, path: Path) -> Iterator[str]:
    for batch in batches:
        for value in batch.column(0).to_pylist():
            yield column_text({column: value}, column, shown(str(path)))


READERS: dict[str, Reader] = {".jsonl": _jsonl_rows, ".parquet": _parquet_rows}
