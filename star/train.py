"""python -m star.train genome=lfm2 depth=6 width=64 steps=500 run_dir=<folder>: train one genome.

The folder is the checkpoint (`star/models/checkpoint.py`); `star/training/state.py` keeps what is
needed to go on bit for bit. Running the same command again resumes an interrupted training.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from star.base import files
from star.base.command_line import fail, run_command
from star.base.console import make_console, say
from star.base.errors import UserError
from star.base.files import writing
from star.base.interrupts import deferred_interrupt, exit_code
from star.base.loggers import EVENTS, REMEMBERED
from star.base.reading import expanded, read_bytes
from star.base.settings import expect, expect_one_of, expect_seed, expect_utf8
from star.data import DataConfig, open_corpus
from star.data.subwords import FILES, copy_tokenizer, kept_content
from star.evaluation import Measured, Recipe
from star.genomes import (
    CacheSetting,
    Genome,
    GenomeError,
    GenomeFile,
    ModelConfig,
    check_depth,
    check_fits,
    current_id,
)
from star.models import LanguageModel, decode_tried, save_checkpoint
from star.models.checkpoint import EVALUATION, GENOME, MODEL, WEIGHTS, Checkpoint, load_checkpoint
from star.models.transfer import sources_of, transfer
from star.runs.claim import claimed_folder
from star.runs.extensions import use_extensions
from star.runs.origin import load_reference, origin_settings, read_origin
from star.runs.progress import TimeLeft
from star.runs.provenance import (
    check_same_run,
    new_folder,
    read_configuration,
    write_provenance,
)
from star.training import Diverged, Trainer, TrainingConfig, load_state, save_state, validate
from star.training.config import IDENTITY
from star.training.log import LOG, TENSORBOARD, TrainingLog, chosen_loggers

BEGINNING = "init_weights"  # key of the digest of the weights that a training began from
STATE = "training_state.safetensors"
# What a training leaves in its folder beside its provenance, and a folder of others must not hold.
WRITTEN = (GENOME, MODEL, WEIGHTS, STATE, EVALUATION, LOG, EVENTS, REMEMBERED, *FILES)


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

    origin = staticmethod(read_origin)  # of `genome`: what is taken from there unless it is given
    CHOICES: ClassVar[tuple[str, ...]] = ("data",)

    def check(self) -> None:
        """Raise `UserError` or `GenomeError` for the first setting that cannot be used."""
        if self.depth is not None:
            check_depth(self.depth)
        self.model.check()
        self.cache.check()
        self.training.check(may_begin=True)
        rates = self.training.learning_rates
        expected = "[], since one training has one rate; set training.learning_rate"
        expect("training.learning_rates", rates, not rates, expected)
        self.data.check()
        for name in ("checkpoint_every", "validate_every"):
            expect(name, getattr(self, name), getattr(self, name) >= 1, "at least 1 step")
        expect_seed(self.seed)
        expect_utf8("run_dir", self.run_dir)
        expect_one_of("tensorboard", self.tensorboard, TENSORBOARD)
        chosen_loggers(self.loggers, self.tensorboard)


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
        fingerprint = self.trainer.corpus.fingerprint
        settings = origin_settings({**asdict(self.config), "data_fingerprint": fingerprint})
        genome = replace(self.genome, settings=settings)
        with writing(self.folder):
            save_checkpoint(self.folder, self.model, genome, self.config.model)
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

    Ctrl-C or SIGTERM ends it at the next step with everything saved; raises SystemExit then.
    """
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TextColumn("{task.fields[left]}"),
    )
    trainer, total = training.trainer, training.config.training.steps
    with Progress(*columns, console=console) as progress, deferred_interrupt() as interrupt:
        time_left, before = TimeLeft(), time.monotonic()
        left = time_left.text(0)
        task = progress.add_task("", total=total, completed=trainer.step, loss="-", left=left)
        for loss in training.steps(log):
            time_left.add(time.monotonic() - before)
            before = time.monotonic()
            left = time_left.text(total - trainer.step)
            progress.update(task, completed=trainer.step, loss=f"{loss:.4f}", left=left)
            if interrupt.error is not None:
                break
    if interrupt.error is not None and trainer.step < total:
        training.save()
        say(console, f"interrupted after step {trainer.step}; the same command goes on from there")
        raise SystemExit(exit_code(interrupt.error))


def evaluate(training: Training) -> dict[str, Any]:
    """Held-out quality, parameters and cache of the trained model; also in `evaluation.json`."""
    config, trainer = training.config, training.trainer
    quality = validate(training.model, trainer.corpus, config.training)
    recipe = Recipe(config.model, config.cache, config.training, config.data, config.seed)
    static = Measured.of(()).measure_static(training.genome.genome, recipe)
    content = {"steps": trainer.step, "tokens": trainer.tokens, **quality.metrics, **static}
    with writing(training.folder):
        files.write_text(training.folder / EVALUATION, json.dumps(content, indent=2) + "\n")
    return content


