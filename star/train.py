"""python -m star.train genome=lfm2 depth=6 width=64 steps=500 run_dir=<folder>: train one genome,
leave a checkpoint.

The folder is the checkpoint (`star/models/checkpoint.py`); `star/training/state.py` keeps what is
needed to go on bit for bit. Running the same command again resumes an interrupted training.
"""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from star.base import atomic
from star.base.command_line import EXIT_INTERRUPTED, check_seed, fail, register, run_command
from star.base.errors import UserError
from star.base.interrupts import deferred_interrupt
from star.data import Corpus, DataConfig, open_corpus
from star.evaluation import CacheSetting
from star.evaluation.objectives import static_metrics
from star.genomes import Genome, GenomeFile, ModelConfig, check_fits, load_genome
from star.models import LanguageModel, decode, save_checkpoint
from star.runs.provenance import CONFIGURATION, check_same_run, run_path, write_provenance
from star.training import Diverged, Trainer, TrainingConfig, load_state, save_state, validate
from star.training.log import TENSORBOARD, TrainingLog

STATE, EVALUATION = "training_state.safetensors", "evaluation.json"


@dataclass
class TrainConfig:
    """One training. genome: library name, file or text; depth: LIVs (None: the genome's own);
    steps: optimiser steps.

    run_dir: the folder, `runs/train/<date_time>` unless set. checkpoint_every, validate_every:
    steps between. context: positions the reported cache counts. tensorboard: `auto` writes events
    where TensorBoard is installed.
    """

    genome: str = "???"
    alphabet: str = "star"
    depth: int | None = None
    width: int = 64
    steps: int = 500
    context: int = 4096
    seed: int = 0
    run_dir: str | None = None
    checkpoint_every: int = 100
    validate_every: int = 100
    tensorboard: str = "auto"
    model: ModelConfig = field(default_factory=ModelConfig)
    cache: CacheSetting = field(default_factory=CacheSetting)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    data: DataConfig = field(default_factory=DataConfig)


# Settings that change no number: they may differ when a training is resumed. The genome is compared
# by its id.
FREE = {
    "run_dir",
    "checkpoint_every",
    "validate_every",
    "tensorboard",
    "genome",
    "depth",
    "alphabet",
}
STEPS = {
    "steps",
    "training.steps",
}  # free too at a constant rate: more steps then only go on further


def check(config: TrainConfig) -> None:
    """Raise `UserError` or `GenomeError` for the first setting that cannot be used."""
    config.model.check()
    config.cache.check()
    config.training.check()
    for name in ("checkpoint_every", "validate_every"):
        if getattr(config, name) < 1:
            raise UserError(f"{name}={getattr(config, name)}: expected at least 1 step")
    check_seed(config.seed)
    if config.tensorboard not in TENSORBOARD:
        raise UserError(
            f"tensorboard={config.tensorboard}: expected one of {', '.join(TENSORBOARD)}"
        )


def open_folder(config: TrainConfig, genome: Genome, corpus: Corpus) -> Path:
    """The run folder, new or of the same training. Raises `UserError` for one of another, or one
    not writable."""
    path = run_path(config.run_dir, "train")
    settings = {**asdict(config), "genome_id": genome.id, "data_fingerprint": corpus.fingerprint}
    if (path / CONFIGURATION).exists():
        free = FREE | (STEPS if config.training.schedule == "constant" else set())
        check_same_run(path, "a training", settings, free)
    try:
        path.mkdir(parents=True, exist_ok=True)
        write_provenance(path, "train", settings, corpus.fingerprint, sys.argv[1:])
    except OSError as error:
        raise UserError(
            f"run_dir={path}: cannot be written ({error.strerror}); choose a folder you may write "
            f"to"
        ) from None
    return path


@dataclass
class Run:
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
        """Train to the last step, with validation and checkpoints on the way; gives the loss of
        every step."""
        trainer, config = self.trainer, self.config
        while trainer.step < config.training.steps:
            start = time.perf_counter()
            result = trainer.advance()
            log.seconds += time.perf_counter() - start
            quality = None
            if trainer.step % config.validate_every == 0:
                quality = validate(self.model, trainer.corpus, config.training)
            log.write(
                step=trainer.step,
                tokens=trainer.tokens,
                train_loss=result.loss,
                gradient_norm=result.gradient_norm,
                learning_rate=result.learning_rate,
                validation_loss=quality and quality.validation_loss,
                seconds=round(log.seconds, 3),
            )
            if trainer.step % config.checkpoint_every == 0:
                self.save()
            yield result.loss


def show_progress(run: Run, log: TrainingLog, console: Console) -> None:
    """Train with a progress bar. Ctrl-C ends at the next step with everything saved; raises
    SystemExit then."""
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress, deferred_interrupt() as interrupt:
        total = run.config.training.steps
        task = progress.add_task("", total=total, completed=run.trainer.step, loss="-")
        for loss in run.steps(log):
            progress.update(task, completed=run.trainer.step, loss=f"{loss:.4f}")
            if interrupt.pressed:
                break
    if interrupt.pressed and run.trainer.step < total:
        run.save()
        console.print(
            f"interrupted after step {run.trainer.step}; the same command goes on from there"
        )
        raise SystemExit(EXIT_INTERRUPTED)


def evaluate(run: Run) -> dict[str, Any]:
    """Held-out quality, parameters and cache of the trained model, also written to
    `evaluation.json`."""
    quality = validate(run.model, run.trainer.corpus, run.config.training)
    static = static_metrics(run.genome.genome, run.config.model, run.config.cache)
    content = {"steps": run.trainer.step, "tokens": run.trainer.tokens, **vars(quality), **static}
    atomic.write_text(run.folder / EVALUATION, json.dumps(content, indent=2) + "\n")
    return content


def main(config: TrainConfig) -> None:
    """Check the settings, train or go on training, evaluate, leave the checkpoint."""
    console = Console()
    check(config)
    genome, name, notices = load_genome(config.genome, config.depth, config.alphabet)
    genome = genome.canonical()
    check_fits(genome, config.model)
    corpus = open_corpus(config.data, config.training.length, config.model.vocabulary)
    folder = open_folder(config, genome, corpus)
    torch.manual_seed(config.seed)
    model = decode(genome, config.model)
    run = Run(
        config,
        folder,
        GenomeFile(name, genome),
        model,
        Trainer(model, corpus, config.training, config.seed),
    )
    if (folder / STATE).exists():
        load_state(folder / STATE, run.trainer)
        notices.append(f"going on after step {run.trainer.step}")
    for notice in notices:
        console.print(f"note: {notice}", highlight=False, soft_wrap=True)
    console.print(f"training {name} ({genome.id}) in {folder}", highlight=False, soft_wrap=True)
    try:
        with TrainingLog(folder, run.trainer.step, config.tensorboard) as log:
            show_progress(run, log, console)
        result = evaluate(run)
    except Diverged as error:
        fail(f"training diverged: {error}; try a smaller training.learning_rate in a new run_dir")
    run.genome = GenomeFile(name, genome, metrics=result)
    run.save()
    shown = ", ".join(
        f"{key} {result[key]:.4f}" for key in ("validation_loss", "bits_per_byte", "perplexity")
    )
    costs = f"parameters {result['parameters']:,}, cache bytes {result['cache_bytes']:,}"
    console.print(f"{shown}, {costs}", highlight=False, soft_wrap=True)
    console.print(f"checkpoint: {folder}", highlight=False, soft_wrap=True)


register("train_schema", TrainConfig)

if __name__ == "__main__":
    run_command("train", main)
