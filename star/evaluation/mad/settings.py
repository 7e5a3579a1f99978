"""The 66 settings of MAD: six tasks, each at a baseline from which one factor at a time departs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from star.data import mad

GENERATORS: dict[str, Callable[..., mad.Instances]] = {
    "compression": mad.compression,
    "fuzzy_recall": mad.fuzzy_recall,
    "in_context_recall": mad.in_context_recall,
    "memorization": mad.memorization,
    "noisy_recall": mad.noisy_recall,
    "selective_copying": mad.selective_copying,
}
TASKS = tuple(GENERATORS)  # in the order of published tables
COMPRESSION = "compression"


@dataclass(frozen=True)
class Setting:
    """One task at one difficulty."""

    task: str
    vocabulary: int
    length: int
    examples: int  # instances that a model is trained on
    copied: int | None = None  # tokens, of selective copying
    noise_fraction: float | None = None  # of the pairs, of noisy recall

    @property
    def factors(self) -> dict[str, float]:
        """What makes it more or less difficult, by name; only what its task has."""
        return {k: v for k, v in vars(self).items() if k != "task" and v is not None}

    def instances(self, count: int, seed: int, split: str) -> mad.Instances:
        """The first instances of a split.

        Raises `UserError` for a setting that no sequence has.
        """
        own = {name: value for name, value in self.factors.items() if name != "examples"}
        return GENERATORS[self.task](count, seed, split, **own)


BASELINES: dict[str, Setting] = {
    setting.task: setting
    for setting in (
        Setting("compression", 16, 32, 12800),
        Setting("fuzzy_recall", 16, 128, 12800),
        Setting("in_context_recall", 16, 128, 12800),
        Setting("memorization", 256, 32, 256),
        Setting("noisy_recall", 32, 128, 12800, noise_fraction=0.2),
        Setting("selective_copying", 16, 256, 12800, copied=16),
    )
}

_VOCABULARIES, _LENGTHS, _EXAMPLES = (32, 64, 128), (256, 512, 1024), (6400, 3200, 1600, 800)
_RECALL = {"vocabulary": _VOCABULARIES, "length": _LENGTHS, "examples": _EXAMPLES}
# By task, what each factor is beside its baseline. Of noisy recall's tokens 16 are noise.
SWEEPS: dict[str, Mapping[str, tuple[float, ...]]] = {
    "compression": {**_RECALL, "length": (64, 128, 256)},
    "fuzzy_recall": _RECALL,
    "in_context_recall": _RECALL,
    "memorization": {"vocabulary": (512, 1024, 2048, 4096, 8192)},
    "noisy_recall": {**_RECALL, "vocabulary": (48, 80, 144), "noise_fraction": (0.4, 0.6, 0.8)},
    "selective_copying": {**_RECALL, "length": (512, 1024), "copied": (32, 64, 96)},
}


def full_grid() -> tuple[Setting, ...]:
    """All 66 settings, each task's baseline first."""
    grid = []
    for task, baseline in BASELINES.items():
        grid.append(baseline)
        for factor, values in SWEEPS[task].items():
            grid += [replace(baseline, **{factor: value}) for value in values]
    return tuple(grid)
