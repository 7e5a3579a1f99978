"""Worker processes that evaluate candidates side by side.

Each slot is a pool of one process, so a process that dies takes one candidate with it and is replaced. A worker keeps
its corpus open between candidates, and has a fixed number of threads: results do not depend on how many
workers there are.
"""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from multiprocessing import get_context
from types import TracebackType
from typing import Any

from pebble import ProcessExpired, ProcessPool

from star.errors import UserError
from star.evaluation.evaluator import WORKER_DIED, Evaluation, Recipe, evaluate, failure, infeasible
from star.genomes import Genome

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class WorkerSetting:
    """What one worker process runs with. gpu: value for `CUDA_VISIBLE_DEVICES`, None leaves it as it is."""

    threads: int
    gpu: str | None = None


def visible_gpus() -> list[str]:
    """Names of the GPUs that workers may use, as `CUDA_VISIBLE_DEVICES` wants them; empty without CUDA."""
    import torch

    if not torch.cuda.is_available():
        return []
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    return listed.split(",") if listed else [str(index) for index in range(torch.cuda.device_count())]


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def plan_workers(workers: object, workers_per_gpu: int, threads: int, device: str) -> list[WorkerSetting]:
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


_recipe: Recipe | None = None


def _start_worker(setting: WorkerSetting, recipe: Recipe) -> None:
    """Runs once in each worker process."""
    global _recipe
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    if setting.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = setting.gpu
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(setting.threads)
    import torch

    torch.set_num_threads(setting.threads)
    _recipe = recipe


POLL = 0.2  # seconds

_corpora: dict[int, Any] = {}


def evaluate_in_worker(genome: Genome) -> Evaluation:
    """Evaluate one genome under the worker's recipe; the corpus is opened by the first candidate."""
    from star.data import load_corpus

    assert _recipe is not None
    if not _corpora:
        _corpora[0] = load_corpus(_recipe.data)
    return evaluate(genome, _recipe, _corpora[0])


class Workers:
    """A context manager over the worker processes of one search."""

    def __init__(
        self,
        settings: Sequence[WorkerSetting],
        recipe: Recipe,
        task: Callable[[Genome], Evaluation] = evaluate_in_worker,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """check is called at least every `POLL` seconds while candidates train, and may raise to end the search."""
        self._task = task
        self._check = check
        self._pools = [
            ProcessPool(
                max_workers=1,
                initializer=_start_worker,
                initargs=(setting, recipe),
                context=get_context("spawn"),  # type: ignore[arg-type]
            )
            for setting in settings
        ]

    def __enter__(self) -> "Workers":
        """Start the processes. They inherit a blocked SIGINT, so that Ctrl-C never interrupts their start."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for pool in self._pools:
                _ = pool.active
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every process at once."""
        for pool in self._pools:
            pool.stop()
        for pool in self._pools:
            pool.join()

    def evaluate(self, genomes: Sequence[Genome]) -> Iterator[tuple[int, Evaluation]]:
        """Evaluate genomes, yielding (index, evaluation) as each finishes."""
        waiting = list(enumerate(genomes))[::-1]
        running: dict[Future[Evaluation], tuple[int, ProcessPool]] = {}
        idle = list(self._pools)
        while waiting or running:
            while waiting and idle:
                index, genome = waiting.pop()
                pool = idle.pop(0)
                running[pool.schedule(self._task, args=[genome])] = (index, pool)
            done, _ = wait(running, timeout=POLL, return_when=FIRST_COMPLETED)
            self._check()
            for future in done:
                index, pool = running.pop(future)
                idle.append(pool)
                yield index, _result(future)


def _result(future: Future[Evaluation]) -> Evaluation:
    """What a task returned, or the failure it ended with: one candidate never takes the search down."""
    try:
        return future.result()
    except ProcessExpired as error:
        return infeasible(WORKER_DIED, f"the worker process ended with exit code {error.exitcode}")
    except UserError:
        raise
    except Exception as error:
        return failure(error)
