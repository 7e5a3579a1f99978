"""Worker processes that evaluate candidates side by side.

Each slot is a pool of one process, so a process that dies or takes too long takes one candidate
with it and is replaced. A worker keeps its corpus open between candidates, and has a fixed number
of threads: results do not depend on how many workers there are.
"""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.context import SpawnContext, SpawnProcess
from threading import Thread
from types import TracebackType
from typing import Any

from pebble import ProcessExpired, ProcessPool

from star.base.errors import UserError
from star.data import Corpus, load_corpus
from star.evaluation.evaluate import (
    OUT_OF_MEMORY,
    TIMEOUT,
    WORKER_DIED,
    Evaluation,
    Recipe,
    evaluate,
    failure,
    infeasible,
    require_finite,
)
from star.evaluation.limits import LimitsConfig, MemoryLimit
from star.evaluation.rungs import Rung
from star.genomes import Genome

Task = Callable[
    ..., Evaluation
]  # of a genome, and of a rung when it is not to be trained to the end

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class WorkerSetting:
    """What one worker process runs with. gpu: value for `CUDA_VISIBLE_DEVICES`, None leaves it as
    it is."""

    threads: int
    gpu: str | None = None


def visible_gpus() -> list[str]:
    """Names of the GPUs that workers may use, as `CUDA_VISIBLE_DEVICES` wants them; empty without
    CUDA."""
    import torch

    if not torch.cuda.is_available():
        return []
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    return (
        listed.split(",") if listed else [str(index) for index in range(torch.cuda.device_count())]
    )


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def plan_workers(
    workers: object, workers_per_gpu: int, threads: int, device: str
) -> list[WorkerSetting]:
    """One setting a worker. `auto` is one worker per core, or `workers_per_gpu` per GPU.

    Raises `UserError` for anything but `auto` or whole numbers of at least 1.
    """
    for name, value in (("workers_per_gpu", workers_per_gpu), ("threads_per_worker", threads)):
        if value < 1:
            raise UserError(f"{name}={value}: expected a whole number of at least 1")
    is_count = isinstance(workers, int) and not isinstance(workers, bool) and workers >= 1
    if workers != "auto" and not is_count:
        raise UserError(f"workers={workers}: expected 'auto' or a whole number of at least 1")
    gpus = [] if device == "cpu" else visible_gpus()
    automatic = len(gpus) * workers_per_gpu if gpus else usable_cores()
    count = workers if isinstance(workers, int) else automatic
    return [WorkerSetting(threads, gpus[n % len(gpus)] if gpus else None) for n in range(count)]


POLL = 0.2  # seconds
# After these a process that is still there is replaced: its heap is in pieces, or its GPU context
# is lost.
UNTRUSTED = {OUT_OF_MEMORY, WORKER_DIED}

_recipe: Recipe | None = None
_memory_limit: MemoryLimit | None = None
_corpus: Corpus | Exception | None = None


def _start_worker(
    setting: WorkerSetting, recipe: Recipe, needs_corpus: bool, memory: int | None
) -> None:
    """Runs once in each worker process, outside of the limits. memory: limit in bytes."""
    global _recipe, _memory_limit
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    if setting.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = setting.gpu
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(setting.threads)
    import torch

    torch.set_num_threads(setting.threads)
    _recipe = recipe
    if needs_corpus:
        _open_corpus(recipe)
    _memory_limit = MemoryLimit(memory, recipe.training.torch_device())


def _open_corpus(recipe: Recipe) -> None:
    """Open the corpus, or keep what is wrong with it for the first candidate: a pool does not pass
    it on."""
    global _corpus
    try:
        _corpus = load_corpus(recipe.data)
    except Exception as error:
        _corpus = error


def evaluate_in_worker(genome: Genome, rung: Rung | None = None) -> Evaluation:
    """Evaluate one genome under the worker's recipe and corpus. Raises the error with which the
    corpus was opened."""
    assert _recipe is not None and _corpus is not None
    if isinstance(_corpus, Exception):
        raise _corpus
    return evaluate(genome, _recipe, _corpus, rung)


def _run_task(task: Task, *task_arguments: Any) -> Evaluation:
    """A task within the memory limit. Exceptions become evaluations here, since not all of them can
    be sent."""
    assert _memory_limit is not None
    try:
        with _memory_limit.applied():
            return require_finite(task(*task_arguments))
    except UserError:
        raise
    except BaseException as error:
        return failure(error)


class _WorkerProcess(SpawnProcess):
    """A process that never ends by itself: pebble takes exit code 0 for wanted and would wait for
    ever."""

    EXITED = 256

    @property
    def exitcode(self) -> int | None:
        """As the process's own, but `EXITED` for 0."""
        code = super().exitcode
        return self.EXITED if code == 0 else code


class _WorkerContext(SpawnContext):
    Process = _WorkerProcess


