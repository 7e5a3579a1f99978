"""What every executor must do: answer each task once, whatever happens to some, and end at once.

    from star.testing.executors import ExecutorSuite

    class TestMine(ExecutorSuite):
        def make(self, setup):
            return Mine(setup)

pytest then runs the tests of `ExecutorSuite` on it. What goes wrong with a candidate goes wrong in
an objective, `Fault`, so that nothing but `make` need be known of the executor.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest

from star.base.errors import UserError
from star.data import DataConfig
from star.evaluation import Context, Evaluation, LimitsConfig, Objective, Recipe
from star.evaluation.executors import Executor, Setup, Task, patience
from star.evaluation.executors.base import text_fingerprint
from star.evaluation.objectives import OWN
from star.evaluation.states import StateStore
from star.genomes import CacheSetting, Genome, ModelConfig
from star.training import TrainingConfig

LONG = 1000  # seconds that no test waits for
SLOW = 2.0  # seconds of the slow candidate
CALLS = 4  # of `check` meanwhile, at the least; every 0.2 s is asked for
PATIENCE = 60  # seconds, on a busy machine, for what should take one or two


def fail() -> float:
    """Raise what no step of an evaluation would."""
    raise LookupError("no such thing")


def crash() -> float:
    """Read where nothing is."""
    return float(len(ctypes.string_at(0)))


def hang() -> float:
    """Sleep, deaf to the polite signal."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(LONG)
    return 0.0


def allocate() -> float:
    """Take ever more memory."""
    held = []
    while True:
        held.append(bytearray(2**26))


def be_slow() -> float:
    """Sleep a little."""
    time.sleep(SLOW)
    return 0.0


# What happens to a genome, by its text; and how the reason of its result begins.
INVALID, DIVERGING, FAILING = "91115-91111", "91111-91111", "91111-81111"
CRASHING, HANGING, GREEDY, SLUGGISH = "91111-71111", "91111-51111", "91111-11111", "91111-31111"
FAULTS: dict[str, Callable[[], float]] = {
    DIVERGING: lambda: float("nan"),
    FAILING: fail,
    CRASHING: crash,
    HANGING: hang,
    GREEDY: allocate,
    SLUGGISH: be_slow,
}
REASONS = {
    INVALID: "invalid: ",
    DIVERGING: "diverged: fault is nan",
    FAILING: "build_error: LookupError: no such thing",
    CRASHING: "worker_died: ",
    HANGING: "timeout: took longer than limits.seconds=",
    GREEDY: "out_of_memory: ",
}


@dataclass
class Fault(Objective):
    """What happens to a genome of `FAULTS`, 0 for others. folder: gets a file named by each process
    that measures it."""

    name: ClassVar[str] = "fault"
    folder: str = ""

    def measure(self, context: Context) -> Mapping[str, float]:
        """Say where it is measured, then do it."""
        (Path(self.folder) / str(os.getpid())).touch()
        return {self.name: FAULTS.get(context.genome.to_text(), lambda: 0.0)()}


class Ended(Exception):
    """Somebody ends the search."""


