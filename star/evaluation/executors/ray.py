"""Evaluation on a Ray cluster: a local one of this process, or one that is there already.

An actor on a node holds one worker process, as `executor=processes` has them, and hands it one
candidate after the other. So a candidate that crashes, hangs or wants too much memory ends a
process that is not Ray's, under our own limits; Ray places the actors and says when a node is lost.
Its candidates are evaluated elsewhere then.
"""

import logging
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from star.base.errors import UserError
from star.base.files import temporary_folder
from star.base.interrupts import kept_handlers
from star.base.ranges import Range, expect_ranges
from star.base.settings import expect
from star.evaluation.executors.base import ExecutorConfig, Setup, Task, never, text_fingerprint
from star.evaluation.executors.patience import Patience
from star.evaluation.executors.processes import POLL, Processes, usable_cores
from star.evaluation.executors.worker import Evaluate, WorkerSetting, end_with
from star.evaluation.failures import OUT_OF_MEMORY, WORKER_DIED
from star.evaluation.limits import AUTO
from star.evaluation.recipe import Recipe
from star.evaluation.result import Evaluation, infeasible

# What Ray reads from the environment when it starts: candidates that ran out of memory are tried
# again without end otherwise, and nothing is reported to its makers.
ENVIRONMENT = {
    "RAY_task_oom_retries": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # and no warning about a change of this default
}
OBJECT_STORE = 10**8  # bytes; only results pass through it
# Paths of sockets have 107 characters.
SHORT_FOLDER = Path("/tmp" if sys.platform != "win32" else tempfile.gettempdir())
PATIENCE = 10.0  # seconds for an address to answer
STAFFING = 5.0  # seconds between two looks at what the cluster holds
SPARE = 1  # actors beyond that, which wait for a node that joins
MOST_FAILED_STARTS = 3  # one after the other
RANGES = {
    "cpus": Range(0, 10**6, above=True),
    "gpus": Range(0, 10**6),
    "threads": Range(1, 4096),
    "in_flight": Range(1, 10**6),
}
MOST_LOSSES = 10  # of nodes under one candidate, which then is the likely cause


@dataclass
class RayConfig(ExecutorConfig):
    """A Ray cluster (docs/executors.md)."""

    address: str | None = None  # null: a local cluster of this process; auto; or host:port
    cpus: float = 1.0  # of one candidate, may be a fraction
    gpus: float | None = None  # of one candidate; null: 1 where there are any, unless device=cpu
    threads: int = 1  # of one candidate, fixed, so that results do not depend on the cluster
    in_flight: int | None = None  # most candidates at once; null: what the cluster holds

    def check(self, recipe: Recipe) -> None:
        """Raise `UserError` naming the key, its value and what was expected."""
        expect_ranges("executor.", self, RANGES)
        gpus = self.gpus or 0.0
        fits = gpus >= 0 and (gpus <= 1 or gpus == int(gpus))
        expect("executor.gpus", self.gpus, fits, "a share of one GPU, a whole number, or null")
        import_ray()

    def fingerprint(self, recipe: Recipe, space: dict[str, Any], rungs: Sequence[int]) -> str:
        """Of the text, which must suit the training and the model."""
        return text_fingerprint(recipe)

    def at_once(self, recipe: Recipe) -> int:
        """The most; what the cluster holds shows later."""
        return self.in_flight or 1

    def make(self, setup: Setup) -> "RayExecutor":
        """What evaluates on the cluster, not connected yet."""
        return RayExecutor(self, setup)


