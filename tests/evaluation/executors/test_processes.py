"""Evaluation in worker processes: results, failures, deaths."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch

from star.base.errors import UserError
from star.data import Corpus, DataConfig
from star.evaluation import Evaluation, Measured, Recipe
from star.evaluation.evaluate import evaluate
from star.evaluation.executors import Processes, ProcessesConfig, Setup, Task, processes
from star.evaluation.executors.worker import WorkerSetting
from star.genomes import CacheSetting, Genome, GenomeError, ModelConfig
from star.training import TrainingConfig


def recipe(path: str | None = None, **training: object) -> Recipe:
    settings = {"steps": 3, "batch_size": 2, "length": 16, "device": "cpu", "validation_batches": 2}
    return Recipe(
        ModelConfig(width=32),
        CacheSetting(128, 1, "bfloat16"),
        TrainingConfig(**{**settings, **training}),  # type: ignore[arg-type]
        DataConfig("files", path),
        seed=0,
    )


@pytest.fixture
def corpus() -> Corpus:
    text = np.frombuffer(b"the quick brown fox jumps over the lazy dog. " * 40, dtype=np.uint8)
    return Corpus(text, text, "test")


def test_evaluation_measures_all_objectives(corpus: Corpus) -> None:
    result = evaluate(Genome.from_text("11111-91111"), recipe(), corpus)
    assert result.feasible and result.reason == "" and result.train_seconds > 0
    # Without `repeat_loss`, since no window of 17 bytes of this text repeats four.
    assert set(result.metrics) == {
        "validation_loss", "bits_per_byte", "perplexity", "late_loss", "parameters", "cache_bytes",
    }  # fmt: skip


def test_the_same_candidate_gives_the_same_numbers_whatever_came_before(corpus: Corpus) -> None:
    first = evaluate(Genome.from_text("51111-91111"), recipe(), corpus).metrics
    evaluate(Genome.from_text("81111"), recipe(), corpus)
    torch.rand(5)
    assert evaluate(Genome.from_text("51111-91111"), recipe(), corpus).metrics == first


@pytest.mark.parametrize(
    ("genome", "changes", "reason"),
    [
        ("18.1.1.1.1", {}, "invalid: genome"),
        ("11111-91111", {"learning_rate": 1e30, "gradient_clip": 1e30}, "diverged: "),
    ],
)
def test_failures_become_infeasible_with_their_reason(
    corpus: Corpus, genome: str, changes: dict, reason: str
) -> None:
    result = evaluate(Genome.from_text(genome), recipe(**changes), corpus)
    assert not result.feasible and result.reason.startswith(reason) and "\n" not in result.reason
    assert "validation_loss" not in result.metrics


def test_an_error_of_a_module_is_a_build_error(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("no\nkernel")

    monkeypatch.setattr(import_module("star.evaluation.trainings"), "decode", broken)
    result = evaluate(Genome.from_text("11111"), recipe(), corpus)
    assert result.reason == "build_error: no kernel"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyError("gate"), "build_error: KeyError: 'gate'"),
        (AssertionError("shape"), "build_error: AssertionError: shape"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
            "out_of_memory: DefaultCPUAllocator",
        ),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory: CUDA"),
        (MemoryError(), "out_of_memory: MemoryError"),
    ],
)
@pytest.mark.parametrize(
    ("module", "step"),
    [("trainings", "decode"), ("trainings", "train_further"), ("objectives.base", "validate")],
)
def test_whatever_a_candidate_raises_makes_only_it_infeasible(
    corpus: Corpus,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    step: str,
    error: Exception,
    reason: str,
) -> None:
    def broken(*args: object) -> None:
        raise error

    monkeypatch.setattr(import_module(f"star.evaluation.{module}"), step, broken)
    result = evaluate(Genome.from_text("11111"), recipe(), corpus)
    assert not result.feasible and result.reason.startswith(reason)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (CacheSetting(context=0), "cache.context=0: expected at least 1"),
        (CacheSetting(batch=0), "cache.batch=0: expected at least 1"),
        (CacheSetting(dtype="float8"), "cache.dtype=float8: expected one of float32, bfloat16"),
    ],
)
def test_bad_cache_settings(setting: CacheSetting, message: str) -> None:
    with pytest.raises(GenomeError, match=message):
        setting.check()


def tasks(depths: Sequence[int]) -> list[Task]:
    return [Task(Genome.from_text("-".join(["91111"] * depth)), 3) for depth in depths]


def fail_outside_the_evaluator(task: Task) -> Evaluation:
    """Instead of training: depth 1 raises what no step of the evaluator would."""
    if task.genome.depth == 1:
        raise LookupError("no such thing")
    return Evaluation("ok", "", {"validation_loss": float(task.genome.depth)})


@pytest.mark.slow
def test_a_raising_task_takes_one_candidate_with_it() -> None:
    with Processes([WorkerSetting(1)], Setup(recipe()), fail_outside_the_evaluator) as processes:
        results = dict(processes.evaluate(tasks([2, 1, 3])))
    assert [results[n].status for n in range(3)] == ["ok", "infeasible", "ok"]
    assert results[1].reason == "build_error: LookupError: no such thing"


def die_on_single_livs(task: Task) -> Evaluation:
    """Instead of training: depth 1 kills its process."""
    if task.genome.depth == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return Evaluation("ok", "", {"validation_loss": float(task.genome.depth)})


@pytest.mark.slow
def test_a_dying_worker_takes_one_candidate_with_it() -> None:
    with Processes([WorkerSetting(1)] * 2, Setup(recipe()), die_on_single_livs) as processes:
        results = dict(processes.evaluate(tasks([2, 1, 3, 4, 1, 5])))
    died = {n for n, evaluation in results.items() if evaluation.failure == "worker_died"}
    losses = {n: e.metrics["validation_loss"] for n, e in results.items() if e.feasible}
    assert died == {1, 4} and losses == {0: 2, 2: 3, 3: 4, 5: 5}


@pytest.mark.slow
def test_the_number_of_workers_decides_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAR_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "texts").mkdir()
    for n in range(6):
        (tmp_path / "texts" / f"{n}.txt").write_text(f"some text of file {n} " * 50)
    setup = Setup(recipe(str(tmp_path / "texts")))
    genomes = [Genome.from_text(text) for text in ("11111", "51111", "81111-91111")]
    results = []
    for workers in (1, 2):
        with ProcessesConfig(workers=workers).make(setup) as processes:
            results.append(dict(processes.evaluate([Task(genome, 3) for genome in genomes])))
    assert [results[0][n].metrics for n in range(3)] == [results[1][n].metrics for n in range(3)]
    assert all(results[0][n].feasible for n in range(3))


VISIBLE, CORES = "star.evaluation.executors.processes.visible_gpus", 5


@pytest.mark.parametrize(
    ("config", "gpus", "device", "planned"),
    [
        (ProcessesConfig(), [], "auto", [None] * CORES),
        (ProcessesConfig(), ["0", "1"], "cpu", [None] * CORES),
        (ProcessesConfig(), ["0", "1"], "auto", ["0", "1"]),
        (ProcessesConfig(workers_per_gpu=2), ["4", "7"], "cuda", ["4", "7", "4", "7"]),
        (ProcessesConfig(workers=3), ["4", "7"], "auto", ["4", "7", "4"]),
        (ProcessesConfig(workers=3), [], "auto", [None] * 3),
    ],
    ids=str,
)
def test_workers_are_dealt_to_cores_or_gpus(
    config: ProcessesConfig,
    gpus: list[str],
    device: str,
    planned: list[str | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(VISIBLE, lambda: gpus)
    monkeypatch.setattr("star.evaluation.executors.processes.usable_cores", lambda: CORES)
    config.threads_per_worker = 2
    assert config.plan(device) == [WorkerSetting(2, gpu) for gpu in planned]


@pytest.mark.parametrize("workers", [0, -1, "many", 1.5, True])
def test_bad_worker_counts(workers: object) -> None:
    with pytest.raises(UserError, match=f"executor.workers={workers}: expected 'auto'"):
        ProcessesConfig(workers=workers).check(recipe())


@pytest.mark.parametrize("key", ["workers_per_gpu", "threads_per_worker"])
def test_bad_counts(key: str) -> None:
    with pytest.raises(UserError, match=f"executor.{key}=0: expected at least 1"):
        replace(ProcessesConfig(), **{key: 0}).check(recipe())


@pytest.mark.slow
def test_data_that_cannot_be_opened_end_the_search() -> None:
    with (
        Processes([WorkerSetting(1)], Setup(recipe("/nowhere"))) as processes,
        pytest.raises(UserError, match="nowhere"),
    ):
        list(processes.evaluate(tasks([1])))


@pytest.mark.slow
def test_another_text_than_the_search_began_with_ends_it(tmp_path: Path) -> None:
    """As a node of a cluster may have it."""
    for n in range(6):
        (tmp_path / f"{n}.txt").write_text(f"some text of file {n} " * 50)
    setup = Setup(recipe(str(tmp_path)), fingerprint="0123456789abcdef")
    with (
        Processes([WorkerSetting(1)], setup) as processes,
        pytest.raises(UserError, match=r"^data: .* finds another text .* \(0123456789abcdef\)"),
    ):
        list(processes.evaluate(tasks([1])))


OBJECTIVE = """
from star.evaluation import Objective

