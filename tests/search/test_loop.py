"""The generation loop with made-up evaluations, in memory and in a run folder."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pymoo.util.nds.fast_non_dominated_sort import fast_non_dominated_sort

from star.base.errors import UserError
from star.evaluation import Evaluation
from star.evaluation.executors import Task
from star.genomes import read_genome_file
from star.runs.columns import columns
from star.runs.progress import Progress
from star.runs.run import Run
from star.search import EvolveConfig, Search, SearchConfig
from tests.search.made_up import MadeUp, hashed

GA = "pymoo.algorithms.soo.nonconvex.ga.GA"
NSGA2 = "pymoo.algorithms.moo.nsga2.NSGA2"


def make(folder: Path | None = None, order: int | None = None, **settings: Any) -> Search:
    """A search of four generations of eight, with made-up results."""
    given = {
        "objectives": ["validation_loss", "cache_bytes"],
        "population": 8,
        "generations": 4,
        "baselines": ["transformer_pp"],
        **settings,
    }
    config = EvolveConfig(seed=7, depth=4, search=SearchConfig(**given))
    config.run_dir = None if folder is None else str(folder)
    return Search.from_config(config, MadeUp(order=order))


class Watch(Progress):
    """Calls a function after each candidate."""

    def __init__(self, function: Callable[[], None]) -> None:
        self.candidate_finished = function


def test_results_do_not_depend_on_the_order_of_finishing(tmp_path: Path) -> None:
    make(tmp_path / "a", order=1).run()
    make(tmp_path / "b", order=2).run()
    for name in ("population.csv", "pareto.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_no_architecture_is_evaluated_twice() -> None:
    search = make(seeds=["transformer_pp", "mamba"])
    assert list(search.generations()) == [-1, 0, 1, 2, 3]
    asked = [genome.id for genome in search.executor.genomes]  # type: ignore[union-attr]
    assert len(asked) == len(set(asked)) == len(search.archive)
    # The seed transformer_pp is the baseline, so 1 + 4 x 8 proposals make 32 evaluations.
    assert len(asked) == 32


def test_csvs_hold_what_they_promise(tmp_path: Path) -> None:
    search = make(tmp_path / "run", seeds=["mamba"])
    run = search.run()
    population = pd.read_csv(
        run.path / "population.csv", dtype={"genome_id": str}, keep_default_na=False
    )
    assert tuple(population.columns) == columns(search.measured.names)
    assert len(population) == len(search.archive)
    assert set(population["origin"]) == {"baseline", "seed", "random", "offspring"}
    known = set(population["genome_id"])
    offspring = population[population["origin"] == "offspring"]
    assert all(set(parents.split()) <= known and parents for parents in offspring["parents"])
    failed = population[population["status"] == "infeasible"]
    assert len(failed) and set(failed["reason"]) == {"diverged: loss is nan at step 3"}
    assert set(failed["rank"]) == {""} and set(failed["validation_loss"]) == {""}
    measured = population[population["status"] == "ok"]
    values = measured[["validation_loss", "cache_bytes"]].astype(float).to_numpy()
    front = set(measured["genome_id"].iloc[fast_non_dominated_sort(values)[0]])
    pareto = pd.read_csv(run.path / "pareto.csv", dtype={"genome_id": str})
    assert set(pareto["genome_id"]) == front
    assert front == set(measured[measured["rank"].astype(int) == 0]["genome_id"])
    assert list(pareto["cache_bytes"]) == sorted(pareto["cache_bytes"])
    paths = (run.path / "genomes").glob("*.yaml")
    files = {path.stem: read_genome_file(path) for path in paths}
    assert set(files) == front
    for genome_id, content in files.items():
        assert content.genome.id == genome_id
        loss = search.archive[genome_id].evaluation.metrics["validation_loss"]
        assert content.metrics["validation_loss"] == loss


def test_candidates_are_in_the_csv_as_soon_as_they_finish(tmp_path: Path) -> None:
    search = make(tmp_path, baselines=["transformer_pp", "mamba"], population=2, generations=1)
    lines = []
    search.run(
        Watch(lambda: lines.append(len((tmp_path / "population.csv").read_text().splitlines())))
    )
    assert lines == [2, 3, 4, 5]


def test_an_interrupt_keeps_what_has_finished(tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    search = make(tmp_path, baselines=["transformer_pp", "mamba"])
    with pytest.raises(KeyboardInterrupt):
        search.run(Watch(interrupt))
    assert len(search.archive) == 1
    assert not search.executor.is_running  # type: ignore[union-attr]
    assert list(pd.read_csv(tmp_path / "population.csv")["rank"]) == [0]
    again = make(tmp_path, baselines=["transformer_pp", "mamba"])
    again.run()
    assert len(again.archive) == len(again.executor.asked) + 1  # type: ignore[union-attr]


def test_a_run_without_a_ledger_is_never_overwritten(tmp_path: Path) -> None:
    make(tmp_path).run()
    for name in ("config.yaml", "ledger.sqlite"):
        (tmp_path / name).unlink()
    before = (tmp_path / "population.csv").read_bytes()
    with pytest.raises(UserError, match="holds environment.json without config.yaml of a run"):
        make(tmp_path).run()
    assert (tmp_path / "population.csv").read_bytes() == before


@pytest.mark.parametrize(("target", "objectives"), [(NSGA2, 2), (NSGA2, 1), (GA, 1)])
def test_an_odd_population_and_one_objective_work(target: str, objectives: int) -> None:
    names = ["validation_loss", "cache_bytes"][:objectives]
    search = make(
        algorithm={"_target_": target},
        objectives=names,
        population=7,
        generations=3,
        baselines=[],
    )
    assert list(search.generations()) == [-1, 0, 1, 2]
    assert len(search.archive) == 21


def test_nothing_is_written_before_a_search_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    search = make(tmp_path / "run")
    assert not search.executor.asked and not search.executor.is_running  # type: ignore[union-attr]
    for _ in search.generations():
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_search_runs_in_a_thread_and_leaves_what_it_would_have_left(tmp_path: Path) -> None:
    """Only the main thread gets Ctrl-C, so that a handler cannot be set in another."""
    runs = []
    thread = threading.Thread(target=lambda: runs.append(make(tmp_path / "thread").run()))
    thread.start()
    thread.join()
    make(tmp_path / "main").run()
    (run,) = runs
    assert run.path == tmp_path / "thread"
    for name in ("population.csv", "pareto.csv"):
        assert (tmp_path / "main" / name).read_bytes() == (run.path / name).read_bytes()


def test_two_runs_that_begin_in_one_second_get_two_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock:
        """A clock that stands still."""

        @staticmethod
        def now() -> "Clock":
            return Clock()

        def strftime(self, pattern: str) -> str:
            return "2026-01-02_03-04-05"

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("star.runs.provenance.datetime", Clock)
    paths = [make(population=2, generations=1).run().path for _ in range(3)]
    parent = Path("runs") / "search"
    names = ["2026-01-02_03-04-05" + suffix for suffix in ("", "_2", "_3")]
    assert paths == [parent / name for name in names]
    assert all((path / "pareto.csv").is_file() for path in paths)


@pytest.mark.parametrize("ledger", ["file/ledger", "folder", "text"])
def test_an_unusable_ledger_ends_the_search_with_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ledger: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("no database\n" * 100)
    before = sorted(tmp_path.rglob("*"))
    for run_dir in (None, "run"):
        search = make()
        search.config.ledger, search.config.run_dir = ledger, run_dir
        with pytest.raises(UserError, match=f"ledger.*{ledger.partition('/')[0]}"):
            search.run()
    assert sorted(tmp_path.rglob("*")) == before


def test_the_command_says_so_in_one_line(command: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = command("evolve", "+experiment=smoke", "scale=cpu", "ledger=file/ledger")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ledger") and result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_given_executor_hears_of_an_interrupt_between_results(tmp_path: Path) -> None:
    """It knows nothing of Ctrl-C, which is only noted while a search runs."""
    search = make(tmp_path)
    executor = search.executor
    assert isinstance(executor, MadeUp)

    def interrupted(task: Task) -> Evaluation:
        if len(executor.asked) > 9 and task is executor.asked[-2]:  # the last but one of a batch
            signal.raise_signal(signal.SIGINT)
        return hashed(task)

    executor.result = interrupted
    with pytest.raises(KeyboardInterrupt):
        search.run()
    assert len(search.archive) == len(executor.asked) - 1
    assert len(Run.open(tmp_path).population) == len(search.archive)


def test_a_seed_that_fails_is_named_with_its_reason() -> None:
    search = make(seeds=["hyena", "mamba"])
    for _ in search.generations():
        pass
    (line,) = search.lost_seeds()
    assert line.startswith("seed GConv-2") and line.endswith("diverged: loss is nan at step 3")
