"""The ledger: what is finished stays, and nothing foreign is touched."""

import multiprocessing
import os
import signal
import sqlite3
import statistics
import time
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from star.base.errors import UserError
from star.data import DataConfig
from star.evaluation import CacheSetting, Evaluation, Recipe
from star.evaluation.ledger import CIRCUMSTANTIAL, Ledger, Record, recipe_content, recipe_id
from star.genomes import ModelConfig
from star.training import TrainingConfig

RECIPE = Recipe(ModelConfig(), CacheSetting(), TrainingConfig(), DataConfig(), seed=3)
CONTENT = recipe_content(RECIPE, "f00d")
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
        f"{number:012x}",
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


def test_a_finished_evaluation_is_never_overwritten(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        recipe = ledger.add_recipe(CONTENT)
        ledger.add(record(1), recipe)
        other = Evaluation("infeasible", "diverged: loss is nan")
        ledger.add(Record(record(1).genome_id, "71111", "star", 3, other, "run"), recipe)
        assert ledger.get(record(1).genome_id, recipe, 3) == RESULT


@pytest.mark.parametrize("kind", CIRCUMSTANTIAL)
def test_a_failure_by_limits_or_chance_holds_for_its_own_run_only(
    tmp_path: Path, kind: str
) -> None:
    failed, genome = Evaluation("infeasible", f"{kind}: made up"), record(1).genome_id
    with Ledger(tmp_path / "ledger") as ledger:
        recipe = ledger.add_recipe(CONTENT)
        ledger.add(replace(record(1), run="first", evaluation=failed), recipe)
        assert ledger.get(genome, recipe, 3, "second") is None
        ledger.add(replace(record(1), run="second"), recipe)
        assert ledger.get(genome, recipe, 3, "first") == failed  # its replay is exact
        assert (
            ledger.get(genome, recipe, 3, "second")
            == ledger.get(genome, recipe, 3, "third")
            == RESULT
        )
        assert ledger.get(genome, recipe, 3) == failed  # without a run: in a ledger of one run only
        assert len(ledger) == 2


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


def test_recipes_differ_by_everything_that_can_change_a_result() -> None:
    others = [
        recipe_content(
            Recipe(ModelConfig(width=128), CacheSetting(), TrainingConfig(), DataConfig(), 3),
            "f00d",
        ),
        recipe_content(
            Recipe(ModelConfig(), CacheSetting(context=8), TrainingConfig(), DataConfig(), 3),
            "f00d",
        ),
        recipe_content(
            Recipe(ModelConfig(), CacheSetting(), TrainingConfig(steps=7), DataConfig(), 3), "f00d"
        ),
        recipe_content(RECIPE, "beef"),
        {**CONTENT, "evaluation_version": -1},
    ]
    assert len({recipe_id(content) for content in [CONTENT, *others]}) == 6
    moved = Recipe(
        ModelConfig(), CacheSetting(), TrainingConfig(), DataConfig("files", "/elsewhere"), 4
    )
    assert recipe_id(recipe_content(moved, "f00d")) == recipe_id(
        CONTENT
    )  # the text and the seed are keys of their own


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
        (newer, "of version 99, this program reads 2"),
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


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_ledger_is_refused(tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger").close()
    (tmp_path / "ledger").chmod(0o400)
    with (
        pytest.raises(UserError, match="readonly|read-only|unable to open"),
        Ledger(tmp_path / "ledger") as ledger,
    ):
        ledger.add_recipe(CONTENT)


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
        writer = multiprocessing.get_context("spawn").Process(target=append_for_ever, args=(path,))
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


@pytest.mark.slow
def test_a_hundred_thousand_rows_answer_at_once(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        recipe = ledger.add_recipe(CONTENT)
        ledger._connection.execute("BEGIN")
        for number in range(100_000):
            ledger.add(record(number * 7919), recipe)
        ledger._connection.execute("COMMIT")
    start = time.perf_counter()
    with Ledger(tmp_path / "ledger") as ledger:
        opened = time.perf_counter() - start
        taken = []
        for number in range(2000):
            start = time.perf_counter()
            assert ledger.get(record(number * 7919).genome_id, recipe, 3) is not None
            taken.append(time.perf_counter() - start)
    print(
        f"100,000 rows: opened in {opened:.2f} s, median look-up "
        f"{statistics.median(taken) * 1e6:.0f} us"
    )
    assert len(taken) == 2000  # times are printed, not judged: see experiments/search_overhead
