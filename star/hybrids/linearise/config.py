"""Settings of linearising, part by part."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from star.base.ranges import Range, expect_ranges
from star.base.reading import expanded
from star.base.settings import expect, expect_one_of, expect_seed, expect_utf8
from star.data import DataConfig
from star.genomes import CacheSetting
from star.hybrids.linearise.recall import TASKS
from star.models.checkpoint import GENOME
from star.runs.origin import Origin, read_origin
from star.training import TrainingConfig

STEPS = Range(0, 10**9)
RATE = Range(0, 10**3, above=True)
WEIGHT = Range(0, 10**6)
RANGES = {"budget": Range(0, 1, above=True)}
PLACES = Range(1, 10**9)


@dataclass
class AlignConfig:
    """Branches learn to give what the attention beside them gives, all else frozen."""

    steps: int = 200  # 0: they stay as they begin
    learning_rate: float = 3e-3  # the peak
    recall: float = 1.0  # weight of sequences of the recall task beside the text

    def check(self) -> None:
        """Raise `UserError` for the first value that cannot be used."""
        ranges = {"steps": STEPS, "learning_rate": RATE, "recall": WEIGHT}
        expect_ranges("align.", self, ranges)


@dataclass
class GatesConfig:
    """Gates learn which attention is needed, all weights frozen."""

    steps: int = 100
    learning_rate: float = 0.05
    initial: float = 0.5  # of every gate: 0 is the attention, 1 the branch
    recall: float = 1.0  # weight of the loss of the answers of the recall task
    language: float = 0.0  # weight of the loss on the text
    penalty: float = 1.0  # weight of the expected cache, as a share of the original's
    train_branches: bool = False  # whether branches learn with the gates

    def check(self) -> None:
        """Raise `UserError` for the first value that cannot be used."""
        ranges = {
            "steps": Range(1, STEPS.most),
            "learning_rate": RATE,
            "initial": Range(0, 1, above=True),
            **dict.fromkeys(("recall", "language", "penalty"), WEIGHT),
        }
        expect_ranges("gates.", self, ranges)
        expect("gates.initial", self.initial, self.initial < 1, "between 0 and 1")
        has_loss = self.recall > 0 or self.language > 0
        expected = "above 0, or gates.language above 0: without a loss every gate opens"
        expect("gates.recall", self.recall, has_loss, expected)


@dataclass
class DistilConfig:
    """The new model learns to give the old one's next tokens, all weights together."""

    steps: int = 400  # 0: it stays as it was put together
    teacher: float = 0.9  # share of the loss that is the divergence from the old model's logits
    temperature: float = 1.0  # of both models' logits, in the divergence
    recall: float = 1.0  # weight of sequences of the recall task beside the text

    def check(self) -> None:
        """Raise `UserError` for the first value that cannot be used."""
        ranges = {
            "steps": STEPS,
            "teacher": Range(0, 1),
            "temperature": RATE,
            "recall": WEIGHT,
        }
        expect_ranges("distil.", self, ranges)


def read_checkpoint_origin(folder: str) -> Origin | None:
    """The settings that a checkpoint carries. Raises `GenomeError` for a file that cannot be
    read."""
    return read_origin(str(expanded(folder) / GENOME))


@dataclass
class LineariseConfig:
    """Replace the attention of a checkpoint that matters least, at a budget."""

    checkpoint: str = "???"  # folder that star.train left
    to: str = "???"  # the new checkpoint's folder
    budget: float = 0.5  # the most bytes of its cache, as a share of the checkpoint's
    replacement: str = "GatedDelta"  # class that takes the place of attention: one with a state
    task: str = "repeat"  # of recall: tokens of the text, then the same again; or pairs: MAD's
    seed: int = 0  # of new weights and the batches
    run_dir: str | None = None  # what it goes on from; null: runs/linearise/<date_time>
    checkpoint_every: int = 100  # steps
    validate_every: int = 100  # steps of the distillation
    tensorboard: str = "auto"  # events where it is installed; always demands it, never writes none
    loggers: list[str] = field(default_factory=list)  # that get each log.csv too: wandb, mlflow
    plugins: list[str] = field(default_factory=list)  # modules or .py files that add operators
    align: AlignConfig = field(default_factory=AlignConfig)
    gates: GatesConfig = field(default_factory=GatesConfig)
    distil: DistilConfig = field(default_factory=DistilConfig)
    cache: CacheSetting = field(default_factory=CacheSetting)
    training: TrainingConfig = field(default_factory=TrainingConfig)  # of all three parts
    data: DataConfig = field(default_factory=DataConfig)

    origin = staticmethod(read_checkpoint_origin)  # what is taken from there unless it is given
    ORIGIN_KEYS: ClassVar[tuple[str, ...]] = ("checkpoint",)
    CHOICES: ClassVar[tuple[str, ...]] = ("data",)

    def check(self) -> None:
        """Raise `UserError` or `GenomeError` for the first setting that cannot be used."""
        expect_ranges("", self, RANGES)
        expected = "a share below 1, which the checkpoint itself meets"
        expect("budget", self.budget, self.budget < 1, expected)
        expect_one_of("task", self.task, TASKS)
        for part in (self.align, self.gates, self.distil, self.cache):
            part.check()
        self._check_training()
        self.data.check()
        expect_ranges("", self, dict.fromkeys(("checkpoint_every", "validate_every"), PLACES))
        expect_seed(self.seed)
        expect_utf8("run_dir", self.run_dir)
        expect_utf8("to", self.to)

    def _check_training(self) -> None:
        steps, wanted = self.training.steps, self.distil.steps
        expect("training.steps", steps, steps == wanted, f"distil.steps={wanted}")
        replace(self.training, steps=max(1, steps)).check()
        self.training.check_one_rate()

    def part(self, steps: int, learning_rate: float) -> TrainingConfig:
        """The settings of a part's training. learning_rate: of AdamW; Muon's is the same multiple
        of it as everywhere."""
        return replace(self.training.at_rate(learning_rate), steps=steps)
