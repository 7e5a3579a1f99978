"""Loggers: where the numbers of a search or a training go beside its own files, which are the
record.

Each is a class in `LOGGERS` with `log` and `close`. One that fails is told nothing more, with one
warning; whoever told it goes on.
"""

import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from star.base import files
from star.base.errors import UserError, plain, shown
from star.base.imports import expect_installed
from star.base.settings import expect, expect_one_of, flat

EVENTS, REMEMBERED = "tensorboard", "loggers.json"  # in the run folder
DATABASE = "mlflow.db"
PROJECT = "star"  # of W&B and experiment of MLflow, where the environment names no other
FLUSH_SECONDS, MOST_METRICS, MOST_PARAMETERS = 5.0, 900, 100  # of a request to MLflow

_warnings = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoggedRun:
    """The run that is logged."""

    folder: Path
    step: int = -1  # the last that stays as it was logged before; -1: none
    settings: Mapping[str, Any] = field(default_factory=dict)  # its configuration

    @property
    def name(self) -> str:
        """That of its folder."""
        return self.folder.resolve().name

    def remembered(self, name: str) -> dict[str, Any]:
        """What a logger wants to know when the run goes on; empty where there is nothing."""
        with suppress(OSError, ValueError, AttributeError, TypeError):
            return dict(json.loads((self.folder / REMEMBERED).read_bytes()).get(name, {}))
        return {}

    def remember(self, name: str, **values: Any) -> None:
        """Keep it, beside that of other loggers."""
        known = {other: self.remembered(other) for other in LOGGERS}
        content = {other: there for other, there in {**known, name: values}.items() if there}
        files.write_text(self.folder / REMEMBERED, json.dumps(content, indent=2) + "\n")


class Logger(Protocol):
    """What a row of `LOGGERS` makes of a `LoggedRun`."""

    package: ClassVar[str]  # to install

    def __init__(self, run: LoggedRun) -> None:
        """Begin, or go on with the run of before."""
        ...

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take the numbers of a step."""
        ...

    def close(self) -> None:
        """The run ends, or is interrupted."""
        ...


class TensorBoard:
    """Event files in the run folder; events after the last step of before are hidden."""

    package: ClassVar[str] = "tensorboard"

    def __init__(self, run: LoggedRun) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self._writer: Any = SummaryWriter(str(run.folder / EVENTS), purge_step=run.step + 1)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """A scalar each."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write the rest."""
        self._writer.close()


class WeightsAndBiases:
    """A run of W&B; `WANDB_MODE`, `WANDB_PROJECT`, `WANDB_DIR` and the others act as usual."""

    package: ClassVar[str] = "wandb"

    def __init__(self, run: LoggedRun) -> None:
        import wandb

        before = run.remembered("wandb")
        self._logged = run
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            dir=os.environ.get("WANDB_DIR", str(run.folder.resolve())),  # its process has another
            id=before.get("id"),
            resume="allow",
            name=os.environ.get("WANDB_NAME", run.name),
            config=dict(run.settings),
            reinit="create_new",  # another one of this process stays as it is
            settings=wandb.Settings(silent=True, console="off"),
        )
        self._last = max(int(before.get("step", -1)), self._run.step - 1)
        run.remember("wandb", id=self._run.id, step=self._last)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """All at once; it takes no step twice."""
        if step > self._last:
            self._run.log(dict(values), step=step)
            self._last = step

    def close(self) -> None:
        """Send the rest."""
        self._run.finish()
        self._logged.remember("wandb", id=self._run.id, step=self._last)


class MlFlow:
    """A run of MLflow, in a database in the run folder unless `MLFLOW_TRACKING_URI` is set."""

    package: ClassVar[str] = "mlflow"

    def __init__(self, run: LoggedRun) -> None:
        logging.getLogger("alembic").setLevel(logging.WARNING)
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        own = f"sqlite:///{run.folder.resolve() / DATABASE}"
        self._client: Any = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI", own))
        before = run.remembered("mlflow")
        self._id, self._last = str(before.get("id", "")), int(before.get("step", -1))
        try:
            self._client.update_run(self._id, status="RUNNING")
        except MlflowException:  # a new one, or where the run of before is unknown
            self._id, self._last = self._begin(run), -1
        self._logged = run
        self._waiting: list[Any] = []
        self._flushed = time.monotonic()
        run.remember("mlflow", id=self._id, step=self._last)

    def _begin(self, run: LoggedRun) -> str:
        """A new run with its settings; returns its id."""
        from mlflow.entities import Param

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        there = self._client.get_experiment_by_name(name)
        experiment = there.experiment_id if there else self._client.create_experiment(name)
        made = self._client.create_run(experiment, run_name=run.name).info.run_id
        settings = [Param(key, shown(str(value))) for key, value in flat(run.settings).items()]
        for first in range(0, len(settings), MOST_PARAMETERS):
            self._client.log_batch(made, params=settings[first : first + MOST_PARAMETERS])
        return made

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Several steps at once: a request takes longer than a small training's step."""
        from mlflow.entities import Metric

        if step <= self._last:
            return
        now = int(1000 * time.time())
        self._waiting += [Metric(name, float(value), now, step) for name, value in values.items()]
        self._last = step
        is_late = time.monotonic() - self._flushed > FLUSH_SECONDS
        if is_late or len(self._waiting) >= MOST_METRICS:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._client.log_batch(self._id, metrics=self._waiting)
            self._logged.remember("mlflow", id=self._id, step=self._last)
        self._waiting, self._flushed = [], time.monotonic()

    def close(self) -> None:
        """Send the rest."""
        self._flush()
        self._client.set_terminated(self._id)


LOGGERS: dict[str, type[Logger]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
    "mlflow": MlFlow,
}


def check_loggers(names: Sequence[str]) -> None:
    """Raise `UserError` for an unknown or repeated logger, or one that is not installed."""
    expect("loggers", names, len(set(names)) == len(names), "different names")
    for name in names:
        expect_one_of("loggers", name, LOGGERS)
        expect_installed(f"loggers={name}", LOGGERS[name].package)


class Loggers:
    """Some of them together; a context manager."""

    def __init__(self, names: Sequence[str], run: LoggedRun) -> None:
        """Start them. Raises `UserError` for one that cannot be started."""
        self._running: dict[str, Logger] = {}
        for name in names:
            try:
                self._running[name] = LOGGERS[name](run)
            except Exception as error:  # whatever a library of others raises
                self.close()
                reason = shown(plain(f"{type(error).__name__}: {error}"))
                raise UserError(f"loggers={name}: cannot be started ({reason})") from None

    def log(self, step: int, values: Mapping[str, float | None]) -> None:
        """Tell all of them; what was not measured is left out."""
        measured = {name: value for name, value in values.items() if value is not None}
        for name, logger in list(self._running.items()):
            try:
                logger.log(step, measured)
            except Exception as error:  # no reason to lose a search
                self._drop(name, error)

    def close(self) -> None:
        """End all of them."""
        for name, logger in list(self._running.items()):
            try:
                logger.close()
            except Exception as error:
                self._drop(name, error)
        self._running = {}

    def _drop(self, name: str, error: Exception) -> None:
        del self._running[name]
        reason = shown(plain(f"{type(error).__name__}: {error}"))
        _warnings.warning("loggers=%s: failed and is told nothing more (%s)", name, reason)

    def __enter__(self) -> "Loggers":
        """They are running."""
        return self

    def __exit__(self, *error: object) -> None:
        """End all of them."""
        self.close()
