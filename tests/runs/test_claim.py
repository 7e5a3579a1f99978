"""A run folder belongs to its run: files of others stay, one process works in it, and what cannot
be written is one line."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from star.base.errors import UserError
from star.evaluation import Evaluation
from star.evaluation.executors import ProcessesConfig, Task
from star.evaluation.ledger import Ledger
from star.genomes import GenomeFile, load_genome
from star.runs.folder import RunFolder
from star.search import EvolveConfig, Search, SearchConfig
from star.search.halving import HalvingConfig
from star.training import TrainingConfig
from tests.full_disk import FullDisk
from tests.search.made_up import MadeUp, hashed

NAMES = ("validation_loss", "cache_bytes")


def made_search(folder: Path | None, executor: MadeUp | None = None, **settings: Any) -> Search:
    """A small search with made-up results."""
    given = {"objectives": list(NAMES), "population": 6, "generations": 4, "baselines": []}
    search = SearchConfig(**{**given, **settings.pop("search", {})})
    run_dir = None if folder is None else str(folder)
    config = EvolveConfig(**{"depth": 4, "run_dir": run_dir, "search": search, **settings})
    return Search.from_config(config, executor or MadeUp())


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def genome_names(folder: Path) -> set[str]:
    return {path.name for path in (folder / "genomes").glob("*.yaml")}


# Files of others


@pytest.mark.parametrize(
    "name",
    [
        *("population.csv", "pareto.csv", "environment.json", "command.txt"),
        *("states/mine.txt", "genomes/SHA256SUMS"),
    ],
)
@pytest.mark.parametrize("ledger", ["run", "elsewhere.sqlite"])
def test_a_folder_with_a_file_that_a_search_would_overwrite_is_refused_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, ledger: str
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "mine" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    search = made_search(tmp_path / "mine", ledger=ledger)
    with pytest.raises(UserError, match=f"mine: holds {name.removesuffix('/mine.txt')} without"):
        search.run()
    assert content(tmp_path / "mine") == {name: b"mine"}


def test_a_ledger_of_another_program_is_refused_and_nothing_beside_it_is_touched(
    tmp_path: Path,
) -> None:
    for name in ("ledger.sqlite", "environment.json"):
        (tmp_path / name).write_text("mine")
    before = content(tmp_path)
    with pytest.raises(UserError, match="ledger"):
        made_search(tmp_path).run()
    with pytest.raises(UserError, match=r"holds environment\.json without"):
        made_search(tmp_path, ledger=str(tmp_path.parent / f"{tmp_path.name}.sqlite")).run()
    assert content(tmp_path) == before


def test_a_ledger_of_ones_own_makes_no_folder_a_runs(tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger.sqlite").close()
    made_search(tmp_path / "other", ledger=str(tmp_path / "ledger.sqlite")).run()
    (tmp_path / "pareto.csv").write_text("mine")
    with pytest.raises(UserError, match=r"holds pareto\.csv without config\.yaml"):
        made_search(tmp_path).run()
    assert (tmp_path / "pareto.csv").read_text() == "mine"
    (tmp_path / "pareto.csv").unlink()
    assert len(made_search(tmp_path).run().population)  # as after a kill before the configuration


@pytest.mark.parametrize(
    "name",
    [
        *("config.yaml", "environment.json", "command.txt", "population.csv", "pareto.csv"),
        *("ledger.sqlite", "genomes/SHA256SUMS"),
    ],
)
def test_a_pipe_in_place_of_a_file_is_named_and_not_waited_for(tmp_path: Path, name: str) -> None:
    made_search(tmp_path / "run").run()
    (tmp_path / "run" / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / "run" / name)
    with pytest.raises(UserError, match=f"run: {name} there is no regular file"):
        made_search(tmp_path / "run").run()


@pytest.mark.parametrize(
    "text",
    [
        *("search: mine\n", "search: {space: 3}\n", "search: []\n", "- 1\n", "a: 1\n", "", "3"),
        *("search: {algorithm: {_target_: [1]}}\n", "model: mine\n", "cache: mine\n"),
    ],
)
def test_a_configuration_of_something_else_is_refused_and_kept(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    (tmp_path / "environment.json").write_text("mine")
    with pytest.raises(UserError) as caught:
        made_search(tmp_path).run()
    assert str(caught.value).startswith(f"run_dir={tmp_path}: ")
    assert "\n" not in str(caught.value) and "choose another folder" in str(caught.value)
    assert content(tmp_path) == {"config.yaml": text.encode(), "environment.json": b"mine"}


@pytest.mark.slow
def test_ones_own_designs_in_the_genome_folder_survive_a_search_and_its_resume(
    tmp_path: Path,
) -> None:
    first = made_search(tmp_path / "first").run()
    copied = {path.name: path.read_bytes() for path in (tmp_path / "first/genomes").glob("*.yaml")}
    mine = tmp_path / "mine" / "genomes"
    shutil.copytree(tmp_path / "first" / "genomes", mine, ignore=shutil.ignore_patterns("SHA*"))
    (mine / "handmade.yaml").write_text("schema: 1\ngenome: 11111-91111-11111-91111\n")
    (mine / "notes.txt").write_text("mine")
    given = content(mine)
    assert len(copied) > 1 and len(first.front) == len(copied)
    seeds = {"seeds": [str(mine)]}  # they become candidates, most of which leave the front
    begun = made_search(tmp_path / "mine", search={**seeds, "generations": 2}).run().population
    for generations in (2, 6):
        run = made_search(tmp_path / "mine", search={**seeds, "generations": generations}).run()
        assert content(mine).items() >= given.items()
        front = {f"{name}.yaml" for name in run.front["genome_id"]}
        assert genome_names(tmp_path / "mine") == front | {*copied, "handmade.yaml"}
        # The same seeds again, not those that the search wrote beside them.
        ids = list(run.population["genome_id"])
        assert ids[: len(begun)] == list(begun["genome_id"])
    assert {f"{name}.yaml" for name in begun["genome_id"]} > copied.keys()
    assert copied.keys() - front


@pytest.mark.slow
def test_files_that_a_user_adds_to_a_run_or_edits_survive_its_resume(tmp_path: Path) -> None:
    run = made_search(tmp_path / "run", search={"generations": 2}).run()
    edited = tmp_path / "run" / "genomes" / f"{run.front['genome_id'].iloc[-1]}.yaml"
    edited.write_text(edited.read_text() + "# the one I like\n")
    added = {name: tmp_path / "run" / name for name in ("notes.txt", "genomes/mine.yaml")}
    for path in added.values():
        path.write_text("mine")
    resumed = made_search(tmp_path / "run", search={"generations": 30}).run()
    assert edited.stem not in set(resumed.front["genome_id"])  # it left the front
    assert "# the one I like" in edited.read_text()
    assert all(path.read_text() == "mine" for path in added.values())
    front = {f"{name}.yaml" for name in resumed.front["genome_id"]}
    assert genome_names(tmp_path / "run") == front | {edited.name, "mine.yaml"}


def test_what_a_user_keeps_beside_training_states_survives(tmp_path: Path) -> None:
    halving = {"halving": HalvingConfig(rungs=[10])}
    opened = made_search(tmp_path / "run", search=halving).open()
    (tmp_path / "run" / "states").mkdir()
    for name in ("notes.txt", "8613051cefb1.safetensors"):
        (tmp_path / "run" / "states" / name).touch()
    opened.run()
    assert [path.name for path in (tmp_path / "run" / "states").iterdir()] == ["notes.txt"]
    (tmp_path / "run" / "states" / "notes.txt").unlink()
    made_search(tmp_path / "run", search=halving).run()
    assert not (tmp_path / "run" / "states").exists()


def test_the_sums_are_those_of_the_files(tmp_path: Path) -> None:
    made_search(tmp_path / "run").run()
    folder = tmp_path / "run" / "genomes"
    lines = [line.split("  ") for line in (folder / "SHA256SUMS").read_text().splitlines()]
    assert {name for _, name in lines} == genome_names(tmp_path / "run")
    for digest, name in lines:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


@pytest.mark.slow
def test_the_genome_files_of_a_run_of_before_there_were_sums_are_its_own(tmp_path: Path) -> None:
    made_search(tmp_path / "run", search={"generations": 2}).run()
    before = genome_names(tmp_path / "run")
    (tmp_path / "run" / "genomes" / "SHA256SUMS").unlink()
    (tmp_path / "run" / "genomes" / "mine.yaml").write_text("mine")
    run = made_search(tmp_path / "run", search={"generations": 30}).run()
    front = {f"{name}.yaml" for name in run.front["genome_id"]}
    assert before - front and genome_names(tmp_path / "run") == front | {"mine.yaml"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage", ["", "no sums\n", "\xff\0" * 50], ids=["empty", "text", "binary"]
)
def test_damaged_sums_only_leave_files_behind(tmp_path: Path, damage: str) -> None:
    made_search(tmp_path / "run", search={"generations": 2}).run()
    before = genome_names(tmp_path / "run")
    (tmp_path / "run" / "genomes" / "SHA256SUMS").write_bytes(damage.encode("latin1"))
    run = made_search(tmp_path / "run", search={"generations": 30}).run()
    front = {f"{name}.yaml" for name in run.front["genome_id"]}
    assert genome_names(tmp_path / "run") == front | before


# One process


def test_a_folder_in_which_a_search_works_is_refused_until_its_end(tmp_path: Path) -> None:
    first = made_search(tmp_path / "run").open()
    for seed in (0, 1):
        with pytest.raises(
            UserError, match=rf"run: another process works in it \(process {os.getpid()} on .+, "
        ):
            made_search(tmp_path / "run", seed=seed).open()
    run = first.run()
    assert not (tmp_path / "run" / ".star.lock").exists()
    again = made_search(tmp_path / "run").run()
    pd.testing.assert_frame_equal(again.population, run.population)


def test_the_lock_ends_with_a_search_that_fails(tmp_path: Path) -> None:
    def fail(task: Task) -> Evaluation:
        raise ValueError("not the user's")

    for _ in range(2):
        with pytest.raises(ValueError, match="not the user's"):
            made_search(tmp_path / "run", MadeUp(fail)).run()
    made_search(tmp_path / "run").run()


def test_the_lock_ends_with_a_search_that_is_not_run(tmp_path: Path) -> None:
    opened = made_search(tmp_path / "run").open()
    del opened
    made_search(tmp_path / "run").run()


def test_a_folder_that_is_refused_is_not_locked_and_not_changed(tmp_path: Path) -> None:
    made_search(tmp_path / "run").run()
    before = content(tmp_path)
    with pytest.raises(UserError, match="seed is 0 there, 1 here"):
        made_search(tmp_path / "run", seed=1).run()
    assert content(tmp_path) == before


def test_leftovers_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    made_search(tmp_path / "run").run()
    dead, run = 2**22 + 1, tmp_path / "run"  # more than Linux counts to
    (run / "states").mkdir()
    left = (".population.csv", ".config.yaml", "genomes/.8613051cefb1.yaml", "genomes/.SHA256SUMS")
    paths = [run / f"{name}.{dead}" for name in (*left, "states/.8613051cefb1.safetensors")]
    mine = [run / f".mine.csv.{dead}", run / f".population.csv.{os.getppid()}"]
    for path in (*paths, *mine):
        path.write_text("half of")
    made_search(run).run()
    assert not [path for path in paths if path.exists()]
    assert all(path.exists() for path in mine)


# What cannot be written


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize(
    "part",
    [
        *("config.yaml", "environment.json", "population.csv", "pareto.csv", "genomes/"),
        "SHA256SUMS",
    ],
)
def test_a_full_disk_is_one_line_and_the_run_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, after: int
) -> None:
    monkeypatch.setattr("star.runs.folder.FREE_SECONDS", float("inf"))
    whole = made_search(tmp_path / "whole").run()
    disk = FullDisk(monkeypatch, part, after)
    try:
        made_search(tmp_path / "run").run()
    except UserError as error:
        assert str(error) == (
            f"run_dir={tmp_path / 'run'}: cannot be written (No space left on device); free some "
            "space, and the same command goes on from what is there"
        )
    else:
        assert after and part in ("config.yaml", "environment.json")  # written once
    assert not list((tmp_path / "run").rglob(".*"))
    for path in (tmp_path / "run").glob("*.csv"):
        pd.read_csv(path)
    disk.is_full = False
    pd.testing.assert_frame_equal(made_search(tmp_path / "run").run().front, whole.front)


@pytest.mark.slow
def test_runs_of_one_name_share_no_training_states_of_another_recipe_or_seed(
    tmp_path: Path,
) -> None:
    shared = ProcessesConfig(states=str(tmp_path / "states"))

    def place(folder: str, **settings: Any) -> str:
        search = made_search(tmp_path / folder / "run", **settings)
        search.config.executor = shared
        opened = search.open()
        opened.run()
        return opened._states.url

    first = place("a")
    assert first == place("b") and first.startswith(str(shared.states))
    others = [place("c", seed=1), place("d", training=TrainingConfig(learning_rate=0.1))]
    assert len({first, *others}) == 3


def test_tables_are_never_cut_by_a_resume_that_fails(tmp_path: Path) -> None:
    finished = made_search(tmp_path / "run").run().population
    before = content(tmp_path / "run")
    calls = []

    def fail(task: Task) -> Evaluation:
        calls.append(task)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return hashed(task)

    (tmp_path / "run" / "ledger.sqlite").unlink()  # everything must be evaluated again
    with pytest.raises(KeyboardInterrupt):
        made_search(tmp_path / "run", MadeUp(fail)).run()
    after = content(tmp_path / "run")
    for name in ("population.csv", "pareto.csv"):
        assert after[name] == before[name]
    again = made_search(tmp_path / "run").run().population
    pd.testing.assert_frame_equal(again, finished)
    shorter = made_search(tmp_path / "run", search={"generations": 2}).run()
    assert len(shorter.population) < len(finished)


def test_a_name_longer_than_the_file_system_allows_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be written \(File name too long\); choose a sho"):
        made_search(tmp_path / ("x" * 300)).run()


@pytest.mark.parametrize("setting", ["run_dir", "ledger", "experiment_name"])
def test_a_path_of_thousands_of_characters_is_not_repeated_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="File name too long") as caught:
        made_search(**{"folder": None, setting: "abcdefghi/" * 500}).run()
    assert len(str(caught.value)) < 700 and "abcdefghi/ab" in str(caught.value)


def test_a_link_to_itself_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "run").symlink_to("run")
    with pytest.raises(UserError, match="run: cannot be written"):
        made_search(tmp_path / "run").run()


# What is gone


def after_some(count: int, do: Callable[[], object]) -> MadeUp:
    """An executor that does something before a candidate."""
    calls = []

    def result(task: Task) -> Evaluation:
        calls.append(task)
        if len(calls) == count:
            do()
        return hashed(task)

    return MadeUp(result)


@pytest.mark.parametrize("count", [3, 24])  # 24: the last one
def test_a_ledger_that_is_deleted_while_it_is_written_is_missed(tmp_path: Path, count: int) -> None:
    ledger = tmp_path / "run" / "ledger.sqlite"
    executor = after_some(count, ledger.unlink)
    with pytest.raises(UserError, match=r"ledger .+: was moved, deleted or replaced while the"):
        made_search(tmp_path / "run", executor).run()
    assert len(pd.read_csv(tmp_path / "run" / "population.csv")) >= count


@pytest.mark.parametrize("count", [3, 24])
@pytest.mark.parametrize("ledger", ["run", "elsewhere.sqlite"])
def test_a_folder_that_is_deleted_while_it_is_written_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, ledger: str
) -> None:
    monkeypatch.chdir(tmp_path)
    executor = after_some(count, lambda: shutil.rmtree(tmp_path / "run"))
    with pytest.raises(UserError, match="run: cannot be written|ledger .+: was moved, deleted"):
        made_search(tmp_path / "run", executor, ledger=ledger).run()


def test_a_genome_that_has_no_file_yet_gets_one(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, NAMES)
    genome = load_genome("lfm2", 4)[0]
    folder.write_views([], [({}, GenomeFile("mine", genome))])
    (tmp_path / "genomes" / "mine.yaml").unlink()
    folder.write_views([], [({}, GenomeFile("mine", genome))])
    assert genome_names(tmp_path) == {"mine.yaml"}
