"""Training at several learning rates: the one that does best on held-out text is kept.

One rate for all misjudges families: recall in recurrent models succeeds in a narrow range of rates
(arXiv 2508.19029). The windows to choose by are others than those that quality is reported on.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from star.training.config import TrainingConfig
from star.training.loop import Diverged, Trainer
from star.training.parts import train_further
from star.training.quality import validate

Opened = Callable[[str], AbstractContextManager[Path | None]]  # where a state of that name is kept


@dataclass(frozen=True)
class Chosen:
    """A training at the rate that did best."""

    trainer: Trainer
    number: int  # of its rate, in `learning_rates`
    seconds: float  # that the training at all rates took


def train_at_best_rate(
    make: Callable[[TrainingConfig], Trainer], config: TrainingConfig, steps: int, opened: Opened
) -> Chosen:
    """Train at each of `config.learning_rates`, and choose.

    Each training goes to `config.rate_steps` or, where that is less, to `steps`; from there the
    best goes on alone. A part of a training to more steps later makes the same choice again, from
    the states that are kept of all.

    Args:
        make: a fresh trainer of these settings, which are at one rate.
        config: with the rates.
        steps: finished steps, at most `config.steps`.
        opened: where states are kept, by a name that ends with `_rate<number>` until the choice,
            and is empty behind it.

    Raises:
        Diverged: when that happens at all rates, or to the chosen one behind the choice.
        UserError: for a held-out text without room for other windows.
    """
    until = min(steps, config.rate_steps or config.steps)
    seconds, best, lost = 0.0, None, Diverged("no rate was tried")
    for number, rate in enumerate(config.learning_rates):
        trainer = make(config.at_rate(rate))
        try:
            with opened(f"_rate{number}") as state:
                seconds += train_further(trainer, until, state)
            quality = validate(trainer.model, trainer.corpus, config, selecting=True)
        except Diverged as error:
            lost = Diverged(f"{error} (training.learning_rates: the last of them, {rate:g})")
            continue
        if best is None or quality.validation_loss < best[0]:
            best = quality.validation_loss, trainer, number
    if best is None:
        raise lost
    _, trainer, number = best
    if until < steps:
        with opened("") as state:
            seconds += train_further(trainer, steps, state)
    return Chosen(trainer, number, seconds)
