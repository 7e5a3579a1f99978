"""Training in parts: from a saved state to a number of steps, as successive halving wants it."""

import time
from contextlib import suppress
from pathlib import Path

from star.base.errors import UserError
from star.training.loop import Trainer
from star.training.state import load_state, save_state


def train_further(trainer: Trainer, steps: int, state: Path | None) -> float:
    """Train to `steps` finished steps, from the saved state where there is one; returns the seconds
    it took.

    The state is saved unless these are all steps, after which nothing goes on from it. One that
    cannot be read, or is another's, costs time only. Raises what `Trainer.advance` raises.
    """
    start = time.perf_counter()
    if state is not None and state.exists():
        with suppress(UserError):
            load_state(state, trainer, steps)
    while trainer.step < steps:
        trainer.advance()
    if state is not None and steps < trainer.config.steps:
        with suppress(OSError):  # a full disk costs time only: the next part begins anew
            state.parent.mkdir(parents=True, exist_ok=True)
            save_state(state, trainer)
    return time.perf_counter() - start
