"""One linearisation and where it is kept: align, train the gates, choose, distil.

The folder holds `align`, `gates` and `distil/<genome id>`, each with a log and a state. Only the
last depends on the budget, so another budget in the same folder goes on from the gates.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from star.base.errors import UserError
from star.base.files import copy_weights
from star.base.reading import expanded
from star.data import Corpus, open_corpus
from star.data.subwords import kept_content
from star.evaluation.probing import accuracy
from star.genomes import Genome, GenomeFile, cache_bytes
from star.hybrids.linearise.branches import make_branches
from star.hybrids.linearise.config import LineariseConfig, read_checkpoint_origin
from star.hybrids.linearise.gates import Gates, merged_weights
from star.hybrids.linearise.plan import Plan
from star.hybrids.linearise.recall import TASKS
from star.hybrids.linearise.running import Running
from star.hybrids.linearise.stages import Alignment, Distillation, GateTraining
from star.models import LanguageModel, decode_tried
from star.models.checkpoint import (
    GENOME,
    MODEL,
    WEIGHTS,
    Checkpoint,
    load_checkpoint,
    weights_digest,
)
from star.models.language_model import LivModule
from star.runs.claim import claimed_folder
from star.runs.provenance import check_same_run, new_folder, write_provenance
from star.training import validate
from star.training.log import chosen_loggers

ALIGN, GATES, DISTIL = "align", "gates", "distil"  # folders
RECALL = "recall_accuracy"
DIGEST = "checkpoint_weights"  # key of the digest of the checkpoint's weights
# Settings that change nothing before the distillation, which has a state for each genome.
FREE = {
    *("checkpoint", "to", "budget", "run_dir", "checkpoint_every", "validate_every"),
    *("tensorboard", "loggers", "plugins"),
}
Branches = dict[int, LivModule]


@dataclass(frozen=True)
class Result:
    """What came out.

    Attributes:
        gates: value of each unit's gate: 0 is the attention, 1 the branch.
        kept: whether each unit keeps attention.
        genome: the new one.
        model: the new one, trained.
        metrics: held-out quality, recall and cache of the `original`, of the new model when it was
            put together (`replaced`) and when it was trained (`distilled`), by name.
    """

    gates: list[float]
    kept: tuple[bool, ...]
    genome: Genome
    model: LanguageModel
    metrics: dict[str, dict[str, float]]


@dataclass
class Linearisation:
    """One linearisation."""

    config: LineariseConfig
    folder: Path
    checkpoint: Checkpoint
    corpus: Corpus
    plan: Plan
    running: Running

    def run(self) -> Result:
        """All of it, from wherever it has come.

        Raises:
            UserError: for a folder that cannot be read or written.
            Diverged: see `Trainer.advance`.
        """
        branches = self.aligned()
        gates = self.trained_gates(branches)
        kept = self.plan.choose(gates.importance, self.config.budget)
        genome = self.plan.genome_of(kept)
        metrics = {"original": self.measure(self.checkpoint.model, self.plan.genome)}
        student = self.student(branches, kept)
        metrics["replaced"] = self.measure(student, genome)
        self.distil(student, self.folder / DISTIL / genome.id)
        metrics["distilled"] = self.measure(student, genome)
        return Result(gates().tolist(), kept, genome, student, metrics)

    def aligned(self) -> Branches:
        """The branches, trained to give what the attention gives."""
        torch.manual_seed(self.config.seed)
        branches = make_branches(self.checkpoint.model, self.plan)
        if self.config.align.steps:
            trainer = Alignment(self.checkpoint.model, branches, self.corpus, self.config)
            self.running.run("aligning", trainer, self.folder / ALIGN)
        return branches

    def trained_gates(self, branches: Branches) -> Gates:
        """The gates; the branches are trained too where the settings say so."""
        gates = Gates(self.plan, self.config.gates.initial)
        trainer = GateTraining(self.checkpoint.model, branches, gates, self.corpus, self.config)
        self.running.run("gates", trainer, self.folder / GATES)
        return gates

    def student(self, branches: Branches, kept: Sequence[bool]) -> LanguageModel:
        """The new model, put together of the original and of branches. kept: by unit."""
        used = {place: branches[place] for place in self.plan.replaced_livs(kept)}
        student = decode_tried(self.plan.genome_of(kept), self.plan.model)
        copy_weights(student, merged_weights(self.checkpoint.model, used))
        return student

    def distil(self, student: LanguageModel, folder: Path) -> None:
        """Train the new model in place. folder: of the log and the state."""
        if not self.config.distil.steps:
            return
        trainer = Distillation(self.checkpoint.model, student, self.corpus, self.config)
        training = trainer.config

        def validation_loss() -> float:
            return validate(student, self.corpus, training).validation_loss

        self.running.run("distilling", trainer, folder, validation_loss)

    def measure(self, model: LanguageModel, genome: Genome) -> dict[str, float]:
        """Held-out quality of a model, its accuracy on the recall task, and its cache.

        Raises `Diverged` when the loss is not finite.
        """
        training = self.config.training
        quality = validate(model, self.corpus, training)
        length = training.validation_length or training.length
        sample = (training.validation_batches, training.validation_batch_size, length)
        windows = torch.cat(list(self.corpus.validation_batches(*sample)))
        rng = np.random.default_rng([self.config.seed])
        instances = TASKS[self.config.task](windows, rng)
        return {
            **quality.metrics,
            RECALL: accuracy(model, instances),
            "cache_bytes": cache_bytes(genome, self.plan.model, self.plan.cache),
        }


@contextmanager
def opened_linearisation(
    config: LineariseConfig, arguments: list[str] | None, console: Console
) -> Iterator[tuple[Linearisation, list[str]]]:
    """A linearisation, new or as far as it has come, and notices; nobody else works in its folder.

    Args:
        config: the settings, checked.
        arguments: of the command that repeats it; None where there is none.
        console: where progress is shown.

    Raises:
        UserError: for a checkpoint that cannot be used, a budget that cannot be met, and a folder
            of something else; nothing is written then.
        GenomeError: for a checkpoint whose genome cannot be read.
    """
    checkpoint = load_checkpoint(config.checkpoint)
    sizes = checkpoint.config
    plan = Plan.make(checkpoint.genome.genome, sizes, config.cache, config.replacement)
    plan.choose([0.0] * len(plan.units), config.budget)
    corpus = _open_corpus(config, checkpoint)
    origin = read_checkpoint_origin(config.checkpoint)
    notices = list(origin.notices(config, corpus.fingerprint)) if origin else []
    settings = {**asdict(config), "genome_id": plan.genome.id}
    settings |= {DIGEST: weights_digest(config.checkpoint), "data_fingerprint": corpus.fingerprint}
    running = Running(
        console,
        config.checkpoint_every,
        config.validate_every,
        tuple(chosen_loggers(config.loggers, config.tensorboard)),
        settings,
    )
    folder = expanded(config.run_dir) if config.run_dir else new_folder("linearise")
    with claimed_folder(
        folder,
        (ALIGN, GATES, DISTIL, GENOME, MODEL, WEIGHTS),  # never in a checkpoint's own folder
        lambda: check_same_run(folder, "a linearisation", settings, FREE),
    ):
        write_provenance(folder, "linearise", settings, corpus.fingerprint, arguments)
        yield Linearisation(config, folder, checkpoint, corpus, plan, running), notices


def _open_corpus(config: LineariseConfig, checkpoint: Checkpoint) -> Corpus:
    """The text. Raises `UserError` for one whose tokens are not the checkpoint's."""
    training, vocabulary = config.training, checkpoint.config.vocabulary
    corpus = open_corpus(config.data, training.length, vocabulary, training.validation_length)
    if kept_content(expanded(config.checkpoint)) != kept_content(corpus.tokenizer):
        raise UserError(
            f"checkpoint={config.checkpoint}: its tokens are others than those of the text; give "
            "its tokenizer to data.tokenizer"
        )
    return corpus


def genome_file(work: Linearisation, result: Result) -> GenomeFile:
    """The new genome with what it was made of.

    Notes name the checkpoint, each gate and what became of it; metrics are those of the trained
    model, and those of the original as `original_<name>`.
    """
    name, before = work.checkpoint.genome.name, work.plan.genome
    made = (
        f"{name} ({before.id}) of checkpoint {expanded(work.config.checkpoint)}, linearised to "
        f"{work.config.budget:.0%} of its cache by {work.plan.replacement.name}."
    )
    units = zip(work.plan.units, result.gates, result.kept, strict=True)
    lines = [
        f"LIV {', '.join(map(str, unit.livs))} ({before.classes()[unit.livs[0]].name}): gate "
        f"{gate:.3f}, {'kept' if is_kept else 'replaced'}"
        for unit, gate, is_kept in units
    ]
    original = {f"original_{key}": value for key, value in result.metrics["original"].items()}
    return GenomeFile(
        name=f"{name}_linearised",
        genome=result.genome,
        notes=f"{made} {'; '.join(lines)}.",
        metrics={**result.metrics["distilled"], **original},
        parents=[before.id],
    )