@contextmanager
def opened_training(
    config: TrainConfig, arguments: list[str] | None
) -> Iterator[tuple[Training, list[str]]]:
    """The training, new or as far as it has come, and notices; nobody else works in its folder.

    Args:
        config: the settings.
        arguments: of the command that repeats the training; None where there is none.

    Raises:
        UserError: for a setting that cannot be used, and for a folder of something else or of
            another training; nothing is written then.
        GenomeError: for a genome that cannot be used, or not at these sizes.
    """
    use_extensions(config.plugins, config.library)
    config.check()
    genome, name, notices = load_reference(config.genome, config.depth, config.alphabet)
    genome = genome.canonical()
    check_fits(genome, config.model)
    corpus = open_corpus(
        config.data,
        config.training.length,
        config.model.vocabulary,
        config.training.validation_length,
    )
    origin = read_origin(config.genome)
    notices += origin.notices(config, corpus.fingerprint) if origin else []
    folder = expanded(config.run_dir) if config.run_dir else new_folder("train")
    has_begun = (folder / STATE).exists()
    # Which may be gone by now.
    small = None if has_begun else read_beginning(config, corpus.tokenizer)
    settings = {**asdict(config), "genome_id": genome.id, "data_fingerprint": corpus.fingerprint}
    settings |= beginning_settings(config, settings["training"], small)
    free = FREE | (STEPS if config.training.schedule == "constant" else set())
    free |= {BEGINNING} if has_begun else set()
    with claimed_folder(
        folder,
        WRITTEN,
        lambda: check_same_run(folder, "a training", settings, free, upgrade_settings),
    ):
        torch.manual_seed(config.seed)
        model = decode_tried(genome, config.model)
        if small is not None:
            notices.append(begin_from(config, small, genome, model))
        trainer = Trainer(model, corpus, config.training, config.seed)
        if has_begun:
            planned = read_configuration(folder)["training"].get("steps")  # more than now, perhaps
            load_state(folder / STATE, trainer, planned if isinstance(planned, int) else None)
            notices.append(f"going on after step {trainer.step}")
        if trainer.step > config.training.steps:
            raise UserError(
                f"steps={config.training.steps}: the training in {folder} has done {trainer.step} "
                "steps already; give at least as many, or another run_dir"
            )
        write_provenance(folder, "train", settings, corpus.fingerprint, arguments)
        with writing(folder):
            copy_tokenizer(corpus.tokenizer, folder)
        yield Training(config, folder, GenomeFile(name, genome), model, trainer), notices


def read_beginning(config: TrainConfig, tokenizer: Path | None) -> Checkpoint | None:
    """The checkpoint `training.init_from`, None where there is none.

    Args:
        config: names it.
        tokenizer: the folder of that of the text; None where its tokens are bytes.

    Raises:
        UserError: for what is no checkpoint, and for one of another vocabulary.
        GenomeError: for one whose genome cannot be read.
    """
    if config.training.init_from is None:
        return None
    given = config.training.init_from
    key = f"training.init_from={given}"
    try:
        small = load_checkpoint(given)
    except UserError as error:
        message = str(error).removeprefix(f"checkpoint={expanded(given)}: ")
        raise UserError(f"{key}: {message}") from None
    there, here = small.config.vocabulary, config.model.vocabulary
    if there != here:
        raise UserError(f"{key}: its vocabulary has {there:,} tokens, model.vocabulary={here:,}")
    if kept_content(expanded(given)) != kept_content(tokenizer):
        raise UserError(
            f"{key}: its tokens are others than those of the text; give its tokenizer to "
            "data.tokenizer"
        )
    if not small.config.tie_embeddings and config.model.tie_embeddings:
        raise UserError(
            f"{key}: it has a head of its own; expected model.tie_embeddings=false here too"
        )
    return small


def beginning_settings(
    config: TrainConfig, training: dict[str, Any], small: Checkpoint | None
) -> dict[str, Any]:
    """What is kept of the checkpoint that a training began from: its whole path, and a digest of
    its weights; both empty where there is none."""
    given = config.training.init_from
    path = None if given is None else os.path.abspath(expanded(given))
    digest = ""
    if small is not None and path is not None:
        digest = hashlib.sha256(read_bytes(Path(path) / WEIGHTS)).hexdigest()[:16]
    return {"training": {**training, "init_from": path}, BEGINNING: digest}


def begin_from(config: TrainConfig, small: Checkpoint, genome: Genome, model: LanguageModel) -> str:
    """Write the weights of a checkpoint into the model; returns what was carried over, in words."""
    sources = sources_of(small.genome.genome, genome)
    is_identity = config.training.init_copies == IDENTITY
    done = transfer(small.model, model, sources, is_identity)
    count, share = sum(source is not None for source in sources), done.carried / done.total
    made = f"{count} of {genome.depth} LIVs and {share:.0%} of the weights begin as there"
    places = ", ".join("-" if source is None else str(source) for source in sources)
    key = f"training.init_from={config.training.init_from}"
    return f"{key}: {made}; LIVs are made of {places}"


def main(config: TrainConfig, arguments: list[str]) -> None:
    """Check the settings, train or go on training, evaluate, leave the checkpoint."""
    console = make_console()
    with opened_training(config, arguments) as (training, notices):
        for notice in notices:
            say(console, f"note: {notice}")
        content = training.genome
        say(console, f"training {content.name} ({content.genome.id}) in {training.folder}")
        finish(training, console)


def finish(training: Training, console: Console) -> None:
    """Train to the end, evaluate, write the checkpoint, show the result."""
    folder, content = training.folder, training.genome
    try:
        config = training.config
        loggers = chosen_loggers(config.loggers, config.tensorboard)
        with TrainingLog(folder, training.trainer.step, loggers, asdict(config)) as log:
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
