"""Evaluation in worker processes: results, failures, deaths."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from star.base.errors import UserError
from star.data import Corpus, DataConfig
from star.evaluation import CacheSetting, Evaluation, Recipe, Workers, plan_workers
from star.evaluation.evaluate import evaluate
from star.genomes import Genome, GenomeError, ModelConfig
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
    assert set(result.metrics) == {
        "validation_loss", "bits_per_byte", "perplexity", "parameters", "cache_bytes",
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

    monkeypatch.setattr("star.evaluation.evaluate.decode", broken)
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
@pytest.mark.parametrize("step", ["decode", "train_further", "validate"])
def test_whatever_a_candidate_raises_makes_only_it_infeasible(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, step: str, error: Exception, reason: str
) -> None:
    def broken(*args: object) -> None:
        raise error

    monkeypatch.setattr(f"star.evaluation.evaluate.{step}", broken)
    result = evaluate(Genome.from_text("11111"), recipe(), corpus)
    assert not result.feasible and result.reason.startswith(reason)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (CacheSetting(context=0), "cache.context=0: expected a whole number"),
        (CacheSetting(batch=0), "cache.batch=0: expected a whole number"),
        (CacheSetting(dtype="float8"), "cache.dtype=float8: expected one of float32, bfloat16"),
    ],
)
def test_bad_cache_settings(setting: CacheSetting, message: str) -> None:
    with pytest.raises(GenomeError, match=message):
        setting.check()


def fail_outside_the_evaluator(genome: Genome) -> Evaluation:
    """A task for workers: depth 1 raises what no step of the evaluator would."""
    if genome.depth == 1:
        raise LookupError("no such thing")
    return Evaluation("ok", "", {"validation_loss": float(genome.depth)})


@pytest.mark.slow
def test_a_raising_task_takes_one_candidate_with_it() -> None:
    genomes = [Genome.from_text("-".join(["91111"] * depth)) for depth in (2, 1, 3)]
    with Workers(plan_workers(1, 1, 1, "cpu"), recipe(), fail_outside_the_evaluator) as workers:
        results = dict(workers.evaluate(genomes))
    assert [results[n].status for n in range(3)] == ["ok", "infeasible", "ok"]
    assert results[1].reason == "build_error: LookupError: no such thing"


def die_on_single_livs(genome: Genome) -> Evaluation:
    """A task for workers: depth 1 kills its process."""
    if genome.depth == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return Evaluation("ok", "", {"validation_loss": float(genome.depth), "pid": os.getpid()})


@pytest.mark.slow
def test_a_dying_worker_takes_one_candidate_with_it() -> None:
    genomes = [Genome.from_text("-".join(["91111"] * depth)) for depth in (2, 1, 3, 4, 1, 5)]
    settings = plan_workers(2, 1, 1, "cpu")
    with Workers(settings, recipe(), die_on_single_livs) as workers:
        results = dict(workers.evaluate(genomes))
    assert [results[n].status for n in range(6)] == [
        "ok",
        "infeasible",
        "ok",
        "ok",
        "infeasible",
        "ok",
    ]
    assert results[1].reason.startswith("worker_died: ")
    assert [results[n].metrics["validation_loss"] for n in (0, 2, 3, 5)] == [2, 3, 4, 5]


@pytest.mark.slow
def test_workers_give_what_the_parent_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAR_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "texts").mkdir()
    for n in range(6):
        (tmp_path / "texts" / f"{n}.txt").write_text(f"some text of file {n} " * 50)
    genomes = [Genome.from_text(text) for text in ("11111", "51111", "81111-91111")]
    results = []
    for count in (1, 2):
        with Workers(plan_workers(count, 1, 1, "cpu"), recipe(str(tmp_path / "texts"))) as workers:
            results.append(dict(workers.evaluate(genomes)))
    assert [results[0][n].metrics for n in range(3)] == [results[1][n].metrics for n in range(3)]
    assert all(results[0][n].feasible for n in range(3))


def test_plan_workers() -> None:
    assert len(plan_workers("auto", 1, 1, "cpu")) == len(os.sched_getaffinity(0))
    assert [setting.threads for setting in plan_workers(3, 1, 2, "cpu")] == [2, 2, 2]


@pytest.mark.parametrize("workers", [0, -1, "many", 1.5, True])
def test_bad_worker_counts(workers: object) -> None:
    with pytest.raises(UserError, match=f"workers={workers}: expected 'auto'"):
        plan_workers(workers, 1, 1, "cpu")


@pytest.mark.slow
def test_data_that_cannot_be_opened_end_the_search() -> None:
    with (
        Workers(plan_workers(1, 1, 1, "cpu"), recipe("/nowhere")) as workers,
        pytest.raises(UserError, match="nowhere"),
    ):
        list(workers.evaluate([Genome.from_text("11111")]))