@contextmanager
def _blocked_interrupt() -> Iterator[None]:
    """Processes that start within it inherit a blocked SIGINT, so that Ctrl-C never interrupts
    their start."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


class _Slot:
    """A pool of one process, and another in its place when it can no longer be used."""

    def __init__(self, initargs: tuple[Any, ...]) -> None:
        self._initargs = initargs
        self._ending: list[Thread] = []
        self._pool = self._make()

    def _make(self) -> ProcessPool:
        return ProcessPool(
            1, initializer=_start_worker, initargs=self._initargs, context=_WorkerContext()
        )

    @property
    def is_usable(self) -> bool:
        """Whether the pool works; started if it was not."""
        return self._pool.active

    def replace(self) -> None:
        """End the process beside everything else, since that may take seconds, and start a fresh
        one."""
        self._ending.append(Thread(target=_end, args=(self._pool,)))
        self._ending[-1].start()
        self._pool = self._make()
        self.start()

    def start(self) -> None:
        """Start the process."""
        with _blocked_interrupt():
            _ = self.is_usable

    def schedule(
        self, task: Task, task_arguments: list[Any], seconds: float | None
    ) -> Future[Evaluation]:
        """Hand over one candidate."""
        if not self.is_usable:  # the process was killed while it had nothing to do
            self.replace()
        return self._pool.schedule(_run_task, args=[task, *task_arguments], timeout=seconds)

    def stop(self) -> None:
        """End the process at once; `join` waits for it."""
        self._pool.stop()

    def join(self) -> None:
        """Wait until every process of this slot has ended."""
        self._pool.join()
        for thread in self._ending:
            thread.join()


def _end(pool: ProcessPool) -> None:
    pool.stop()
    pool.join()


@dataclass(frozen=True)
class _Attempt:
    """The evaluation of a candidate for the number-th time, from 1."""

    index: int
    genome: Genome
    number: int = 1


class Workers:
    """A context manager over the worker processes of one search."""

    def __init__(
        self,
        settings: Sequence[WorkerSetting],
        recipe: Recipe,
        task: Task = evaluate_in_worker,
        check: Callable[[], None] = lambda: None,
        limits: LimitsConfig | None = None,
    ) -> None:
        """check is called at least every `POLL` seconds while candidates train, and may raise to
        end the search.

        Raises `UserError` for limits that cannot be used.
        """
        self._task = task
        self._check = check
        self._limits = limits or LimitsConfig()
        self._limits.check()
        common = (recipe, task is evaluate_in_worker, self._limits.memory_bytes())
        self._slots = [_Slot((setting, *common)) for setting in settings]

    def __enter__(self) -> "Workers":
        """Start the processes."""
        for slot in self._slots:
            slot.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End every process at once."""
        for slot in self._slots:
            slot.stop()
        for slot in self._slots:
            slot.join()

    def evaluate(
        self, genomes: Sequence[Genome], rung: Rung | None = None
    ) -> Iterator[tuple[int, Evaluation]]:
        """Evaluate genomes, yielding (index, evaluation) once for each as it finishes; to a rung
        where one is given.

        A candidate whose process dies is tried again as often as the limits say, and then
        infeasible.
        """
        waiting = [_Attempt(index, genome) for index, genome in enumerate(genomes)][::-1]
        running: dict[Future[Evaluation], tuple[_Attempt, _Slot]] = {}
        idle = list(self._slots)
        while waiting or running:
            while waiting and idle:
                attempt, slot = waiting.pop(), idle.pop(0)
                task_arguments = [attempt.genome] if rung is None else [attempt.genome, rung]
                running[slot.schedule(self._task, task_arguments, self._limits.seconds)] = (
                    attempt,
                    slot,
                )
            done, _ = wait(running, timeout=POLL, return_when=FIRST_COMPLETED)
            self._check()
            for future in done | _lost(running):
                attempt, slot = running.pop(future)
                evaluation = self._result(future, attempt)
                if evaluation.failure in UNTRUSTED and not _is_replaced(future):
                    slot.replace()
                idle.append(slot)
                if evaluation.failure == WORKER_DIED and attempt.number <= self._limits.retries:
                    waiting.append(replace(attempt, number=attempt.number + 1))
                else:
                    yield attempt.index, evaluation

    def _result(self, future: Future[Evaluation], attempt: _Attempt) -> Evaluation:
        """What a task returned, or the failure it ended with: one candidate never takes the search
        down."""
        if not future.done():
            return infeasible(
                WORKER_DIED,
                f"the worker process ended before it began, in attempt {attempt.number}",
            )
        try:
            return future.result()
        except UserError:
            raise
        except ProcessExpired as error:
            return infeasible(
                WORKER_DIED, f"{_ending(error.exitcode)}, in attempt {attempt.number}"
            )
        except FutureTimeoutError:
            return infeasible(TIMEOUT, f"took longer than limits.seconds={self._limits.seconds:g}")
        except Exception as error:
            return failure(error)


def _lost(running: dict[Future[Evaluation], tuple[_Attempt, _Slot]]) -> set[Future[Evaluation]]:
    """What was handed to a pool in the moment in which it broke: nobody would ever finish it."""
    return {future for future, (_, slot) in running.items() if not slot.is_usable}


def _is_replaced(future: Future[Evaluation]) -> bool:
    """Whether pebble has put a fresh process in the place of the task's."""
    return future.done() and isinstance(future.exception(), ProcessExpired)


def _ending(exitcode: int) -> str:
    """How a process ended, in words."""
    if exitcode >= 0:
        return f"the worker process ended with exit code {exitcode % _WorkerProcess.EXITED}"
    name = signal.Signals(-exitcode).name
    cause = ", which the system sends when memory runs out" if name == "SIGKILL" else ""
    return f"the worker process was killed by {name}{cause}"