def import_ray() -> Any:
    """The package, quiet. Raises `UserError` where the extra is missing."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise UserError("executor=ray: Ray is not installed; pip install ray") from None
    return ray


class Host:
    """An actor: one worker process on the node where Ray places it."""

    def __init__(
        self, setting: WorkerSetting, setup: Setup, folder: str, evaluate: Evaluate | None
    ) -> None:
        """Start the process.

        Args:
            setting: of the process; Ray has chosen the GPUs.
            setup: as the search's.
            folder: where relative paths of settings begin, where the node has it too.
            evaluate: instead of training.
        """
        end_with(os.getppid())  # Ray's own way does not end an actor that is busy
        with suppress(OSError):
            os.chdir(folder)
        self._processes = Processes([setting], setup, evaluate).__enter__()

    def node(self) -> str:
        """Id of the node; an answer says that the actor is there."""
        return import_ray().get_runtime_context().get_node_id()

    def evaluate(self, task: Task) -> Evaluation | UserError:
        """Evaluate one task; a `UserError` is returned, since Ray wraps what is raised."""
        try:
            ((_, evaluation),) = self._processes.evaluate([task])
        except UserError as error:
            return error
        return evaluation


@dataclass(eq=False)
class _Slot:
    """An actor, seen from the driver. node: id of its node, empty while it waits for one."""

    actor: Any
    node: str = ""


@dataclass(frozen=True)
class _Attempt:
    """A task, how often its actor has died, and how often its node was lost."""

    index: int
    task: Task
    deaths: int = 0
    losses: int = 0


class RayExecutor:
    """A context manager over the actors of one search."""

    def __init__(self, config: RayConfig, setup: Setup, evaluate: Evaluate | None = None) -> None:
        """Plan it; entering the context connects to the cluster or starts one.

        Args:
            config: the settings.
            setup: recipe, limits, training states and what is called between results.
            evaluate: instead of decoding and training; a function that nodes can import.

        Raises:
            UserError: for limits that cannot be used, or without Ray.
        """
        setup.limits.check()
        self._ray, self._patience = import_ray(), Patience(setup.limits)
        self._config, self._setup, self._evaluate = config, setup, evaluate
        self._context = ExitStack()
        self._starting: dict[Any, _Slot] = {}  # by the reference of `Host.node`
        self._idle: list[_Slot] = []
        self._busy: dict[Any, tuple[_Attempt, _Slot]] = {}  # by the reference of the result
        self._failed_starts = 0
        self._look_at = 0.0  # when to look again what the cluster holds, `time.monotonic`

    def __enter__(self) -> "RayExecutor":
        """Connect to the cluster. Raises `UserError` for one that does not suit the settings."""
        self._context.enter_context(Connection(self._config.address))
        with ExitStack() as undo:  # `__exit__` is not called where this raises
            undo.callback(self._context.close)
            self._gpus = self._gpus_of_one()
            self._check_states()
            self._check_size()
            undo.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        """End every actor at once, and the cluster if it is this process's own."""
        busy = [slot for _, slot in self._busy.values()]
        for slot in [*self._starting.values(), *self._idle, *busy]:
            self._end(slot)
        self._context.close()

    def evaluate(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Evaluation]]:
        """Evaluate tasks, yielding (index, evaluation) once for each as it finishes.

        Only actors that have started are given a task: one that waits for a node would keep it.
        """
        waiting = [_Attempt(index, task) for index, task in enumerate(tasks)][::-1]
        self._look_at = 0.0
        try:
            while waiting or self._busy:
                self._staff(len(waiting))
                while waiting and self._idle:
                    self._hand_out(waiting.pop())
                references = [*self._busy, *self._starting]
                done, _ = self._ray.wait(references, num_returns=1, timeout=POLL)
                self._setup.check()
                for reference in done:
                    if reference in self._starting:
                        self._started(reference)
                        continue
                    attempt, answer = self._result(reference)
                    if answer is None:
                        waiting.append(attempt)
                    else:
                        yield attempt.index, answer
                for reference, answer in self._patience.overdue():
                    attempt, slot = self._busy.pop(reference)
                    self._end(slot)
                    yield attempt.index, answer
        finally:  # also when nobody asks for the rest
            for _, slot in self._busy.values():
                self._end(slot)
            self._busy.clear()
            self._patience.clear()

    def _staff(self, waiting: int) -> None:
        """Start as many actors as the waiting tasks need and the cluster holds."""
        missing = waiting - len(self._idle) - len(self._starting)
        if missing <= 0 or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + STAFFING
        most = self._config.in_flight or self._capacity() + SPARE
        present = len(self._idle) + len(self._starting) + len(self._busy)
        for _ in range(min(missing, max(most, 1) - present)):
            self._start()

    def _start(self) -> None:
        """Ask for one actor, on the node that has least to do."""
        config, limits = self._config, self._setup.limits
        if limits.seconds == AUTO:  # which only the driver knows how to judge
            limits = replace(limits, seconds=None)
        setup = replace(self._setup, check=never, limits=limits)
        host = self._ray.remote(Host).options(
            num_cpus=config.cpus,
            num_gpus=self._gpus,
            scheduling_strategy="SPREAD",
            max_restarts=0,
            runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(_added_paths())}},
        )
        actor = host.remote(WorkerSetting(config.threads), setup, os.getcwd(), self._evaluate)
        self._starting[actor.node.remote()] = _Slot(actor)

    def _started(self, reference: Any) -> None:
        """An actor is there, or has failed to be."""
        slot = self._starting.pop(reference)
        try:
            slot.node = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._end(slot)
            self._failed_starts += 1
            if self._failed_starts >= MOST_FAILED_STARTS:
                raise UserError(
                    f"executor=ray: no worker can be started ({_last_line(error)}); nodes need the "
                    "same versions of Python, of STAR and of Ray"
                ) from None
        else:
            self._failed_starts = 0
            self._idle.append(slot)

    def _hand_out(self, attempt: _Attempt) -> None:
        slot = self._idle.pop(0)
        reference = slot.actor.evaluate.remote(attempt.task)
        self._busy[reference] = attempt, slot
        self._patience.begin(reference, attempt.task)

    def _result(self, reference: Any) -> tuple[_Attempt, Evaluation | None]:
        """The result of an attempt; or None and the next attempt, where its actor was lost."""
        attempt, slot = self._busy.pop(reference)
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._patience.end(reference)
            self._end(slot)
            return self._retried(attempt, slot, error)
        self._idle.append(slot)
        self._patience.end(reference, None if isinstance(answer, UserError) else answer)
        if isinstance(answer, UserError):
            raise answer
        return attempt, answer

    def _retried(
        self, attempt: _Attempt, slot: _Slot, error: Exception
    ) -> tuple[_Attempt, Evaluation | None]:
        """What becomes of a task whose actor is gone. Candidates die in processes of their own, so
        this is the cluster's doing, seldom theirs."""
        if isinstance(error, self._ray.exceptions.OutOfMemoryError):
            return attempt, infeasible(OUT_OF_MEMORY, f"its node: {_first_line(error)}")
        # A driver that hears nothing of an actor for a second or two calls it unavailable; the
        # cluster finds only later that its node is lost.
        unavailable = isinstance(error, self._ray.exceptions.ActorUnavailableError)
        if unavailable or self._is_lost(slot.node):
            again = replace(attempt, losses=attempt.losses + 1)
            if again.losses < MOST_LOSSES:
                return again, None
            return again, infeasible(WORKER_DIED, f"its node was lost {again.losses} times")
        again = replace(attempt, deaths=attempt.deaths + 1)
        if again.deaths <= self._setup.limits.retries:
            return again, None
        where = f"in attempt {again.deaths}"
        return again, infeasible(WORKER_DIED, f"its actor: {_first_line(error)}, {where}")

    def _end(self, slot: _Slot) -> None:
        """End an actor; its worker process ends with it (`worker.end_with`)."""
        self._look_at = 0.0
        with suppress(Exception):  # whatever Ray makes of one that is gone already
            self._ray.kill(slot.actor)

    def _nodes(self) -> list[Mapping[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _is_lost(self, node: str) -> bool:
        return node not in {alive["NodeID"] for alive in self._nodes()}

    def _gpus_of_one(self) -> float:
        if self._config.gpus is not None:
            return self._config.gpus
        present = any(node["Resources"].get("GPU") for node in self._nodes())
        return 1.0 if present and self._setup.recipe.training.device != "cpu" else 0.0

    def _capacity(self) -> int:
        """Candidates that all nodes hold at once."""
        wanted = {"CPU": self._config.cpus, "GPU": self._gpus}
        return sum(
            min(
                int(node["Resources"].get(n, 0) / size + 1e-6) for n, size in wanted.items() if size
            )
            for node in self._nodes()
        )

    def _check_states(self) -> None:
        """Raise `UserError` where states would be kept in a folder that other nodes lack."""
        nodes = len(self._nodes())
        if self._setup.states is not None and self._config.states is None and nodes > 1:
            raise UserError(
                f"executor.states=null: expected a folder or an fsspec URL that all {nodes} nodes "
                "reach, since search.halving.rungs keep training states between rungs"
            )

    def _check_size(self) -> None:
        """Raise `UserError` where no node holds a candidate, unless nodes are still to come."""
        if self._config.in_flight is None and not self._capacity():
            sizes = f"executor.cpus={self._config.cpus:g}, executor.gpus={self._gpus:g}"
            raise UserError(
                f"{sizes}: no node of the cluster has as many; executor.in_flight=<number> waits "
                "for one that has"
            )


class Connection:
    """A context manager: the connection of this process to a cluster.

    One that the process has already, in a notebook for example, is used and left as it is.
    """

    def __init__(self, address: str | None) -> None:
        """address: None starts a local cluster, which ends with the context."""
        self._address, self._ray = address, import_ray()
        self._is_own = not self._ray.is_initialized()
        self._folder: Path | None = None

    def __enter__(self) -> None:
        """Connect. Raises `UserError` where there is no cluster."""
        if not self._is_own:
            return
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        try:
            if self._address is not None:
                _check_listens(self._address)
                with kept_handlers():
                    self._ray.init(address=self._address, **quiet)
                return
            self._folder = temporary_folder(SHORT_FOLDER, "star")
            with kept_handlers():  # Ray takes SIGTERM for itself
                self._ray.init(
                    num_cpus=usable_cores(),
                    include_dashboard=False,
                    object_store_memory=OBJECT_STORE,
                    _temp_dir=str(self._folder),
                    **quiet,
                )
        except (OSError, RuntimeError, ValueError) as error:  # ConnectionError is an OSError
            self.__exit__()
            address = "null" if self._address is None else self._address
            raise UserError(
                f"executor.address={address}: no cluster there ({_first_line(error)}); expected "
                "null, auto or <host>:<port> of a running one"
            ) from None

    def __exit__(self, *_: object) -> None:
        """Leave the cluster; a local one is ended, and its folder removed."""
        if self._is_own:
            self._ray.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _check_listens(address: str) -> None:
    """Raise an `OSError` unless somebody listens at host:port, since Ray would try for an hour."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()


def _added_paths() -> list[str]:
    """Where this process finds modules beside those of its installation, for the nodes."""
    installed = (sys.prefix, sys.base_prefix)
    found = [str(Path(path or ".").absolute()) for path in sys.path]
    return [path for path in dict.fromkeys(found) if not path.startswith(installed)]


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _last_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[-1].strip() if str(error).strip() else repr(error)
