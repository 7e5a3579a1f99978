"""One training of a linearisation in its own folder: log, progress with the time that is left,
state to go on from."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from star.base.files import remove_leftovers, writing
from star.training import Trainer, load_state, save_state
from star.training.log import LOG, TrainingLog
from star.training_runs import Stage, logged_step, show_steps
from star.training_runs.config import STATE


@dataclass(frozen=True)
class Running:
    """How trainings are run.

    Attributes:
        console: where progress is shown.
        checkpoint_every: steps between two saved states.
        validate_every: steps between two measurements, where a training has one.
        loggers: that get each log too.
        settings: for them.
    """

    console: Console
    checkpoint_every: int = 100
    validate_every: int = 100
    loggers: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def run(
        self,
        name: str,
        trainer: Trainer,
        folder: Path,
        validation_loss: Callable[[], float] | None = None,
    ) -> None:
        """Train to the last step, from the state in the folder where there is one.

        Ctrl-C or SIGTERM ends it at the next step with everything saved; raises SystemExit then.

        Args:
            name: shown with the progress.
            trainer: as it begins.
            folder: of the log and the state; made where it is missing.
            validation_loss: measures the held-out loss.

        Raises:
            UserError: for a state or log that cannot be read, or a folder that cannot be written.
            Diverged: see `Trainer.advance`.
        """
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(folder, f"{STATE}|{LOG}")
        if (folder / STATE).exists():
            load_state(folder / STATE, trainer)
        if trainer.step == trainer.config.steps:
            return
        with TrainingLog(folder, trainer.step, self.loggers, self.settings) as log:
            total = trainer.config.steps
            stage = Stage(name, total, lambda: trainer.step, lambda: save(trainer, folder))
            losses = self._losses(trainer, folder, log, validation_loss)
            show_steps(stage, losses, self.console)

    def _losses(
        self,
        trainer: Trainer,
        folder: Path,
        log: TrainingLog,
        validation_loss: Callable[[], float] | None,
    ) -> Iterator[float]:
        """Train to the last step, saving on the way; gives each step's loss."""
        total = trainer.config.steps
        while trainer.step < total:
            loss = logged_step(trainer, log, self.validate_every, validation_loss)
            if trainer.step % self.checkpoint_every == 0 or trainer.step == total:
                save(trainer, folder)
            yield loss


def save(trainer: Trainer, folder: Path) -> None:
    """Keep the state. Raises `UserError` where the folder cannot be written."""
    with writing(folder):
        save_state(folder / STATE, trainer)
