"""The child side of an executor: a process that keeps its corpus and evaluates one task at a time.

Everything here runs in a worker, whoever started it: `start` once, `run` for each candidate.
"""

import ctypes
import os
import platform
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from multiprocessing import parent_process

import torch

from star.base.errors import UserError
from star.base.imports import import_plugins
from star.data import Corpus, load_corpus
from star.evaluation.evaluate import evaluate, measured_by
from star.evaluation.executors.base import Task
from star.evaluation.failures import failure, under_limit
from star.evaluation.limits import MemoryLimit
from star.evaluation.recipe import Recipe
from star.evaluation.result import Evaluation, require_finite
from star.evaluation.states import StateStore

PR_SET_PDEATHSIG = 1  # prctl(2)
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")

Evaluate = Callable[[Task], Evaluation]


@dataclass(frozen=True)
class WorkerSetting:
    """What one worker process runs with. gpu: for `CUDA_VISIBLE_DEVICES`, None leaves it."""

    threads: int
    gpu: str | None = None


@dataclass(frozen=True)
class WorkerTask:
    """What a worker is made for."""

    recipe: Recipe
    memory: int | None = None  # limit in bytes, beyond what the fresh process holds
    states: StateStore | None = None
    plugins: tuple[str, ...] = ()
    fingerprint: str = ""  # that the corpus must have; empty for any
    sources: Mapping[str, str] | None = None  # that objectives must have; None for any
    evaluate: Evaluate | None = None  # instead of training; needs no corpus


class Worker:
    """One worker process, seen from inside."""

    def __init__(self, setting: WorkerSetting, task: WorkerTask) -> None:
        """Prepare the process. Nothing is raised for a corpus that cannot be opened: see `run`."""
        if setting.gpu is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = setting.gpu
        for variable in THREAD_VARIABLES:
            os.environ[variable] = str(setting.threads)
        torch.set_num_threads(setting.threads)
        self.task = task
        self._corpus: Corpus | Exception | None = None
        if task.evaluate is None:
            self._corpus = _open_corpus(task)
        self._limit = MemoryLimit(task.memory, task.recipe.training.torch_device())

    def run(self, task: Task) -> Evaluation:
        """Evaluate one task within the memory limit.

        Exceptions become evaluations here, since not all of them can be sent. Raises `UserError`
        for what no candidate would escape.
        """
        try:
            with self._limit.applied():
                evaluation = require_finite(self._evaluate(task))
        except UserError:
            raise
        except BaseException as error:
            evaluation = failure(error)
        return evaluation if self.task.memory is None else under_limit(evaluation)

    def _evaluate(self, task: Task) -> Evaluation:
        if self.task.evaluate is not None:
            return self.task.evaluate(task)
        if isinstance(self._corpus, Exception):
            raise self._corpus
        assert self._corpus is not None
        recipe, states = self.task.recipe, self.task.states
        if task.seed not in (None, recipe.seed):
            recipe, states = replace(recipe, seed=task.seed), None  # states are of the usual seed
        return evaluate(task.genome, recipe, self._corpus, task.steps, states, task.costs)


def _open_corpus(task: WorkerTask) -> Corpus | Exception:
    """The corpus, or what is wrong with it, for the first candidate: pools do not pass it on."""
    try:
        import_plugins(task.plugins)
        # Imported here, since that would fail in odd ways under the memory limit.
        measured = measured_by(task.recipe)
        measured.prepare()
        sources = measured.sources()
        changed = [name for name, digest in (task.sources or {}).items() if sources[name] != digest]
        if changed:
            raise UserError(
                f"objectives.{changed[0]}: its code is another than when the search began, on "
                f"{platform.node()}; put it back, and run the same command again"
            )
        corpus = load_corpus(task.recipe.data)
        if task.fingerprint not in ("", corpus.fingerprint):
            raise UserError(
                f"data: {platform.node()} finds another text ({corpus.fingerprint}) than the "
                f"search began with ({task.fingerprint}); put the files back as they were, the "
                "same on all nodes, and run the same command again"
            )
        return corpus
    except Exception as error:
        return error


def end_with(parent: int) -> None:
    """Let the system kill this process when its parent ends, however that ends (Linux).

    The children of a killed process outlive it otherwise.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the system was told
        os._exit(1)


_worker: Worker | None = None  # of this process


def start(setting: WorkerSetting, task: WorkerTask) -> None:
    """Make this process a worker; runs once, outside of the limits."""
    global _worker
    parent = parent_process()
    if parent is not None and parent.pid is not None:
        end_with(parent.pid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _worker = Worker(setting, task)


def run(task: Task) -> Evaluation:
    """Evaluate one task in this process."""
    assert _worker is not None
    return _worker.run(task)
