"""Faults of candidates in real worker processes: each has its reason, all others their results."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from star.base.errors import UserError
from star.data import DataConfig
from star.evaluation import FAILURES, Evaluation, LimitsConfig, Recipe
from star.evaluation.executors import Processes, Setup, Task
from star.evaluation.executors.worker import WorkerSetting
from star.evaluation.failures import CIRCUMSTANTIAL, failure, is_circumstantial
from star.genomes import CacheSetting, Genome, GenomeError, ModelConfig
from star.training import TrainingConfig

RECIPE = Recipe(ModelConfig(), CacheSetting(), TrainingConfig(device="cpu"), DataConfig(), seed=0)
CPU = torch.device("cpu")
IS_LINUX = sys.platform == "linux"
MARKERS = "STAR_TEST_MARKERS"
HELD: list[np.ndarray] = []


class Unsendable(Exception):
    """Can be pickled, but not unpickled."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other}")


class Speechless(Exception):
    """Cannot even be printed."""

    def __str__(self) -> str:
        raise ValueError


def healthy() -> Evaluation:
    return Evaluation("ok", "", {"validation_loss": 1.0})


def segfault() -> Evaluation:
    ctypes.string_at(0)
    return healthy()


def kill() -> Evaluation:
    os.kill(os.getpid(), signal.SIGKILL)
    return healthy()


def kill_once() -> Evaluation:
    marker = Path(os.environ[MARKERS]) / "killed"
    if marker.exists():
        return healthy()
    marker.touch()
    return kill()


def exit_cleanly() -> Evaluation:
    os._exit(0)


def exit_with_error() -> Evaluation:
    sys.exit(3)


def allocate() -> Evaluation:
    while True:
        HELD.append(np.zeros(2**24, dtype=np.uint8))  # counted, though no page of it is touched


def hang() -> Evaluation:
    """Sleep for ever, deaf to the polite signal."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(1000)
    return healthy()


def raise_unsendable() -> Evaluation:
    raise Unsendable("this", "that")


def diverge() -> Evaluation:
    return Evaluation(
        "ok", "", {"validation_loss": float("nan"), "perplexity": float("inf"), "parameters": 5}
    )


# One fault a row, chosen by a genome's depth: what happens, and how its reason begins when it is
# not tried again.
FAULTS: list[tuple[Callable[[], Evaluation], str]] = [
    (segfault, "worker_died: the worker process was killed by SIGSEGV, in attempt 1"),
    (exit_cleanly, "worker_died: the worker process ended with exit code 0, in attempt 1"),
    (exit_with_error, "worker_died: SystemExit: 3"),
    (hang, "timeout: took longer than limits.seconds=3"),
    (
        raise_unsendable,
        f"{'memory_limit' if IS_LINUX else 'build_error'}: Unsendable: this and that",
    ),
    (diverge, "diverged: validation_loss is nan, perplexity is inf"),
]
if IS_LINUX:
    FAULTS.append((allocate, "out_of_memory: MemoryError: Unable to allocate"))
FIRST_HEALTHY = len(FAULTS) + 1


def fault_by_depth(task: Task) -> Evaluation:
    """Instead of training: the fault of this depth, or a result that tells the depth and needs time
    and memory."""
    depth = task.genome.depth
    if depth < FIRST_HEALTHY:
        return FAULTS[depth - 1][0]()
    time.sleep(0.1)
    # Not there in a process that still holds what ran out of memory before.
    size = np.zeros(200 * 10**6, dtype=np.uint8).size
    return Evaluation("ok", "", {"validation_loss": float(depth), "size": size})


def tasks(depths: Sequence[int]) -> list[Task]:
    return [Task(Genome.from_text("-".join(["91111"] * depth)), 1) for depth in depths]


def check_result(depth: int, evaluation: Evaluation) -> None:
    if depth >= FIRST_HEALTHY:
        assert evaluation.feasible and evaluation.metrics["validation_loss"] == depth, evaluation
        return
    reason = FAULTS[depth - 1][1]
    assert not evaluation.feasible and evaluation.reason.startswith(reason), evaluation
    if reason.startswith("diverged"):
        assert evaluation.metrics == {"parameters": 5}


@pytest.mark.slow
def test_every_fault_has_its_reason_and_all_other_results_are_right() -> None:
    depths = [
        depth for number in range(1, FIRST_HEALTHY) for depth in (FIRST_HEALTHY + number, number)
    ]
    depths += range(2 * FIRST_HEALTHY, 2 * FIRST_HEALTHY + 10)
    limits = LimitsConfig(seconds=3, memory="300MB" if IS_LINUX else None, retries=0)
    with Processes([WorkerSetting(1)] * 2, Setup(RECIPE, limits), fault_by_depth) as processes:
        finished = list(processes.evaluate(tasks(depths)))
    assert sorted(index for index, _ in finished) == list(range(len(depths)))
    for index, evaluation in finished:
        check_result(depths[index], evaluation)


def die_at_first(task: Task) -> Evaluation:
    """Instead of training: depth 1 kills its process once, depth 2 always, others tell which it
    is."""
    if task.genome.depth <= 2:
        return (kill_once, kill)[task.genome.depth - 1]()
    return Evaluation("ok", "", {"pid": os.getpid()})


@pytest.mark.slow
def test_the_dead_are_tried_again_and_processes_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(MARKERS, str(tmp_path))
    with Processes([WorkerSetting(1)], Setup(RECIPE), die_at_first) as processes:
        finished = list(processes.evaluate(tasks([3, 1, 2, 4])))
        assert [index for index, _ in finished] == [0, 1, 2, 3]  # each once
        first, once, always, last = (evaluation for _, evaluation in finished)
        assert once == healthy() and (tmp_path / "killed").exists()
        assert always.reason == (
            "worker_died: the worker process was killed by SIGKILL, "
            "which the system sends when memory runs out, in attempt 2"
        )
        os.kill(int(last.metrics["pid"]), signal.SIGKILL)  # between two candidates
        ((_, fresh),) = processes.evaluate(tasks([3]))
    assert len({first.metrics["pid"], last.metrics["pid"], fresh.metrics["pid"]}) == 3


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (LimitsConfig(seconds=0), "limits.seconds=0: expected a positive number"),
        (LimitsConfig(seconds=float("nan")), "limits.seconds=nan: expected a positive number"),
        (LimitsConfig(memory="abc"), "limits.memory=abc: expected a number, alone or with a unit"),
        (LimitsConfig(memory=0), "limits.memory=0: expected a positive quantity"),
        (LimitsConfig(retries=-1), "limits.retries=-1: expected a whole number of at least 0"),
    ],
)
def test_bad_limits_are_refused(limits: LimitsConfig, message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        Processes([], Setup(RECIPE, limits))


# In a process of its own: one that has run other tests has freed memory to give out again.
LIMITED = """
from star.evaluation.limits import MemoryLimit

