"""python -m star.hybridize models=[a,b] run_dir=<folder>: mix pretrained models block for block.

Projectors are trained alone, a mixture is searched, weights are rewound to the pretrained ones, and
the hybrid is trained as a whole (Manticore, arXiv 2406.00894; docs/hybrids.md). The folder is that
of the hybrid, `<folder>/genome.yaml` its genome, `<folder>/model` the checkpoint. Running the same
command again goes on from where it was.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from star.base.command_line import fail, run_command
from star.base.console import make_console, say
from star.base.errors import UserError
from star.base.files import remove_leftovers, writing
from star.base.reading import expanded
from star.data import Corpus, open_corpus
from star.data.subwords import FILES, kept_content
from star.genomes import Genome, GenomeError
from star.genomes.hybrids import FILE, Hybrid
from star.hybrids.config import GIVEN, MAD, HybridizeConfig, expect_mixture
from star.hybrids.costs import penalty
from star.hybrids.discretise import check_budget
from star.hybrids.opening import Opened, open_components, prepare
from star.hybrids.programming import FILE as PROGRAMMING
from star.hybrids.programming import small_hybrid
from star.hybrids.stages import (
    GENOME,
    MIXTURE,
    PROJECTOR_STATE,
    SEARCH_LOG,
    SEARCH_STATE,
    Making,
    distinct_names,
    find_mixture,
    settle,
    train_projectors,
)
from star.hybrids.table import print_budget, print_mixture
from star.models.hybrid.mixture import COMPONENTS, PROJECTORS_FILE
from star.runs.claim import claimed_folder
from star.runs.extensions import use_extensions
from star.runs.provenance import check_same_run, new_folder, write_provenance
from star.training import Diverged
from star.training_runs import TrainConfig, finish, opened_training

MODEL = "model"  # folder of the checkpoint
WRITTEN = (
    *(FILE, COMPONENTS, PROJECTORS_FILE, PROJECTOR_STATE, SEARCH_STATE, SEARCH_LOG, PROGRAMMING),
    *(GENOME, MIXTURE, MODEL, *FILES),
)
# What may differ when a folder is gone on with. Components are compared by their weights; the
# training at the end compares its steps itself.
FREE = {
    *("models", "run_dir", "checkpoint_every", "validate_every", "tensorboard", "loggers"),
    *("plugins", "library", "steps", "training.steps"),
}

KEYS = ("blocks=", "parts=", "projector=", "ends=")  # settings that a hybrid's own errors name


def open_models(config: HybridizeConfig) -> list[Opened]:
    """The components, named by their folders. Raises `UserError` or `GenomeError` for ones that
    cannot be used together."""
    opened = open_components(config.models)
    names = distinct_names(config.models)
    for number, (one, name) in enumerate(zip(opened, names, strict=True)):
        named: Any = replace(one.component, name=name)  # type: ignore[type-var]
        opened[number] = one._replace(component=named)
    return opened


def plan(config: HybridizeConfig, opened: list[Opened]) -> Hybrid:
    """The hybrid of components, without a mixture. Raises `UserError` or `GenomeError` for settings
    that do not fit them."""
    own, components = config.hybrid, tuple(one.component for one in opened)
    name = "-".join(component.name for component in components)
    hybrid = Hybrid(name, components, own.blocks, own.parts, own.projector, own.ends)
    try:
        hybrid.check()
    except GenomeError as error:
        message = str(error)
        raise UserError(f"hybrid.{message}" if message.startswith(KEYS) else message) from None
    penalty(hybrid, own, config.cache)
    for component in components:  # what cannot be counted is said before anything is trained
        component.products(range(component.layers), config.cache.context)
    if own.method == GIVEN:
        expect_mixture(own.given_mixture(), own.blocks, len(components))
    if own.method == MAD:
        small_hybrid(hybrid, own.programming, hybrid.vocabulary)
    return hybrid


def open_text(config: HybridizeConfig, hybrid: Hybrid, opened: list[Opened]) -> Corpus:
    """The corpus. Raises `UserError` for one whose tokens are others than those of the models."""
    training = config.training
    corpus = open_corpus(
        config.data, training.length, hybrid.vocabulary, training.validation_length
    )
    if kept_content(corpus.tokenizer) != opened[0].tokenizer:
        raise UserError(
            f"models: the tokens of {config.models[0]} are others than those of the text; give its "
            "tokenizer to data.tokenizer"
        )
    return corpus


def main(config: HybridizeConfig, arguments: list[str]) -> None:
    """Check the settings, make what is missing of the hybrid, train it, leave the checkpoint."""
    console = make_console()
    use_extensions(config.plugins, config.library)
    config.check()
    opened = open_models(config)
    hybrid = plan(config, opened)
    corpus = open_text(config, hybrid, opened)
    folder = expanded(config.run_dir) if config.run_dir else new_folder("hybridize")
    digests = [one.component.digest for one in opened]
    if not (folder / MIXTURE).exists():
        check_budget(hybrid, config.hybrid, config.cache)
    settings = {**asdict(config), "components": digests, "data_fingerprint": corpus.fingerprint}
    with claimed_folder(
        folder, WRITTEN, lambda: check_same_run(folder, "a hybrid's making", settings, FREE)
    ):
        write_provenance(folder, "hybridize", settings, corpus.fingerprint, arguments)
        making = Making(config, folder, hybrid, corpus, console)
        say(console, f"mixing {' and '.join(c.name for c in hybrid.components)} in {folder}")
        genome = make(making, opened)
        train(config, folder, genome, console)


def make(making: Making, opened: list[Opened]) -> Genome:
    """Everything up to the genome, which is shown."""
    config, folder, console = making.config, making.folder, making.console
    try:
        if not (folder / MIXTURE).exists():
            with writing(folder):
                prepare(folder, making.hybrid, opened)
        remove_leftovers(folder / COMPONENTS, r"\d+\.safetensors")
        train_projectors(making)
        genome, weights = settle(making, find_mixture(making))
    except Diverged as error:
        fail(f"diverged: {error}; try a smaller training.learning_rate in a new run_dir")
    print_mixture(console, genome, weights, config.cache)
    print_budget(console, genome, config.hybrid, config.cache)
    return genome


def train(config: HybridizeConfig, folder: Path, genome: Genome, console: Console) -> None:
    """Train the hybrid as a whole, from its pretrained weights, as `star.train` does."""
    hybrid = genome.alphabet.hybrid
    assert hybrid is not None
    own = TrainConfig(
        genome=str(folder / GENOME),
        width=hybrid.width,
        steps=config.training.steps,
        context=config.cache.context,
        seed=config.seed,
        run_dir=str(folder / MODEL),
        checkpoint_every=config.checkpoint_every,
        validate_every=config.validate_every,
        tensorboard=config.tensorboard,
        loggers=config.loggers,
        plugins=config.plugins,
        library=config.library,
        model=hybrid.sizes,
        cache=config.cache,
        training=config.training,
        data=config.data,
    )
    with opened_training(own, None) as (training, notices):
        for notice in notices:
            if notice.startswith("going on"):
                say(console, f"note: {notice}")
        finish(training, console)


if __name__ == "__main__":
    run_command("hybridize", main, (GenomeError,))
