"""The run folder: a run killed at any instant can go on, and its files are whole whenever they are
read."""

import io
import math
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from star.base.errors import UserError
from star.evaluation import Evaluation, Measured, select_objectives
from star.evaluation.result import LONGEST_REASON, infeasible
from star.genomes import Genome
from star.runs.columns import columns
from star.runs.folder import FREE_SECONDS, SHARE, RunFolder
from star.search import EvolveConfig, Search, SearchConfig
from star.search.archive import Archive
from star.search.candidates import Candidate, Evaluated, genome_file
from star.search.memory import open_memory
from tests.search.made_up import RECIPE, MadeUp

STEPS = RECIPE.training.steps
NAMES = ("validation_loss", "cache_bytes")


def evaluated(number: int, evaluation: Evaluation | None = None) -> Evaluated:
    """A candidate of depth 4, another for each number below 17 ** 3."""
    classes = [1 + number // 17**place % 17 for place in range(3)]
    genome = Genome.from_text(
        "-".join(f"{liv_class}.1.1.1.1" for liv_class in (*classes, 1))
    ).canonical()
    metrics = {"validation_loss": 2.0 + number % 7, "cache_bytes": float(1 + number % 5)}
    metrics["parameters"] = 3.0
    return Evaluated(
        Candidate(genome, "random", 0), evaluation or Evaluation("ok", "", metrics, 0.1), 0
    )


class Killed(BaseException):
    """What no code catches."""


def killed_before(number: float, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """End this program when it would move file `number`, from 0, into place.

    Returns the names of the files that were moved, which goes on growing.
    """
    moved, rename = [], os.replace

    def move(old: Path, new: Path) -> None:
        if len(moved) >= number:
            raise Killed
        moved.append(new.name)
        rename(old, new)

    monkeypatch.setattr(os, "replace", move)
    return moved


def evolve(folder: Path, ledger: str) -> None:
    """A small search with made-up results, as the command runs it."""
    settings = SearchConfig(objectives=list(NAMES), population=2, generations=1, baselines=[])
    config = EvolveConfig(depth=2, run_dir=str(folder), ledger=ledger, search=settings)
    Search.from_config(config, MadeUp()).open(["scale=cpu"]).run()


def content(folder: Path) -> dict[str, str]:
    """The files of a run that every run of the same settings has alike."""
    files = [*folder.glob("*.csv"), *folder.glob("genomes/*.yaml"), folder / "command.txt"]
    return {path.name: path.read_text().replace(str(folder), "run") for path in files}


@pytest.mark.slow
@pytest.mark.parametrize("ledger", ["run", "shared", "elsewhere.sqlite"])
def test_a_run_killed_between_any_two_files_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ledger: str
) -> None:
    monkeypatch.setenv("STAR_CACHE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("star.runs.folder.FREE_SECONDS", math.inf)  # on a slow disk too, all files
    with monkeypatch.context() as context:
        moved = killed_before(math.inf, context)
        evolve(tmp_path / "whole", ledger)
    assert moved[:3] == ["config.yaml", "environment.json", "command.txt"]
    assert {"population.csv", "pareto.csv"} < set(moved[3:])  # and genome files
    for number in range(len(moved)):
        folder = tmp_path / str(number)
        with monkeypatch.context() as context, pytest.raises(Killed):
            killed_before(number, context)
            evolve(folder, ledger)
        evolve(folder, ledger)
        assert content(folder) == content(tmp_path / "whole")


@pytest.mark.parametrize("taken", ["run", "run/config.yaml/file"])
def test_a_folder_that_cannot_be_written_is_an_error_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: str
) -> None:
    (tmp_path / taken).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / taken).write_text("")
    monkeypatch.setattr("star.search.search.check_same_run", lambda *settings: None)
    with pytest.raises(
        UserError, match=r"run_dir=.*run: cannot be written \(.+\); choose a folder"
    ):
        evolve(tmp_path / "run", "run")


def write_for_long(folder: Path) -> None:
    run, archive = RunFolder(folder, NAMES), Archive(select_objectives(NAMES))
    for number in range(240):
        long = infeasible("diverged", "x" * 10 * LONGEST_REASON) if number % 20 == 7 else None
        candidate = evaluated(number, long)
        archive.add(candidate)
        run.append(candidate.row())
        if number % 16 == 15:
            ranks = archive.ranks()
            rows = [one.row(ranks.get(one.genome_id)) for one in archive.all]
            run.write_views(rows, [(one.row(0), genome_file(one, {})) for one in archive.front()])


