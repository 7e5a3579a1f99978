"""Settings of the training of one genome into a run folder, and what it leaves there."""

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Protocol

from star.base.loggers import EVENTS, REMEMBERED
from star.base.settings import expect, expect_one_of, expect_seed, expect_utf8
from star.data import DataConfig
from star.data.subwords import FILES
from star.genomes import CacheSetting, ModelConfig, check_depth, current_id, hybrids
from star.models.checkpoint import EVALUATION, GENOME, MODEL, WEIGHTS
from star.runs.origin import read_origin
from star.training import TrainingConfig
from star.training.log import LOG, TENSORBOARD, chosen_loggers

BEGINNING = "init_weights"  # key of the digest of the weights that a training began from
STATE = "training_state.safetensors"
# What a training leaves in its folder beside its provenance, and a folder of others must not hold.
WRITTEN = (
    *(GENOME, MODEL, WEIGHTS, hybrids.FILE, STATE, EVALUATION, LOG, EVENTS, REMEMBERED),
    *FILES,
)


class RunSettings(Protocol):
    """What the settings of every command have that ends with such a training."""

    seed: int
    run_dir: str | None
    checkpoint_every: int
    validate_every: int
    tensorboard: str
    loggers: list[str]
    training: TrainingConfig
    data: DataConfig


def check_run(config: RunSettings) -> None:
    """Raise `UserError` for the first of these values that cannot be used; `training` itself is
    checked before."""
    config.training.check_one_rate()
    config.data.check()
    for name in ("checkpoint_every", "validate_every"):
        value = getattr(config, name)
        expect(name, value, value >= 1, "at least 1 step")
    expect_seed(config.seed)
    expect_utf8("run_dir", config.run_dir)
    expect_one_of("tensorboard", config.tensorboard, TENSORBOARD)
    chosen_loggers(config.loggers, config.tensorboard)


@dataclass
class TrainConfig:
    """Train one genome and leave a checkpoint."""

    genome: str = "???"  # a design, a genome file, or its text
    alphabet: str = "star"  # of a text
    depth: int | None = None  # number of LIVs; null: the genome's own
    width: int = 64  # of the model: model.width
    steps: int = 500  # optimiser steps: training.steps
    context: int = 4096  # positions the reported cache counts: cache.context
    seed: int = 0  # of the weights and the batches
    run_dir: str | None = None  # the folder; null: runs/train/<date_time>
    checkpoint_every: int = 100  # steps
    validate_every: int = 100  # steps
    tensorboard: str = "auto"  # events where it is installed; always demands it, never writes none
    loggers: list[str] = field(default_factory=list)  # that get log.csv too: wandb, mlflow
    plugins: list[str] = field(default_factory=list)  # modules or .py files that add operators
    library: list[str] = field(default_factory=list)  # folders of designs, known by file name
    model: ModelConfig = field(default_factory=ModelConfig)
    cache: CacheSetting = field(default_factory=CacheSetting)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    data: DataConfig = field(default_factory=DataConfig)

    ORIGIN_KEYS: ClassVar[tuple[str, ...]] = ("genome", "alphabet")
    origin = staticmethod(read_origin)  # of `genome`: what is taken from there unless it is given
    CHOICES: ClassVar[tuple[str, ...]] = ("data",)

    def check(self) -> None:
        """Raise `UserError` or `GenomeError` for the first setting that cannot be used."""
        if self.depth is not None:
            check_depth(self.depth)
        self.model.check()
        self.cache.check()
        self.training.check(may_begin=True)
        check_run(self)


# Settings that change no number of the training: they may differ when it is resumed. The genome is
# compared by its id.
FREE = {
    "cache.state_dtype",
    *("run_dir", "checkpoint_every", "validate_every", "tensorboard", "loggers"),
    *("genome", "depth", "alphabet", "plugins", "library"),
}
STEPS = {"steps", "training.steps"}  # free too at a constant rate: more steps then only go on


def upgrade_settings(there: dict[str, Any]) -> dict[str, Any]:
    """Settings of an earlier version with the keys of now."""
    if "genome" not in there:
        return there
    upgraded = {"plugins": [], "library": [], "loggers": [], BEGINNING: "", **there}
    for name, usual in (("model", ModelConfig), ("training", TrainingConfig), ("data", DataConfig)):
        upgraded[name] = {**asdict(usual()), **there.get(name, {})}
    return {**upgraded, "genome_id": current_id(str(there.get("genome_id", "")))}
