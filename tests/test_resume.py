"""A search killed again and again ends like one that was left alone."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from star.runs.columns import TIMING_COLUMNS

HALVING = ("search.halving.rungs=[2,4]", "training.steps=8")
SEARCH = (
    "+experiment=smoke",
    "scale=cpu",
    "executor.workers=2",
    "search.generations=12",
    "run_dir=run",
    "search.baselines=[lfm2]",
)


def start(folder: Path, *overrides: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "star.evolve", *SEARCH, *overrides],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def finish(command: Callable[..., Any]) -> Callable[..., str]:
    """The same in this process, to the end; gives what it printed."""

    def run(folder: Path, *overrides: str) -> str:
        result = command("evolve", *SEARCH, *overrides, cwd=folder)
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


def finished(folder: Path) -> dict[str, str]:
    """When each evaluation in the ledger was finished, by genome and recipe: a rung has a recipe of
    its own."""
    path = folder / "run" / "ledger.sqlite"
    if not path.exists():
        return {}
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        return dict(
            connection.execute("SELECT genome_id || ' ' || recipe, finished FROM evaluation")
        )
    except sqlite3.OperationalError:  # killed while it was being made
        return {}
    finally:
        connection.close()


def without_times(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str).drop(columns=list(TIMING_COLUMNS))


@pytest.mark.slow
@pytest.mark.parametrize(("kills", "overrides"), [(20, ()), (8, HALVING)], ids=["plain", "halving"])
def test_a_search_killed_again_and_again_ends_like_one_left_alone(
    tmp_path: Path, finish: Callable[..., str], kills: int, overrides: tuple[str, ...]
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    finish(whole, *overrides)
    moments = random.Random(0)
    kept: dict[str, str] = {}
    for _ in range(kills):
        process = start(killed, *overrides)
        deadline, wanted = time.monotonic() + 300, len(kept) + moments.randint(0, 3)
        while process.poll() is None and len(finished(killed)) < wanted:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(moments.random() * 0.3)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        now = finished(killed)
        assert (
            now.items() >= kept.items()
        )  # what was finished stays as it was, and is not trained again
        kept = now
    finish(killed, *overrides)
    assert not list((killed / "run").rglob(".*"))  # neither locks nor half-written files
    for name in ("pareto.csv", "population.csv"):
        pd.testing.assert_frame_equal(
            without_times(whole / "run" / name), without_times(killed / "run" / name)
        )
    assert (
        finished(killed).items() >= kept.items()
        and finished(killed).keys() == finished(whole).keys()
    )


@pytest.mark.slow
def test_a_finished_search_is_answered_from_its_ledger_and_can_be_continued(
    tmp_path: Path, finish: Callable[..., str]
) -> None:
    finish(tmp_path)
    before, table = finished(tmp_path), without_times(tmp_path / "run" / "pareto.csv")
    assert f"{len(before)} evaluations are in" in finish(tmp_path)
    assert finished(tmp_path) == before
    pd.testing.assert_frame_equal(without_times(tmp_path / "run" / "pareto.csv"), table)
    finish(tmp_path, "search.generations=13")
    assert finished(tmp_path).items() > before.items()
    population = pd.read_csv(tmp_path / "run" / "population.csv")
    assert population["generation"].max() == 12


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "to_all"),
    [(signal.SIGTERM, 143, False), (signal.SIGTERM, 143, True), (signal.SIGINT, 130, True)],
    ids=["term", "term-to-workers-too", "ctrl-c"],
)
def test_a_search_that_is_told_to_end_says_so_and_goes_on_later(
    tmp_path: Path, finish: Callable[..., str], number: int, code: int, to_all: bool
) -> None:
    process = start(tmp_path, "training.steps=200", "limits.retries=0")
    deadline = time.monotonic() + 300
    while process.poll() is None and len(finished(tmp_path)) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    held = (tmp_path / "run" / ".star.lock").read_text()
    assert held.startswith(f"process {process.pid} on ")
    (os.killpg if to_all else os.kill)(process.pid, number)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (code, "")
    assert "finished candidates are in run" in output
    assert not list((tmp_path / "run").glob(".*"))
    population = pd.read_csv(tmp_path / "run" / "population.csv")
    assert len(population) == len(finished(tmp_path)) and set(population["status"]) == {"ok"}