@pytest.mark.slow
def test_a_reader_never_sees_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("star.runs.folder.FREE_SECONDS", float("inf"))
    writer = multiprocessing.get_context("fork").Process(target=write_for_long, args=(tmp_path,))
    writer.start()
    seen: set[int] = set()
    while writer.is_alive() or not seen:
        for path in filter(Path.exists, (tmp_path / "population.csv", tmp_path / "pareto.csv")):
            text = path.read_text()
            table = pd.read_csv(io.StringIO(text), keep_default_na=False)
            also = ("validated",) if path.name == "pareto.csv" else ()
            assert text.endswith("\n") and tuple(table.columns) == (*columns(NAMES), *also)
            assert set(table["status"]) <= {"ok", "infeasible"} and set(table["seed"]) <= {0}
            assert set(table["reason"].str.len()) <= {0, LONGEST_REASON}
            if path.name == "population.csv":
                assert len(table) >= max(seen, default=0)  # nothing that was there is taken back
                seen.add(len(table))
    writer.join()
    assert (
        writer.exitcode == 0
        and len(seen) > 20
        and len(pd.read_csv(tmp_path / "population.csv")) == 240
    )


def test_writing_for_single_candidates_keeps_to_its_share_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, seconds, written = [0.0], FREE_SECONDS / 5, []

    def write(path: Path, text: str) -> None:
        clock[0] += seconds
        written.append(text.count("\n") - 1)

    monkeypatch.setattr("star.runs.folder.time", SimpleNamespace(monotonic=lambda: clock[0]))
    run = RunFolder(tmp_path, NAMES)
    monkeypatch.setattr("star.base.files.write_text", write)
    for number in range(100):  # from a ledger, in no time
        run.append(evaluated(number).row())
    at_once = len(written)
    assert written == [*range(1, at_once + 1)] and at_once < 10
    for _ in range(1000):  # trained, two at the same time
        clock[0] += 2.2 * seconds / SHARE
        run.append(evaluated(1).row())
        run.append(evaluated(2).row())
    assert written[at_once:] == [*range(101, 2101)]


def test_a_failure_by_limits_is_recalled_in_no_run(tmp_path: Path) -> None:
    def recalled(ledger: str, folder: str, fresh: Evaluated | None = None) -> Evaluation | None:
        memory = open_memory(ledger, tmp_path / folder, RECIPE, Measured.of(()), "f00d")
        if fresh is not None:
            memory.remember(fresh, STEPS)
        found = memory.recall(evaluated(0).candidate.genome, STEPS)
        memory.close()
        return found

    failed, elsewhere = (
        evaluated(0, infeasible("timeout", "took too long")),
        str(tmp_path / "ledger"),
    )
    assert recalled(elsewhere, "first", failed) is None  # it is tried again on resume
    assert recalled(elsewhere, "second", evaluated(0)) == evaluated(0).evaluation
    assert recalled(elsewhere, "first") == evaluated(0).evaluation
    assert recalled("run", "first", failed) is None
    assert recalled("run", "first", evaluated(0)) == evaluated(0).evaluation  # in its place
    (tmp_path / "first").rename(tmp_path / "moved")
    assert recalled("run", "moved") == evaluated(0).evaluation


def test_a_row_that_lacks_an_objective_is_not_recalled_and_gives_way(tmp_path: Path) -> None:
    whole = evaluated(0)
    metrics = {k: v for k, v in whole.evaluation.metrics.items() if k != "cache_bytes"}
    needed = ("cache_bytes",)
    for names, fresh, known in (
        ((), replace(whole, evaluation=replace(whole.evaluation, metrics=metrics)), True),
        (needed, None, False),
        (needed, whole, True),
        (needed, None, True),
    ):
        memory = open_memory("run", tmp_path / "run", RECIPE, Measured.of(()), "f00d", names)
        if fresh is not None:
            memory.remember(fresh, STEPS)
        found = memory.recall(whole.candidate.genome, STEPS)
        assert (found is not None) == known
        memory.close()
