"""python -m star.train genome=lfm2 depth=6 width=64 steps=500 run_dir=<folder>: train one genome.

The folder is the checkpoint (`star/models/checkpoint.py`); `star/training/state.py` keeps what is
needed to go on bit for bit. Running the same command again resumes an interrupted training.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from star.base import files
from star.base.command_line import EXIT_INTERRUPTED, fail, run_command
from star.base.console import make_console, say
from star.base.interrupts import deferred_interrupt
from star.base.settings import expect, expect_one_of, expect_seed, expect_utf8
from star.data import Corpus, DataConfig, open_corpus
from star.evaluation import Measured, Recipe
from star.genomes import (
    CacheSetting,
    Genome,
    GenomeError,
    GenomeFile,
    ModelConfig,
    check_depth,
    check_fits,
    load_genome,
)
from star.models import LanguageModel, decode, save_checkpoint
from star.runs.extensions import use_extensions
from star.runs.provenance import (
    CONFIGURATION,
    check_same_run,
    new_folder,
    write_provenance,
    writing,
)
from star.training import Diverged, Trainer, TrainingConfig, load_state, save_state, validate
from star.training.log import TENSORBOARD, TrainingLog

STATE, EVALUATION = "training_state.safetensors", "evaluation.json"


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
    plugins: list[str] = field(default_factory=list)  # modules or .py files that add operators
    library: list[str] = field(default_factory=list)  # folders of designs, known by file name
    model: ModelConfig = field(default_factory=ModelConfig)
    cache: CacheSetting = field(default_factory=CacheSetting)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    data: DataConfig = field(default_factory=DataConfig)

    CHOICES: ClassVar[tuple[str, ...]] = ("data",)

    def check(self) -> None:
        """Raise `UserError` or `GenomeError` for the first setting that cannot be used."""
        if self.depth is not None:
            check_depth(self.depth)
        self.model.check()
        self.cache.check()
        self.training.check()
        self.data.check()
        for name in ("checkpoint_every", "validate_every"):
            expect(name, getattr(self, name), getattr(self, name) >= 1, "at least 1 step")
        expect_seed(self.seed)
        expect_utf8("run_dir", self.run_dir)
        expect_one_of("tensorboard", self.tensorboard, TENSORBOARD)


# Settings that change no number: they may differ when a training is resumed. The genome is compared
# by its id.
FREE = {
    *("run_dir", "checkpoint_every", "validate_every", "tensorboard"),
    *("genome", "depth", "alphabet", "plugins", "library"),
}
STEPS = {"steps", "training.steps"}  # free too at a constant rate: more steps then only go on


def upgrade_settings(there: dict[str, Any]) -> dict[str, Any]:
    """Settings of an earlier version with the keys of now."""
    return {"plugins": [], "library": [], **there} if "genome" in there else there


def open_folder(
    config: TrainConfig, genome: Genome, corpus: Corpus, arguments: list[str] | None
) -> Path:
    """The run folder, new or of the same training.

    Args:
        config: the settings.
        genome: what is trained.
        corpus: the text.
        arguments: of the command that repeats the training; None where there is none.

    Raises:
        UserError: for a folder of another training, or one that is not writable.
    """
    settings = {**asdict(config), "genome_id": genome.id, "data_fingerprint": corpus.fingerprint}
    if config.run_dir and (Path(config.run_dir) / CONFIGURATION).exists():
        free = FREE | (STEPS if config.training.schedule == "constant" else set())
        check_same_run(Path(config.run_dir), "a training", settings, free, upgrade_settings)
    path = Path(config.run_dir) if config.run_dir else new_folder("train")
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    write_provenance(path, "train", settings, corpus.fingerprint, arguments)
    return path


@dataclass
class Training:
    """One training and where it is kept."""

    config: TrainConfig
    folder: Path
    genome: GenomeFile
    model: LanguageModel
    trainer: Trainer

    def save(self) -> None:
        """Write the checkpoint and, last, the state to go on from."""
        save_checkpoint(self.folder, self.model, self.genome, self.config.model)
        save_state(self.folder / STATE, self.trainer)

    def steps(self, log: TrainingLog) -> Iterator[float]:
        """Train to the last step, validating and saving on the way; gives each step's loss."""
        trainer, config = self.trainer, self.config
        while trainer.step < config.training.steps:
            with log.timed():
                result = trainer.advance()
            validation_loss = None
            if trainer.step % config.validate_every == 0:
                quality = validate(self.model, trainer.corpus, config.training)
                validation_loss = quality.validation_loss
            log.write(
                step=trainer.step,
                tokens=trainer.tokens,
                train_loss=result.loss,
                gradient_norm=result.gradient_norm,
                learning_rate=result.learning_rate,
                validation_loss=validation_loss,
            )
            if trainer.step % config.checkpoint_every == 0:
                self.save()
            yield result.loss


