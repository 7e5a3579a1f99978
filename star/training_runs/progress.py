"""The progress of a training on a console, and its end by Ctrl-C or SIGTERM."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from star.base.console import say
from star.base.interrupts import deferred_interrupt, exit_code
from star.runs.progress import TimeLeft
from star.training import Trainer
from star.training.log import TrainingLog


@dataclass(frozen=True)
class Stage:
    """Work step by step that can be left and gone on with."""

    name: str  # what is shown
    total: int  # steps
    done: Callable[[], int]  # steps that are finished
    save: Callable[[], None]  # what is needed to go on
    is_last: bool = False  # whether nothing that is worth an interruption follows


def logged_step(
    trainer: Trainer, log: TrainingLog, every: int, validation_loss: Callable[[], float] | None
) -> float:
    """Make one step and write its row; returns its loss.

    Args:
        trainer: makes the step. Raises `Diverged` where it diverges.
        log: gets the row.
        every: steps between two measurements.
        validation_loss: measures the held-out loss; None where it is not measured.
    """
    with log.timed():
        result = trainer.advance()
    measured = None
    if validation_loss is not None and trainer.step % every == 0:
        measured = validation_loss()
    log.write(
        step=trainer.step,
        tokens=trainer.tokens,
        train_loss=result.loss,
        gradient_norm=result.gradient_norm,
        learning_rate=result.learning_rate,
        validation_loss=measured,
    )
    return result.loss


def show_steps(stage: Stage, losses: Iterator[float], console: Console) -> None:
    """Make the steps of a stage with a progress bar.

    Ctrl-C or SIGTERM ends it at the next step with everything saved; raises SystemExit then, unless
    that step was the last of the last stage.

    Args:
        stage: what is done.
        losses: makes the steps, and gives the loss of each.
        console: to show it on.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=console) as progress, deferred_interrupt() as interrupt:
        time_left, before = TimeLeft(), time.monotonic()
        left, done = time_left.text(0), stage.done()
        task = progress.add_task(stage.name, total=stage.total, completed=done, loss="-", left=left)
        for loss in losses:
            time_left.add(time.monotonic() - before)
            before = time.monotonic()
            left = time_left.text(stage.total - stage.done())
            progress.update(task, completed=stage.done(), loss=f"{loss:.4f}", left=left)
            if interrupt.error is not None:
                break
    if interrupt.error is not None and not (stage.is_last and stage.done() == stage.total):
        stage.save()
        step = f"{stage.name}: interrupted after step {stage.done()}"
        say(console, f"{step}; the same command goes on from there")
        raise SystemExit(exit_code(interrupt.error))
