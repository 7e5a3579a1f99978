"""A search over a damaged ledger: it says so in one line and ends like the undamaged one."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from star.runs.columns import TIMING_COLUMNS

SEARCH = (
    "+experiment=tabular",
    "search.population=6",
    "search.generations=3",
    "search.baselines=[lfm2]",
    "run_dir=run",
)
THIRD = "WHERE genome_id = (SELECT genome_id FROM evaluation ORDER BY finished LIMIT 1 OFFSET 2)"
NOT_A_NUMBER = """metrics = '{"validation_loss": NaN, "cache_bytes": 5}'"""


def tables(folder: Path) -> list[pd.DataFrame]:
    names = ("population.csv", "pareto.csv")
    read = (pd.read_csv(folder / "run" / name, dtype=str) for name in names)
    return [table.drop(columns=list(TIMING_COLUMNS)) for table in read]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "warned"),
    [
        (f"UPDATE evaluation SET {NOT_A_NUMBER} {THIRD}", "damaged rows: 1 ("),
        ("UPDATE evaluation SET metrics = x'00'", "damaged rows: 18 ("),
        (
            f"""UPDATE evaluation SET checksum = NULL, metrics = '{{"cache_bytes": 5}}' {THIRD}""",
            "damaged rows: 1 (",
        ),
        ("ALTER TABLE evaluation DROP COLUMN peak_bytes", "damaged rows: 18 ("),
        ("UPDATE recipe SET content = '{'", ""),
        ("DELETE FROM recipe", ""),
    ],
)
def test_a_resumed_search_ends_as_before(
    command: Callable[..., Any], tmp_path: Path, statement: str, warned: str
) -> None:
    first = command("evolve", *SEARCH)
    assert first.returncode == 0 and first.stderr == ""
    before = tables(tmp_path)
    connection = sqlite3.connect(tmp_path / "run" / "ledger.sqlite", isolation_level=None)
    connection.execute(statement)
    connection.close()
    again = command("evolve", *SEARCH)
    assert again.returncode == 0
    lines = again.stderr.splitlines()
    assert len(lines) == bool(warned) and all(warned in line for line in lines)
    assert all(line.startswith("warning: ledger run/ledger.sqlite: ") for line in lines)
    for table, expected in zip(tables(tmp_path), before, strict=True):
        pd.testing.assert_frame_equal(table, expected)
    assert command("evolve", *SEARCH).stderr == ""  # what was damaged is whole again