class ExecutorSuite:
    """Override `make`; for an executor that looks results up, `trains` and `recipe` too."""

    trains: ClassVar[bool] = True  # False: no candidate can fail while it is trained
    genomes: ClassVar[Sequence[str]] = ("91111-71111-91111", "11111-91111-31111")
    rungs: ClassVar[tuple[int, int]] = (10, 20)  # steps

    def make(self, setup: Setup) -> Executor:
        """The executor under test, not entered yet."""
        raise NotImplementedError

    def recipe(self, folder: Path) -> Recipe:
        """How candidates are trained and measured. folder: an empty one for what it reads."""
        for number in range(6):
            (folder / f"{number}.txt").write_text(f"the quick brown fox of text {number} " * 40)
        (folder / "processes").mkdir()
        return Recipe(
            ModelConfig(width=32),
            CacheSetting(128, 1, "bfloat16"),
            TrainingConfig(
                steps=self.rungs[-1],
                batch_size=2,
                length=16,
                device="cpu",
                validation_batches=2,
            ),
            DataConfig("files", f"{folder}/*.txt"),
            seed=0,
            objectives=(f"{__name__}:{Fault.__name__}",),
            settings={Fault.name: {"folder": str(folder / "processes")}},
        )

    def unusable(self, recipe: Recipe) -> tuple[Recipe, int]:
        """A recipe and a rung that no candidate can be evaluated with."""
        missing = replace(recipe.data, path="/nowhere/at/all")
        return replace(recipe, data=missing), self.rungs[-1]

    def evaluate(self, setup: Setup, tasks: Sequence[Task]) -> dict[int, Evaluation]:
        """Results by index, from an executor of its own; each index once."""
        with self.make(setup) as executor:
            return _answers(executor, tasks)

    def test_every_task_is_answered_once_and_failures_are_results(self, tmp_path: Path) -> None:
        """Twice by the same executor, in another order: equal genomes get equal numbers."""
        texts = [INVALID, *self.genomes, *self.genomes]
        if self.trains:
            texts = [DIVERGING, self.genomes[0], FAILING, *texts]
        tasks = [_task(text, self.rungs[-1]) for text in texts]
        with self.make(Setup(self.recipe(tmp_path))) as executor:
            first, again = _answers(executor, tasks), _answers(executor, tasks[::-1])
            assert _answers(executor, []) == {}
        metrics: dict[str, Mapping[str, float]] = {}
        for results, order in ((first, texts), (again, texts[::-1])):
            for index, text in enumerate(order):
                found = results[index]
                assert found.reason.startswith(REASONS.get(text, "")), found
                assert found.feasible == (text not in REASONS), found
                assert metrics.setdefault(text, found.metrics) == found.metrics
        assert len({str(metrics[text]) for text in self.genomes}) == len(self.genomes)

    def test_a_user_error_is_passed_on(self, tmp_path: Path) -> None:
        """Since no other candidate would fare better."""
        recipe, steps = self.unusable(self.recipe(tmp_path))
        with self.make(Setup(recipe)) as executor, pytest.raises(UserError):
            list(executor.evaluate([_task(self.genomes[0], steps)]))

    def test_a_text_that_changes_under_it_ends_it(self, tmp_path: Path) -> None:
        """A process that is replaced would train on the new one; size and time are the same."""
        if not self.trains:
            pytest.skip("it reads no text")
        recipe = self.recipe(tmp_path)
        tasks = [_task(text, self.rungs[0]) for text in (self.genomes[0], *[CRASHING] * 4)]
        setup = Setup(recipe, LimitsConfig(retries=1), fingerprint=text_fingerprint(recipe))
        with self.make(setup) as executor:
            assert _answers(executor, tasks[:1])[0].feasible
            path = tmp_path / "0.txt"
            before = path.stat()
            path.write_text(path.read_text().replace("quick", "speed"))
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            with pytest.raises(UserError, match=r"^data: .* finds another text"):
                list(executor.evaluate(tasks[1:]))

    def test_a_seed_of_a_task_is_that_of_its_training(self, tmp_path: Path) -> None:
        """As if the recipe had it, whatever state of the recipe's own seed is kept."""
        recipe, steps = self.recipe(tmp_path), self.rungs[-1]
        states = StateStore(str(tmp_path / "states"))
        usual = _task(self.genomes[0], steps)
        with self.make(Setup(recipe, states=states)) as executor:
            found = _answers(executor, [usual, replace(usual, seed=1), replace(usual, seed=0)])
        with self.make(Setup(replace(recipe, seed=1))) as executor:
            expected = _answers(executor, [usual])
        assert found[1].metrics == expected[0].metrics != found[0].metrics
        assert found[2].metrics == found[0].metrics

    def test_rungs_are_the_beginning_of_the_whole_training(self, tmp_path: Path) -> None:
        """Whether a training goes on from its state of the rung before, or begins anew."""
        recipe, (first, last) = self.recipe(tmp_path), self.rungs
        states = StateStore(str(tmp_path / "states"))
        lower, upper = ([_task(text, steps) for text in self.genomes] for steps in (first, last))
        with self.make(Setup(recipe, states=states)) as executor:
            climbed = [_answers(executor, lower), _answers(executor, upper)]
        with self.make(Setup(recipe)) as executor:
            straight = [_answers(executor, lower), _answers(executor, upper)]
        for found, expected in zip(climbed, straight, strict=True):
            assert _metrics(found) == _metrics(expected)
        assert all(evaluation.feasible for evaluation in climbed[0].values())
        assert _metrics(climbed[0]) != _metrics(climbed[1])

    def test_before_training_nothing_of_the_trained_model_is_measured(self, tmp_path: Path) -> None:
        """Rung 0 of a search asks for no training at all."""
        if not self.trains:
            pytest.skip("it trains nothing")
        task = Task(Genome.from_text(self.genomes[0]), 0, (OWN,))
        found = self.evaluate(Setup(self.recipe(tmp_path)), [task])[0]
        assert found.feasible and found.train_seconds == 0
        assert {*found.metrics} == {"parameters", "cache_bytes"}
        assert not list((tmp_path / "processes").iterdir())

    def test_the_check_ends_it(self, tmp_path: Path) -> None:
        """What `check` raises comes out, whether candidates take long or not."""

        def check() -> None:
            raise Ended

        setup = Setup(self.recipe(tmp_path), check=check)
        with self.make(setup) as executor, pytest.raises(Ended):
            list(executor.evaluate([_task(self.genomes[0], self.rungs[0])]))

    def test_the_check_is_called_while_candidates_train(self, tmp_path: Path) -> None:
        """And a candidate that hangs is not left running when it ends the search."""
        if not self.trains:
            pytest.skip("nothing takes long")
        recipe, hanging = self.recipe(tmp_path), False
        processes = tmp_path / "processes"
        calls: list[int] = []

        def check() -> None:
            calls.append(len(list(processes.iterdir())))
            if hanging and calls[-1]:
                raise Ended

        tasks = [_task(text, self.rungs[0]) for text in (SLUGGISH, HANGING)]
        with self.make(Setup(recipe, check=check)) as executor:
            _answers(executor, tasks[:1])
            assert sum(present > 0 for present in calls) >= CALLS
            for path in processes.iterdir():
                path.unlink()
            hanging = True
            with pytest.raises(Ended):
                list(executor.evaluate(tasks[1:]))
        _wait_for_end(processes)

    def test_what_hangs_is_ended_without_a_limit_of_the_users(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """By `limits.seconds=auto`, the default, from what the others took."""
        if not self.trains:
            pytest.skip("nothing hangs")
        monkeypatch.setattr(patience, "LEAST", 20.0)  # more than a worker takes to start, even
        monkeypatch.setattr(patience, "FACTOR", 3.0)  # on a busy machine
        texts = [HANGING, self.genomes[1], SLUGGISH]
        with self.make(Setup(self.recipe(tmp_path))) as executor:
            assert _answers(executor, [_task(self.genomes[0], self.rungs[0])])[0].feasible
            results = _answers(executor, [_task(text, self.rungs[0]) for text in texts])
        assert results[0].reason.startswith("timeout: took longer than "), results[0]
        assert "limits.seconds=auto" in results[0].reason and "limits.seconds=auto" in caplog.text
        assert results[1].feasible and results[2].feasible, results
        _wait_for_end(tmp_path / "processes")

    def test_crashes_and_limits_end_one_candidate(self, tmp_path: Path) -> None:
        """Its process takes nothing else with it, and is replaced."""
        if not self.trains:
            pytest.skip("nothing is trained")
        memory = sys.platform == "linux"
        limits = LimitsConfig(seconds=30, memory="300MB" if memory else None, retries=1)
        bad = [CRASHING, HANGING, *([GREEDY] if memory else [])]
        texts = [text for fault in bad for text in (self.genomes[0], fault, self.genomes[1])]
        tasks = [_task(text, self.rungs[0]) for text in texts]
        results = self.evaluate(Setup(self.recipe(tmp_path), limits), tasks)
        for index, text in enumerate(texts):
            found = results[index]
            assert found.reason.startswith(REASONS.get(text, "")), found
            assert found.feasible == (text in self.genomes), found
        _wait_for_end(tmp_path / "processes")


def _task(text: str, steps: int) -> Task:
    return Task(Genome.from_text(text), steps)


def _answers(executor: Executor, tasks: Sequence[Task]) -> dict[int, Evaluation]:
    finished = list(executor.evaluate(tasks))
    assert sorted(index for index, _ in finished) == list(range(len(tasks)))
    return dict(finished)


def _metrics(results: Mapping[int, Evaluation]) -> list[Mapping[str, float]]:
    return [results[index].metrics for index in sorted(results)]


def _wait_for_end(processes: Path) -> None:
    """Wait until every process that measured a candidate has ended; AssertionError if one stays."""
    pids = [int(path.name) for path in processes.iterdir()]
    assert pids and os.getpid() not in pids
    deadline = time.monotonic() + PATIENCE
    while left := [pid for pid in pids if _is_running(pid)]:
        assert time.monotonic() < deadline, f"left running: {left}"
        time.sleep(0.1)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
