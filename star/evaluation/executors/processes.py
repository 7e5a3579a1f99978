"""Worker processes on this machine that evaluate candidates side by side.

Each slot is a pool of one process, so a process that dies or takes too long takes one candidate
with it and is replaced. A worker keeps its corpus open between candidates, and has a fixed number
of threads: results do not depend on how many workers there are.
"""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, replace
from multiprocessing.context import SpawnContext, SpawnProcess
from threading import Lock, Thread
from types import ModuleType
from typing import Any

from pebble import ProcessExpired, ProcessPool

from star.base.errors import UserError
from star.base.interrupts import blocked_interrupt
from star.base.ranges import Range, expect_ranges
from star.base.settings import expect
from star.evaluation.executors import worker
from star.evaluation.executors.base import ExecutorConfig, Setup, Task, text_fingerprint
from star.evaluation.executors.patience import Patience
from star.evaluation.executors.worker import Evaluate, WorkerSetting, WorkerTask
from star.evaluation.failures import (
    MEMORY_LIMIT,
    OUT_OF_MEMORY,
    SYSTEM_ERROR,
    TIMEOUT,
    WORKER_DIED,
    failure,
)
from star.evaluation.recipe import Recipe
from star.evaluation.result import Evaluation, infeasible

POLL = 0.2  # seconds
# After these a process that is still there is replaced: its heap is in pieces, its GPU context is
# lost, or it has no files left to open.
UNTRUSTED = {OUT_OF_MEMORY, MEMORY_LIMIT, SYSTEM_ERROR, WORKER_DIED}
COUNTS, MOST_WORKERS = ("workers_per_gpu", "threads_per_worker"), 4096
_STARTING = Lock()  # of one process at a time: each pool starts its own anew, in its own thread


def visible_gpus() -> list[str]:
    """Names of the GPUs that workers may use, as `CUDA_VISIBLE_DEVICES` wants them."""
    import torch

    if not torch.cuda.is_available():
        return []
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    return listed.split(",") if listed else [str(n) for n in range(torch.cuda.device_count())]


def usable_cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@dataclass
class ProcessesConfig(ExecutorConfig):
    """Worker processes on this machine."""

    workers: Any = "auto"  # number of processes; auto: one a core, or workers_per_gpu a GPU
    workers_per_gpu: int = 1  # for auto with GPUs
    threads_per_worker: int = 1  # fixed, so that results do not depend on the number of workers

    def check(self, recipe: Recipe) -> None:
        """Raise `UserError` naming the key, its value and what was expected."""
        expect_ranges("executor.", self, dict.fromkeys(COUNTS, Range(1, MOST_WORKERS)))
        is_count = isinstance(self.workers, int) and not isinstance(self.workers, bool)
        fits = self.workers == "auto" or (is_count and 1 <= self.workers <= MOST_WORKERS)
        expected = f"'auto' or a whole number from 1 to {MOST_WORKERS:,}"
        expect("executor.workers", self.workers, fits, expected)

    def plan(self, device: str) -> list[WorkerSetting]:
        """One setting a worker. device: `training.device`; the GPUs are dealt out in turn."""
        gpus = [] if device == "cpu" else visible_gpus()
        automatic = len(gpus) * self.workers_per_gpu if gpus else usable_cores()
        count = automatic if self.workers == "auto" else int(self.workers)
        dealt = [gpus[number % len(gpus)] if gpus else None for number in range(count)]
        return [WorkerSetting(self.threads_per_worker, gpu) for gpu in dealt]

    def fingerprint(self, recipe: Recipe, space: dict[str, Any], rungs: Sequence[int]) -> str:
        """Fingerprint of the text, which must suit the training and the model."""
        return text_fingerprint(recipe)

    def at_once(self, recipe: Recipe) -> int:
        """One a process."""
        return len(self.plan(recipe.training.device))

    def make(self, setup: Setup) -> "Processes":
        """The processes, not started yet."""
        return Processes(self.plan(setup.recipe.training.device), setup)


class _WorkerProcess(SpawnProcess):
    """A process that never ends by itself: pebble takes exit code 0 for wanted and would wait for
    ever."""

    EXITED = 256

    @property
    def exitcode(self) -> int | None:
        """The process's exit code, but `EXITED` in place of 0."""
        code = super().exitcode
        return self.EXITED if code == 0 else code

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        """Start it without the program's main module: workers need nothing of it.

        A spawned process would import it again, so that a script which starts a search outside of
        `if __name__ == "__main__"` would start another one in each worker.
        """
        with _STARTING:
            main = sys.modules["__main__"]
            sys.modules["__main__"] = ModuleType("__main__")
            try:
                return SpawnProcess._Popen(process_obj)
            finally:
                sys.modules["__main__"] = main


