"""One training in its folder: opened, trained with progress, evaluated, left as a checkpoint."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from star.base import files
from star.base.command_line import fail
from star.base.console import say
from star.base.errors import UserError
from star.base.files import writing
from star.base.reading import expanded
from star.data import open_corpus
from star.data.subwords import copy_tokenizer
from star.evaluation import Measured, Recipe
from star.evaluation.hybrid_tokens import expect_tokens_of_hybrid
from star.genomes import GenomeFile, check_fits
from star.models import LanguageModel, decode_tried, save_checkpoint
from star.models.checkpoint import EVALUATION
from star.runs.claim import claimed_folder
from star.runs.extensions import use_extensions
from star.runs.origin import load_reference, origin_settings, read_origin
from star.runs.provenance import (
    check_same_run,
    new_folder,
    read_configuration,
    write_provenance,
)
from star.training import Diverged, Trainer, load_state, save_state, validate
from star.training.log import TrainingLog, chosen_loggers

from .beginning import (
    begin_from,
    beginning_settings,
    expect_same_hybrid,
    fresh_hybrid,
    read_beginning,
)
from .config import BEGINNING, FREE, STATE, STEPS, WRITTEN, TrainConfig, upgrade_settings
from .progress import Stage, logged_step, show_steps


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
            loss = logged_step(trainer, log, config.validate_every, self._validation_loss)
            if trainer.step % config.checkpoint_every == 0:
                self.save()
            yield loss

    def _validation_loss(self) -> float:
        return validate(self.model, self.trainer.corpus, self.config.training).validation_loss


def show_progress(training: Training, log: TrainingLog, console: Console) -> None:
    """Train with a progress bar, as `show_steps`."""
    trainer, total = training.trainer, training.config.training.steps
    stage = Stage("training", total, lambda: trainer.step, training.save, is_last=True)
    show_steps(stage, training.steps(log), console)


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
    expect_tokens_of_hybrid(genome.alphabet.name, corpus.tokenizer)
    origin = read_origin(config.genome, config.alphabet)
    notices += origin.notices(config, corpus.fingerprint) if origin else []
    folder = expanded(config.run_dir) if config.run_dir else new_folder("train")
    has_begun = (folder / STATE).exists()
    # Which may be gone by now.
    small = None if has_begun else read_beginning(config, corpus.tokenizer)
    if small is not None:
        expect_same_hybrid(config, small, genome)
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
        notices += fresh_hybrid(genome) if small is None else []
        if small is not None:
            notices.append(begin_from(config, small, genome, model))
        trainer = Trainer(model, corpus, config.training, config.seed)
        if has_begun:
            notices.append(resume(trainer, folder))
        write_provenance(folder, "train", settings, corpus.fingerprint, arguments)
        with writing(folder):
            copy_tokenizer(corpus.tokenizer, folder)
        yield Training(config, folder, GenomeFile(name, genome), model, trainer), notices


def resume(trainer: Trainer, folder: Path) -> str:
    """Set the trainer to where the training in a folder was; returns a notice. Raises `UserError`
    for a state that cannot be used, and for one of more steps than are wanted."""
    planned = read_configuration(folder)["training"].get("steps")  # more than now, perhaps
    load_state(folder / STATE, trainer, planned if isinstance(planned, int) else None)
    if trainer.step > trainer.config.steps:
        raise UserError(
            f"steps={trainer.config.steps}: the training in {folder} has done {trainer.step} "
            "steps already; give at least as many, or another run_dir"
        )
    return f"going on after step {trainer.step}"


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