def show_progress(training: Training, log: TrainingLog, console: Console) -> None:
    """Train with a progress bar.

    Ctrl-C ends at the next step with everything saved; raises SystemExit then.
    """
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TimeRemainingColumn(),
    )
    trainer, total = training.trainer, training.config.training.steps
    with Progress(*columns, console=console) as progress, deferred_interrupt() as interrupt:
        task = progress.add_task("", total=total, completed=trainer.step, loss="-")
        for loss in training.steps(log):
            progress.update(task, completed=trainer.step, loss=f"{loss:.4f}")
            if interrupt.pressed:
                break
    if interrupt.pressed and trainer.step < total:
        training.save()
        say(console, f"interrupted after step {trainer.step}; the same command goes on from there")
        raise SystemExit(EXIT_INTERRUPTED)


def evaluate(training: Training) -> dict[str, Any]:
    """Held-out quality, parameters and cache of the trained model; also in `evaluation.json`."""
    config, trainer = training.config, training.trainer
    quality = validate(training.model, trainer.corpus, config.training)
    recipe = Recipe(config.model, config.cache, config.training, config.data, config.seed)
    static = Measured.of(()).measure_static(training.genome.genome, recipe)
    content = {"steps": trainer.step, "tokens": trainer.tokens, **vars(quality), **static}
    files.write_text(training.folder / EVALUATION, json.dumps(content, indent=2) + "\n")
    return content


def open_training(config: TrainConfig, arguments: list[str] | None) -> tuple[Training, list[str]]:
    """The training, new or as far as it has come, and notices.

    Raises `UserError` or `GenomeError` for a setting or a folder that cannot be used.
    """
    use_extensions(config.plugins, config.library)
    config.check()
    genome, name, notices = load_genome(config.genome, config.depth, config.alphabet)
    genome = genome.canonical()
    check_fits(genome, config.model)
    corpus = open_corpus(config.data, config.training.length, config.model.vocabulary)
    folder = open_folder(config, genome, corpus, arguments)
    torch.manual_seed(config.seed)
    model = decode(genome, config.model)
    trainer = Trainer(model, corpus, config.training, config.seed)
    if (folder / STATE).exists():
        load_state(folder / STATE, trainer)
        notices.append(f"going on after step {trainer.step}")
    return Training(config, folder, GenomeFile(name, genome), model, trainer), notices


def main(config: TrainConfig, arguments: list[str]) -> None:
    """Check the settings, train or go on training, evaluate, leave the checkpoint."""
    console = make_console()
    training, notices = open_training(config, arguments)
    folder, content = training.folder, training.genome
    for notice in notices:
        say(console, f"note: {notice}")
    say(console, f"training {content.name} ({content.genome.id}) in {folder}")
    try:
        with TrainingLog(folder, training.trainer.step, config.tensorboard) as log:
            show_progress(training, log, console)
        result = evaluate(training)
    except Diverged as error:
        fail(f"training diverged: {error}; try a smaller training.learning_rate in a new run_dir")
    training.genome = GenomeFile(content.name, content.genome, metrics=result)
    training.save()
    names = ("validation_loss", "bits_per_byte", "perplexity")
    shown = ", ".join(f"{name} {result[name]:.4f}" for name in names)
    costs = f"parameters {result['parameters']:,}, cache bytes {result['cache_bytes']:,}"
    say(console, f"{shown}, {costs}")
    say(console, f"checkpoint: {folder}")


if __name__ == "__main__":
    run_command("train", main, (GenomeError,))