class _WorkerContext(SpawnContext):
    Process = _WorkerProcess


class _Slot:
    """A pool of one process, and another in its place when it can no longer be used."""

    def __init__(self, initargs: tuple[Any, ...]) -> None:
        self._initargs = initargs
        self._ending: list[Thread] = []
        self._pool = self._make()

    def _make(self) -> ProcessPool:
        return ProcessPool(
            1, initializer=worker.start, initargs=self._initargs, context=_WorkerContext()
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
        with blocked_interrupt():
            _ = self.is_usable  # pebble starts a pool when it is asked for its state

    def schedule(self, task: Task, seconds: float | None) -> Future[Evaluation]:
        """Hand over one candidate."""
        if not self.is_usable:  # the process was killed while it had nothing to do
            self.replace()
        return self._pool.schedule(worker.run, args=[task], timeout=seconds)

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
    """The evaluation of a task for the number-th time, from 1."""

    index: int
    task: Task
    number: int = 1


Running = dict[Future[Evaluation], tuple[_Attempt, "_Slot"]]


class Processes:
    """A context manager over the worker processes of one search."""

    def __init__(
        self, settings: Sequence[WorkerSetting], setup: Setup, evaluate: Evaluate | None = None
    ) -> None:
        """Plan the processes; entering the context starts them.

        Args:
            settings: one a process.
            setup: recipe, limits, training states and what is called between results.
            evaluate: instead of decoding and training; a function that can be sent to a process.

        Raises:
            UserError: for limits that cannot be used.
        """
        setup.limits.check()
        self._setup, self._patience = setup, Patience(setup.limits)
        memory = setup.limits.memory_bytes()
        plugins = tuple(setup.plugins)
        child = WorkerTask(
            setup.recipe,
            memory,
            setup.states,
            plugins,
            setup.fingerprint,
            setup.sources,
            evaluate,
        )
        self._slots = [_Slot((setting, child)) for setting in settings]

    def __enter__(self) -> "Processes":
        """Start the processes."""
        for slot in self._slots:
            slot.start()
        return self

    def __exit__(self, *error: object) -> None:
        """End every process at once."""
        for slot in self._slots:  # all are told before any is waited for
            slot.stop()
        for slot in self._slots:
            slot.join()

    def evaluate(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Evaluation]]:
        """Evaluate tasks, yielding (index, evaluation) once for each as it finishes.

        A candidate whose process dies is tried again as often as the limits say.
        """
        limits, seconds = self._setup.limits, self._setup.limits.fixed_seconds()
        self._patience.clear()  # of what nobody waited for
        # Taken from the end: tasks in their order, but for one that is tried again, which is next.
        waiting = [_Attempt(index, task) for index, task in enumerate(tasks)][::-1]
        running: Running = {}
        idle = list(self._slots)
        while waiting or running:
            while waiting and idle:
                attempt, slot = waiting.pop(), idle.pop(0)
                future = slot.schedule(attempt.task, seconds)
                running[future] = (attempt, slot)
                self._patience.begin(future, attempt.task)
            # The timeout lets `check` end the search, and lost tasks be found, while all train.
            done, _ = wait(running, timeout=POLL, return_when=FIRST_COMPLETED)
            self._setup.check()
            for future in done | _lost(running):
                attempt, slot = running.pop(future)
                evaluation = self._result(future, attempt)
                self._patience.end(future, evaluation)
                if evaluation.failure in UNTRUSTED and not _is_replaced(future):
                    slot.replace()
                idle.append(slot)
                if evaluation.failure == WORKER_DIED and attempt.number <= limits.retries:
                    waiting.append(replace(attempt, number=attempt.number + 1))
                else:
                    yield attempt.index, evaluation
            for key, evaluation in self._patience.overdue():
                attempt, slot = running.pop(key)  # type: ignore[arg-type]  # keys are futures
                slot.replace()
                idle.append(slot)
                yield attempt.index, evaluation

    def _result(self, future: Future[Evaluation], attempt: _Attempt) -> Evaluation:
        """What a task returned, or the failure it ended with: none takes the search down."""
        where = f"in attempt {attempt.number}"
        if not future.done():
            return infeasible(WORKER_DIED, f"the worker process ended before it began, {where}")
        try:
            return future.result()
        except UserError:
            raise
        except ProcessExpired as error:
            return infeasible(WORKER_DIED, f"{_ending(error.exitcode)}, {where}")
        except FutureTimeoutError:
            return infeasible(
                TIMEOUT, f"took longer than limits.seconds={self._setup.limits.seconds}"
            )
        except BrokenExecutor as error:
            return infeasible(WORKER_DIED, f"{type(error).__name__}: {error}, {where}")
        except Exception as error:
            return failure(error)


def _lost(running: Running) -> set[Future[Evaluation]]:
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
