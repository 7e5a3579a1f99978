"""The checkpoint that a training begins from, `training.init_from`."""

import os
from pathlib import Path
from typing import Any

from star.base.errors import UserError
from star.base.files import copy_weights, named_weights
from star.base.reading import expanded
from star.data.subwords import kept_content
from star.genomes import Genome
from star.models import LanguageModel
from star.models.checkpoint import Checkpoint, load_checkpoint, weights_digest
from star.models.hybrid import has_components
from star.models.transfer import sources_of, transfer
from star.training.config import IDENTITY

from .config import BEGINNING, TrainConfig


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
    digest = "" if small is None or path is None else weights_digest(path)
    return {"training": {**training, "init_from": path}, BEGINNING: digest}


def expect_same_hybrid(config: TrainConfig, small: Checkpoint, genome: Genome) -> None:
    """Raise `UserError` where one of both is a hybrid, but the other is not the same one: a block
    of a hybrid is no LIV that another backbone could take."""
    there = small.genome.genome
    is_hybrid = there.alphabet.hybrid is not None or genome.alphabet.hybrid is not None
    if is_hybrid and there.id != genome.id:
        raise UserError(
            f"training.init_from={config.training.init_from}: holds genome {there.id}; a hybrid "
            f"begins from a checkpoint of the same hybrid and mixture only, {genome.id}"
        )


def fresh_hybrid(genome: Genome) -> list[str]:
    """A notice where the genome is of a hybrid without pretrained components beside it."""
    name = genome.alphabet.name
    if genome.alphabet.hybrid is None or has_components(name):
        return []
    return [f"{name} holds no pretrained components: all weights are fresh"]


def begin_from(config: TrainConfig, small: Checkpoint, genome: Genome, model: LanguageModel) -> str:
    """Write the weights of a checkpoint into the model; returns what was carried over, in words."""
    if genome.alphabet.hybrid is not None:
        copy_weights(model, named_weights(small.model))
        return f"training.init_from={config.training.init_from}: all weights begin as there"
    sources = sources_of(small.genome.genome, genome)
    is_identity = config.training.init_copies == IDENTITY
    done = transfer(small.model, model, sources, is_identity)
    count, share = sum(source is not None for source in sources), done.carried / done.total
    made = f"{count} of {genome.depth} LIVs and {share:.0%} of the weights begin as there"
    places = ", ".join("-" if source is None else str(source) for source in sources)
    key = f"training.init_from={config.training.init_from}"
    return f"{key}: {made}; LIVs are made of {places}"
