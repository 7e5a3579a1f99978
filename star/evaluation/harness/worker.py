"""The harness in a process of its own, which it seeds anew and fills with its imports."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from star.base.devices import torch_device
from star.base.errors import UserError, plain
from star.base.imports import import_plugins
from star.base.interrupts import blocked_interrupt
from star.evaluation.executors.worker import end_with
from star.evaluation.harness.results import Identity, Measurement
from star.evaluation.harness.settings import HarnessSetting, lm_eval_version
from star.evaluation.harness.vocabulary import checkpoint_vocabulary
from star.models import load_checkpoint
from star.training import Diverged

# Of the libraries that the harness loads: no bars, and no processes of their own.
ENVIRONMENT = {
    "TQDM_DISABLE": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "DISABLE_MULTIPROC": "1",
}
SECONDS_TO_END = 5  # that the process has to tidy up
POLL = 0.2  # seconds


@dataclass(frozen=True)
class Job:
    """What the process is made for."""

    checkpoint: Path
    setting: HarnessSetting
    context: int
    weights: str  # digest of the checkpoint's
    device: str
    plugins: Sequence[str]
    known: Sequence[Identity]  # what need not be measured again


@dataclass(frozen=True)
class Started:
    """A task begins."""

    name: str


@dataclass(frozen=True)
class Answered:
    """So many of a task's requests are answered, of those of one kind."""

    done: int
    total: int


Message = Started | Answered | Identity | Measurement  # an identity: is known


def run_job(job: Job, check: Callable[[], None]) -> Iterator[Message]:
    """What the process tells, as it comes; it ends with the iterator.

    Args:
        job: what it does.
        check: called while it works; may raise to end it.

    Raises:
        UserError: for what the user can mend.
        RuntimeError: for anything else that it raised, and where it was killed.
    """
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_main, args=(job, sender, os.getpid()))
    with _environment(), blocked_interrupt():
        process.start()
    sender.close()
    try:
        while True:
            check()
            if not receiver.poll(POLL):
                continue
            try:
                message = receiver.recv()
            except EOFError:
                check()
                process.join()
                raise RuntimeError(
                    f"the process of the harness ended with code {process.exitcode}, as when it is "
                    "killed for its memory; try a smaller batch_size or context"
                ) from None
            if message is None or isinstance(message, Exception):
                process.join(SECONDS_TO_END)
            if message is None:
                return
            if isinstance(message, Exception):
                raise message
            yield message
    finally:
        process.terminate()
        process.join(SECONDS_TO_END)
        process.kill()
        process.join()
        receiver.close()


@contextmanager
def _environment() -> Iterator[None]:
    """The environment of a process that starts within it."""
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _main(job: Job, sender: Connection, parent: int) -> None:
    """The process."""
    end_with(parent)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # tidies up
    with suppress(BrokenPipeError):
        try:
            for message in _measurements(job, sender):
                sender.send(message)
            sender.send(None)
        except UserError as error:
            sender.send(error)
        except Diverged as error:
            sender.send(UserError(f"checkpoint={job.checkpoint}: {error}; try another checkpoint"))
        except BaseException as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(last.filename).name} line {last.lineno}"
            sender.send(RuntimeError(plain(f"{type(error).__name__}: {error}, {where}")))


def _measurements(job: Job, sender: Connection) -> Iterator[Message]:
    from star.evaluation.harness.model import HarnessModel
    from star.evaluation.harness.running import run_task, undisturbed
    from star.evaluation.harness.tasks import Tasks

    import_plugins(job.plugins)
    checkpoint = load_checkpoint(job.checkpoint)
    device = torch_device(job.device)
    vocabulary = checkpoint_vocabulary(job.checkpoint, checkpoint)
    setting, harness = job.setting, lm_eval_version()

    def answered(done: int, total: int) -> None:
        sender.send(Answered(done, total))

    with undisturbed(device):
        model = HarnessModel(
            checkpoint.model.to(device), vocabulary, job.context, setting.batch_size, answered
        )
        tasks = Tasks(setting)
        for name in setting.tasks:
            yield Started(name)
            task, start = tasks.load(name), time.monotonic()
            identity = Identity(
                name, task.digest(), setting.shots, setting.limit, job.context, job.weights,
                harness, vocabulary.digest,
            )  # fmt: skip
            if identity in job.known:
                yield identity
                continue
            model.cut = 0
            rows = run_task(task, setting, model)
            seconds = time.monotonic() - start
            yield Measurement(identity, rows, model.cut, str(device), seconds)
