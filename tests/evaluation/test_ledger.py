"""The ledger: what is finished stays, and nothing foreign is touched."""

import multiprocessing
import os
import signal
import sqlite3
import time
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from star.base.errors import UserError
from star.evaluation import Evaluation
from star.evaluation.failures import CIRCUMSTANTIAL
from star.evaluation.ledger import Ledger, Record, recipe_id
from star.genomes import current_id, former_id
from tests.search.made_up import RECIPE

CONTENT = RECIPE.content("f00d", {})
RESULT = Evaluation(
    "ok",
    "",
    {"validation_loss": 2.1234567890123457, "cache_bytes": 512},
    1.5,
    peak_bytes=7,
    device="cpu",
)


def record(number: int, seed: int = 3) -> Record:
    return Record(
        current_id(f"{number:012x}"),
        "71111",
        "star",
        seed,
        RESULT,
        "run",
        2,
        "offspring",
        ("a", "b"),
        {"cuts": [1]},
        "t",
    )


def test_what_is_added_is_read_back_exactly(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        recipe = ledger.add_recipe(CONTENT)
        assert ledger.get(record(1).genome_id, recipe, 3) is None
        ledger.add(record(1), recipe)
    with Ledger(tmp_path / "ledger") as ledger:
        assert ledger.get(record(1).genome_id, recipe, 3) == RESULT
        assert (
            ledger.get(record(1).genome_id, recipe, 4) is None
            and ledger.get(record(1).genome_id, "other", 3) is None
        )
        assert list(ledger.records(recipe)) == [record(1)] and len(ledger) == 1
        assert ledger.recipes() == {recipe_id(CONTENT): CONTENT}


def test_rows_with_ids_of_before_are_found_and_read_with_those_of_now(tmp_path: Path) -> None:
    number = 0x3F1E60C3B2A4
    genome_id, parents = record(number).genome_id, ("0bcdef012345", "abcdef012345")
    with Ledger(tmp_path / "ledger") as ledger:
        recipe = ledger.add_recipe(CONTENT)
        before = replace(record(number), genome_id=former_id(genome_id), parents=parents)
        ledger.add(before, recipe)
        assert genome_id != before.genome_id
        assert ledger.get(genome_id, recipe, 3) == ledger.get(before.genome_id, recipe, 3) == RESULT
        (found,) = ledger.records(recipe)
    assert (found.genome_id, found.parents) == (genome_id, ("gbcdef012345", "abcdef012345"))


def test_a_finished_evaluation_is_never_overwritten(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        recipe = ledger.add_recipe(CONTENT)
        ledger.add(record(1), recipe)
        other = Evaluation("infeasible", "diverged: loss is nan")
        ledger.add(Record(record(1).genome_id, "71111", "star", 3, other, "run"), recipe)
        assert ledger.get(record(1).genome_id, recipe, 3) == RESULT


@pytest.mark.parametrize("kind", CIRCUMSTANTIAL)
def test_a_failure_by_limits_or_chance_answers_nobody_and_gives_way(
    tmp_path: Path, kind: str
) -> None:
    failed, genome = Evaluation("infeasible", f"{kind}: made up"), record(1).genome_id
    with Ledger(tmp_path / "ledger") as ledger:
        recipe = ledger.add_recipe(CONTENT)
        ledger.add(replace(record(1), run="first", evaluation=failed), recipe)
        assert [r.evaluation for r in ledger.records(recipe)] == [failed]  # to be looked at
        assert all(ledger.get(genome, recipe, 3, run) is None for run in ("first", "second", None))
        ledger.add(replace(record(1), run="second"), recipe)
        assert ledger.get(genome, recipe, 3, "first") == RESULT
        diverged = Evaluation("infeasible", "diverged: loss is nan")
        ledger.add(replace(record(1), run="first", evaluation=diverged), recipe)
        ledger.add(replace(record(1), run="first", evaluation=failed), recipe)  # it stays
        assert ledger.get(genome, recipe, 3, "first") == diverged and len(ledger) == 2


@pytest.mark.parametrize(
    ("reason", "answers"),
    [
        ("build_error: OSError: [Errno 28] No space left on device", False),
        ("build_error: SystemError: error return without exception set", False),
        ("build_error: KeyError: 'gate'", True),
    ],
)
def test_failures_that_had_no_kind_of_their_own_are_known(
    tmp_path: Path, reason: str, answers: bool
) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        recipe = ledger.add_recipe(CONTENT)
        ledger.add(replace(record(1), evaluation=Evaluation("infeasible", reason)), recipe)
        assert (ledger.get(record(1).genome_id, recipe, 3, "run") is not None) == answers


def test_an_error_of_code_gives_way_to_a_measurement_and_nothing_else_does(tmp_path: Path) -> None:
    failures = [Evaluation("infeasible", f"{kind}: x") for kind in ("build_error", "diverged")]
    with Ledger(tmp_path / "ledger") as ledger:
        recipe = ledger.add_recipe(CONTENT)
        for number, failed in enumerate(failures):
            ledger.add(replace(record(number), evaluation=failed), recipe)
            ledger.add(replace(record(number), evaluation=failures[1 - number]), recipe)
            assert ledger.get(record(number).genome_id, recipe, 3, "run") == failed
            ledger.add(record(number), recipe)
        found = [ledger.get(record(number).genome_id, recipe, 3, "run") for number in (0, 1)]
        assert found == [RESULT, failures[1]]


def test_a_failure_by_the_genome_holds_for_every_run(tmp_path: Path) -> None:
    diverged = Evaluation("infeasible", "diverged: loss is nan")
    with Ledger(tmp_path / "ledger") as ledger:
        recipe = ledger.add_recipe(CONTENT)
        ledger.add(replace(record(1), evaluation=diverged), recipe)
        assert ledger.get(record(1).genome_id, recipe, 3, "another run") == diverged


def test_of_several_evaluations_the_own_comes_first_then_the_earliest(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        recipe = ledger.add_recipe(CONTENT)
        for run, finished in (("a", "3"), ("b", "1"), ("c", "2")):
            result = replace(RESULT, train_seconds=float(finished))
            ledger.add(replace(record(1), run=run, finished=finished, evaluation=result), recipe)
        seconds = [ledger.get(record(1).genome_id, recipe, 3, run).train_seconds for run in "abcd"]  # type: ignore[union-attr]
    assert seconds == [3.0, 1.0, 2.0, 1.0]


VALUES = ("NaN", "true", "-Infinity", '"2.1"', "null", "1" + "0" * 400, "1" + "0" * 5000)
DAMAGE = {
    "metrics": [
        *(f"""'{{"validation_loss": {value}, "cache_bytes": 512}}'""" for value in VALUES),
        *("'" + "[" * 100_000 + "'", "'text'", "'{}'", "'[]'", "'null'", "x'00ff'", "7"),
    ],
    "train_seconds": ["'long'", "-9e999", "x'00'"],
    "peak_bytes": ["'many'", "1e999"],
    "generation": ["'first'"],
    "status": ["'okay'", "'infeasible'", "x'6f6b'"],
    "variation": ["'{'", "'[]'"],
    "genome": ["x'ff'"],
    "reason": ["x'00'"],
}
DAMAGES = [(column, value) for column, values in DAMAGE.items() for value in values]


def damage(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(statement)
    connection.close()


@pytest.mark.parametrize("has_checksum", [True, False])
@pytest.mark.parametrize(("column", "value"), DAMAGES, ids=lambda text: text[:30])
def test_a_damaged_row_answers_nobody_is_named_and_gives_way(
    tmp_path: Path, column: str, value: str, has_checksum: bool
) -> None:
    path, genome = tmp_path / "ledger", record(1).genome_id
    with Ledger(path) as ledger:
        recipe = ledger.add_recipe(CONTENT)
        for number in (1, 2):
            ledger.add(record(number), recipe)
    if not has_checksum:  # as version 2 wrote them
        damage(path, "UPDATE evaluation SET checksum = NULL")
    damage(path, f"UPDATE evaluation SET {column} = {value} WHERE genome_id = '{genome}'")
    with Ledger(path) as ledger:
        assert ledger.damaged([recipe]) == [genome]
        assert ledger.get(genome, recipe, 3, "run") is None
        assert [r.genome_id for r in ledger.records(recipe)] == [record(2).genome_id]
        ledger.add(record(1), recipe)
        assert ledger.get(genome, recipe, 3, "run") == RESULT and len(ledger) == 2
        assert ledger.damaged([recipe]) == []


def test_bytes_that_are_no_text_are_damage_of_a_row(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        recipe = ledger.add_recipe(CONTENT)
        ledger.add(record(1), recipe)
    damage(tmp_path / "ledger", "UPDATE evaluation SET origin = cast(x'ff' as text)")
    with Ledger(tmp_path / "ledger") as ledger:
        assert ledger.damaged([recipe]) == [record(1).genome_id]


def test_a_bit_of_a_row_that_flips_is_noticed(tmp_path: Path) -> None:
    """In each value, one at a time; in the key the row is another's, or nobody's."""
    path = tmp_path / "ledger"
    with Ledger(path) as ledger:
        recipe = ledger.add_recipe(CONTENT)
        ledger.add(record(1), recipe)
        (row,) = ledger._connection.execute("SELECT * FROM evaluation").fetchall()
    for column in row.keys():  # noqa: SIM118  # a row is no mapping
        value = row[column]
        if isinstance(value, str):
            flipped: Any = value[:-1] + chr(ord(value[-1]) ^ 1) if value else "x"
        else:
            flipped = value + 1
        copy = tmp_path / column
        copy.write_bytes(path.read_bytes())
        connection = sqlite3.connect(copy, isolation_level=None)
        connection.execute(f"UPDATE evaluation SET {column} = ?", (flipped,))
        connection.close()
        with Ledger(copy) as ledger:
            assert ledger.get(record(1).genome_id, recipe, 3, "run") is None, column
            if column != "recipe":
                assert len(ledger.damaged([recipe])) == 1, column


def test_a_ledger_without_checksums_is_read_and_gets_them(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with Ledger(path) as ledger:
        recipe = ledger.add_recipe(CONTENT)
        ledger.add(record(1), recipe)
    damage(path, "ALTER TABLE evaluation DROP COLUMN checksum")
    damage(path, "PRAGMA user_version = 2")
    with Ledger(path) as ledger:
        assert ledger.get(record(1).genome_id, recipe, 3) == RESULT
        ledger.add(record(2), recipe)
        assert list(ledger.records(recipe)) == [record(1), record(2)]
    damage(path, "UPDATE evaluation SET train_seconds = 2")
    with Ledger(path) as ledger:
        assert ledger.damaged([recipe]) == [record(2).genome_id]


def test_a_lost_column_costs_the_rows_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with Ledger(path) as ledger:
        recipe = ledger.add_recipe(CONTENT)
        ledger.add(record(1), recipe)
    damage(path, "ALTER TABLE evaluation DROP COLUMN peak_bytes")
    with Ledger(path) as ledger:
        assert ledger.damaged([recipe]) == [record(1).genome_id]
        ledger.add(record(1), recipe)
        assert ledger.get(record(1).genome_id, recipe, 3) == RESULT


@pytest.mark.parametrize("content", ["'{'", "'{\"a\": 1}'", "NULL", "x'00'"])
def test_a_damaged_recipe_is_empty_until_it_is_added_again(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ledger"
    with Ledger(path) as ledger:
        recipe = ledger.add_recipe(CONTENT)
    if content == "NULL":
        damage(path, "ALTER TABLE recipe DROP COLUMN content")
        with Ledger(path) as ledger, pytest.raises(UserError, match="no such column: content"):
            ledger.recipes()
        return
    damage(path, f"UPDATE recipe SET content = {content}")
    with Ledger(path) as ledger:
        assert ledger.recipes() == {recipe: {}}
        assert ledger.add_recipe(CONTENT) == recipe
        assert ledger.recipes() == {recipe: CONTENT}


def make_at_once(path: Path, others: Barrier) -> None:
    others.wait()
    Ledger(path).close()


def test_a_ledger_made_by_several_processes_at_once_is_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    others = context.Barrier(4)
    makers = [
        context.Process(target=make_at_once, args=(tmp_path / "ledger", others)) for _ in range(4)
    ]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert [maker.exitcode for maker in makers] == [0] * 4
    with Ledger(tmp_path / "ledger") as ledger:
        assert len(ledger) == 0


def foreign(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE evaluation (a)")
    connection.commit()
    connection.close()


def newer(path: Path) -> None:
    Ledger(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


def truncated(path: Path) -> None:
    with Ledger(path) as ledger:
        recipe = ledger.add_recipe(CONTENT)
        for number in range(500):
            ledger.add(record(number), recipe)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (foreign, "belongs to another program"),
        (newer, "of version 99, this program reads 3"),
        (truncated, "malformed|damaged"),
        (lambda path: path.write_bytes(b"genome_id,loss\n" * 100), "file is not a database"),
        (lambda path: path.mkdir(), "unable to open"),
    ],
)
def test_what_is_no_ledger_is_refused_and_kept(tmp_path: Path, make, message: str) -> None:
    path = tmp_path / "ledger"
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(UserError, match=message) as caught:
        Ledger(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_a_ledger_that_cannot_be_written_is_an_error_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write every file: the database itself is told not to write."""
    Ledger(tmp_path / "ledger").close()
    connect = sqlite3.connect

    def read_only(path: Path, **settings: Any) -> sqlite3.Connection:
        return connect(f"file:{path}?mode=ro", uri=True, **settings)

    monkeypatch.setattr("star.evaluation.ledger.sqlite3.connect", read_only)
    with (
        pytest.raises(UserError, match="readonly|read-only|unable to open") as caught,
        Ledger(tmp_path / "ledger") as ledger,
    ):
        ledger.add_recipe(CONTENT)
    assert str(tmp_path / "ledger") in str(caught.value) and "\n" not in str(caught.value)


def test_a_locked_ledger_is_an_error_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("star.evaluation.ledger.LOCK_SECONDS", 0.1)
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.add_recipe(CONTENT)
        other = sqlite3.connect(tmp_path / "ledger", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(UserError, match="database is locked"):
            ledger.add(record(1), recipe_id(CONTENT))
        other.close()


def append_for_ever(path: Path) -> None:
    with Ledger(path) as ledger:
        recipe = ledger.add_recipe(CONTENT)
        for _ in range(10**6):
            ledger.add(record(len(ledger)), recipe)


def test_a_killed_writer_leaves_whole_rows(tmp_path: Path) -> None:
    path, kept = tmp_path / "ledger", 0
    for _ in range(3):
        writer = multiprocessing.get_context("fork").Process(target=append_for_ever, args=(path,))
        writer.start()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and rows(path) < kept + 20:
            time.sleep(0.02)
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join()
        with Ledger(path) as ledger:
            assert len(ledger) >= kept + 20
            kept = len(ledger)
            assert all(r.evaluation == RESULT for r in ledger.records(recipe_id(CONTENT)))


def rows(path: Path) -> int:
    try:
        with Ledger(path) as ledger:
            return len(ledger)
    except UserError:  # being made
        return 0


def test_a_look_up_reads_the_key_and_never_the_whole_table(tmp_path: Path) -> None:
    """Counted in steps of SQLite's machine, which depend on neither the time nor the machine."""

    def steps(rows: int) -> int:
        counted = [0]

        def count() -> int:
            counted[0] += 1
            return 0

        with Ledger(tmp_path / str(rows)) as ledger:
            recipe = ledger.add_recipe(CONTENT)
            ledger._connection.execute("BEGIN")  # one flush for all rows
            for number in range(rows):
                ledger.add(record(number), recipe)
            ledger._connection.execute("COMMIT")
            ledger._connection.set_progress_handler(count, 1)
            assert ledger.get(record(rows // 2).genome_id, recipe, 3) == RESULT
        return counted[0]

    few, many = steps(10), steps(1000)
    assert few <= many < 2 * few
