"""How much of MAD is run: `quick` for searches on a CPU, `baseline`, and all of it, `full`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from star.base.settings import expect_one_of
from star.evaluation.mad.settings import BASELINES, TASKS, Setting, full_grid


@dataclass(frozen=True)
class Preset:
    """Settings, and how a model is trained and measured on each of them."""

    settings: tuple[Setting, ...]
    epochs: int = 200  # over the training instances
    steps: int | None = None  # optimiser steps, instead of epochs; None: so many epochs
    batch_size: int = 128  # sequences a step
    optimizer: str = "adamw"  # or muon, see `star.training.TrainingConfig`
    learning_rates: tuple[float, ...] = (1e-4, 5e-4, 1e-3)
    weight_decays: tuple[float, ...] = (0.0, 0.1)
    held_out: int = 1280  # instances of validation, and of test

    def steps_of(self, setting: Setting) -> int:
        """Optimiser steps of one training."""
        return self.steps or self.epochs * -(-setting.examples // self.batch_size)

    def narrowed(self, tasks: Sequence[str], key: str = "tasks") -> "Preset":
        """The preset with some of the tasks, in the order of `TASKS`; with all when none is named.

        Raises `UserError` for an unknown one. key: names it.
        """
        for task in tasks:
            expect_one_of(key, task, TASKS)
        kept = tuple(s for s in self.settings if not tasks or s.task in tasks)
        return replace(self, settings=kept)


# Small enough for 20 core-seconds a design of width 64 and depth 8, see docs/mad.md.
_QUICK = (
    Setting("compression", 16, 16, 12800),
    Setting("fuzzy_recall", 10, 32, 12800),
    Setting("in_context_recall", 16, 32, 12800),
    Setting("memorization", 2048, 16, 256),
    Setting("noisy_recall", 24, 32, 12800, noise_fraction=0.2),
    Setting("selective_copying", 16, 32, 12800, copied=8),
)

PRESETS: dict[str, Preset] = {
    "quick": Preset(
        settings=_QUICK,
        steps=60,
        batch_size=32,
        optimizer="muon",
        learning_rates=(3e-3,),
        weight_decays=(0.1,),
        held_out=256,
    ),
    "baseline": Preset(tuple(BASELINES.values())),
    "full": Preset(full_grid()),
}


def choose_preset(name: str, tasks: Sequence[str] = (), prefix: str = "") -> Preset:
    """A preset by its name, narrowed to some tasks.

    Raises `UserError` for an unknown name or task. prefix: of the keys that are named.
    """
    expect_one_of(f"{prefix}preset", name, PRESETS)
    return PRESETS[name].narrowed(tasks, f"{prefix}tasks")