with MemoryLimit(100 * 10**6, torch.device("cpu")).applied():
    assert len(bytearray(50 * 10**6))
    try:
        bytearray(150 * 10**6)
    except MemoryError:
        pass
    else:
        raise AssertionError("150 MB were given")
assert len(bytearray(150 * 10**6))
"""
PEAK = """
from star.evaluation.limits import peak_bytes, reset_peak

cpu, size = torch.device("cpu"), 4 * 10**8
reset_peak(cpu)
before = peak_bytes(cpu)
assert len(b"x" * size)
largest = peak_bytes(cpu)
assert before + size // 2 < largest < before + 2 * size, (before, largest)
reset_peak(cpu)
if sys.platform == "linux":
    assert peak_bytes(cpu) < largest - size // 2
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        pytest.param(
            LIMITED,
            id="a limit holds for what a process takes beyond what it has",
            marks=pytest.mark.skipif(not IS_LINUX, reason="memory is limited on Linux"),
        ),
        pytest.param(PEAK, id="the peak is that of one evaluation"),
    ],
)
def test_memory(code: str) -> None:
    command = [sys.executable, "-c", f"import sys\nimport torch\n{code}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (SystemExit(1), "worker_died"),
        (RuntimeError("CUDA error: device-side assert triggered"), "worker_died"),
        (RuntimeError("CUDA error: out of memory"), "out_of_memory"),
        (OSError(12, "Cannot allocate memory"), "out_of_memory"),
        (RuntimeError("std::bad_alloc"), "out_of_memory"),
        (TimeoutError(), "system_error"),  # of its own; that of limits is the executor's
        (OSError(28, "No space left on device"), "system_error"),
        (OSError(5, "Input/output error"), "system_error"),
        (OSError(24, "Too many open files"), "system_error"),
        (ConnectionResetError(), "system_error"),
        (RuntimeError("cannot write: [Errno 28] No space left on device"), "system_error"),
        (KeyboardInterrupt(), "worker_died"),
        (RecursionError(), "build_error"),
        (Speechless(), "build_error"),
    ],
)
def test_exceptions_have_their_kind(error: BaseException, kind: str) -> None:
    assert failure(error).failure == kind
    assert kind in {row.kind for row in FAILURES}


def odd_errors(task: Task) -> Evaluation:
    """Instead of training: by depth, what is seen where memory ends; 4 is the genome's fault."""
    if task.genome.depth == 4:
        raise GenomeError("no such genome")
    raise {
        1: SystemError("error return without exception set"),
        2: TypeError("'frame' object is not callable"),
        3: KeyError("gate"),
    }[task.genome.depth]


@pytest.mark.slow
@pytest.mark.parametrize("memory", [None, "1GB" if IS_LINUX else None])
def test_under_a_memory_limit_an_odd_error_is_taken_for_its_doing(memory: str | None) -> None:
    setup = Setup(RECIPE, LimitsConfig(memory=memory))
    with Processes([WorkerSetting(1)], setup, odd_errors) as processes:
        found = dict(processes.evaluate(tasks([1, 2, 3, 4])))
    kind = "memory_limit" if memory else "build_error"
    assert [found[n].failure for n in range(4)] == [kind, kind, kind, "invalid"]
    assert found[0].reason == f"{kind}: SystemError: error return without exception set"
    assert not is_circumstantial(found[3])
    if memory:
        assert kind in CIRCUMSTANTIAL and all(is_circumstantial(found[n]) for n in range(3))