class Mine(Objective):
    name = "mine_of_a_test"

    def measure(self, context):
        return {self.name: 1.0}
"""


@pytest.mark.slow
def test_another_code_of_an_objective_than_the_search_began_with_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a process that is replaced would import it."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "objective_of_a_test.py").write_text(OBJECTIVE)
    references = ("objective_of_a_test:Mine",)
    sources = Measured.of(references).sources()
    setup = Setup(replace(recipe(), objectives=references), sources=sources)
    (tmp_path / "objective_of_a_test.py").write_text(OBJECTIVE.replace("1.0", "2.0"))
    with (
        Processes([WorkerSetting(1)], setup) as processes,
        pytest.raises(UserError, match=r"^objectives.mine_of_a_test: its code is another"),
    ):
        list(processes.evaluate(tasks([1])))


def test_processes_that_start_at_once_leave_the_main_module(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pools start theirs anew in threads of their own, each without the program's main module."""
    main, seen = sys.modules["__main__"], list[object]()
    seconds = iter((0.1, 0.3))  # the first to come is the first to go

    def popen(process_obj: object) -> None:
        seen.append(sys.modules["__main__"])
        time.sleep(next(seconds))

    monkeypatch.setattr(processes.SpawnProcess, "_Popen", popen)
    threads = [Thread(target=processes._WorkerProcess._Popen, args=(None,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left, sys.modules["__main__"] = sys.modules["__main__"], main
    assert left is main and main not in seen and len(seen) == 2
