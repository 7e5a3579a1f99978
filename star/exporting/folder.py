"""A checkpoint as a folder of Hugging Face's: configuration, weights, tokenizer, model card."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from transformers import GenerationConfig, PreTrainedModel

from star.base import files
from star.base.errors import UserError
from star.base.files import copy_weights, named_weights
from star.base.reading import is_file
from star.data.subwords import TOKENIZER
from star.data.tokenizers import VOCABULARY
from star.exporting import NATIVE, OURS
from star.exporting.companions import (
    GENERATION,
    TOKENIZER_FILES,
    copy_files,
    read_special_tokens,
)
from star.exporting.tokenizer import own_tokenizer
from star.genomes import CacheSetting, Genome, cache_bytes, parameter_count
from star.genomes.class_table import FIRST_FREE
from star.models.checkpoint import Checkpoint
from star.models.hugging_face.causal_lm import StarConfig, StarForCausalLM
from star.models.hugging_face.native import FAMILIES, as_native, family_of

REMOTE_CODE = "modeling_star.py"
_REMOTE = '''"""Loads this folder with `trust_remote_code=True`; STAR must be installed."""

from star.models.hugging_face.causal_lm import StarConfig, StarForCausalLM

__all__ = ["StarConfig", "StarForCausalLM"]
'''
AUTO_MAP = {
    "AutoConfig": "modeling_star.StarConfig",
    "AutoModelForCausalLM": "modeling_star.StarForCausalLM",
}
COMPARED = (2, 48)  # sequences and tokens of the comparison


def as_hugging_face(checkpoint: Checkpoint, wanted: str, context: int) -> PreTrainedModel:
    """The model as one of theirs.

    Args:
        checkpoint: to export.
        wanted: `native`: the class of theirs that the genome is; `star`: `StarForCausalLM`;
            `auto`: the former where there is one.
        context: the most positions.

    Raises:
        UserError: for a hybrid, a genome with classes of a plugin, and for `native` where none is.
    """
    genome = checkpoint.genome.genome
    if genome.alphabet.hybrid is not None:
        raise UserError(
            "checkpoint: is a hybrid of several models, which transformers has no class for; "
            "star.generate and star.train take it"
        )
    own = [c.name for c in genome.classes() if c.id >= FIRST_FREE]
    if own:
        raise UserError(
            f"checkpoint: its genome has {', '.join(sorted(set(own)))} of a plugin, which whoever "
            "loads an export would not have"
        )
    family = None if wanted == OURS else family_of(genome, checkpoint.config)
    if family is not None:
        return as_native(family, checkpoint.model, genome, checkpoint.config, context)
    if wanted == NATIVE:
        names = ", ".join(family.name for family in FAMILIES)
        raise UserError(
            f"format=native: the genome is none of {names} at its sizes (docs/export.md has which "
            "are); use format=star"
        )
    return _ours(checkpoint, genome, context)


def _ours(checkpoint: Checkpoint, genome: Genome, context: int) -> PreTrainedModel:
    config = StarConfig(
        genome=genome.to_text(), alphabet=genome.alphabet.name, **asdict(checkpoint.config),
        max_position_embeddings=context, auto_map=AUTO_MAP,
    )  # fmt: skip
    model = StarForCausalLM(config)
    torch.nn.Module.to(model, dtype=checkpoint.model.dtype)
    copy_weights(model.model, named_weights(checkpoint.model))
    return model.eval()


def difference(checkpoint: Checkpoint, theirs: Any) -> float:
    """As `difference_of`, of the model of a checkpoint."""
    return difference_of(checkpoint.model.eval(), theirs, checkpoint.config.vocabulary)


@torch.no_grad()
def difference_of(
    logits_of: Callable[[torch.Tensor], torch.Tensor],
    theirs: Any,
    vocabulary: int,
    length: int = COMPARED[1],
) -> float:
    """The largest difference of logits from ours on random tokens, as a share of the largest logit
    where that is above 1.

    Args:
        logits_of: ours, tokens int64 (batch, length) to logits (batch, length, vocabulary).
        theirs: the model of theirs.
        vocabulary: of both.
        length: of the tokens.
    """
    random = torch.Generator().manual_seed(0)
    tokens = torch.randint(vocabulary, (COMPARED[0], length), generator=random)
    ours = logits_of(tokens)
    found = (ours - theirs(tokens).logits).abs().max() / ours.abs().max().clamp(min=1)
    return float(found)


def write_folder(
    folder: Path,
    source: Path,
    checkpoint: Checkpoint,
    model: Any,
    context: int,
    evaluation: Mapping[str, Any],
) -> None:
    """Write everything that `from_pretrained` needs, and a card, into an empty folder.

    Args:
        folder: where.
        source: the checkpoint's folder, which may hold a tokenizer, one of an adopted model too.
        checkpoint: what is exported.
        model: the same as one of theirs.
        context: positions that the card counts the cache at.
        evaluation: what was measured of it; empty where nothing was.
    """
    adopted = read_special_tokens(source)
    tokenizer = own_tokenizer(source, checkpoint) if adopted is None else None
    end = None if tokenizer is None else tokenizer.pad_token_id
    ends = end if checkpoint.config.vocabulary != VOCABULARY else None  # no byte ends generation
    model.generation_config = GenerationConfig(
        pad_token_id=end, bos_token_id=end, eos_token_id=ends
    )
    for name, token in (adopted or {}).items():
        setattr(model.config, name, token)
    model.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    if adopted is not None:
        copy_files(source, folder, (*TOKENIZER_FILES, GENERATION))
    if isinstance(model, StarForCausalLM):
        files.write_text(folder / REMOTE_CODE, _REMOTE)
    has_tokenizer = is_file(folder / TOKENIZER)
    card = model_card(checkpoint, model, context, evaluation, has_tokenizer)
    files.write_text(folder / "README.md", card)


def model_card(
    checkpoint: Checkpoint,
    model: Any,
    context: int,
    evaluation: Mapping[str, Any],
    has_tokenizer: bool,
) -> str:
    """What the model is, what it costs, how it was trained, what was measured, and its limits.

    Args:
        checkpoint: what is exported.
        model: the same as one of theirs.
        context: positions that the cache is counted at.
        evaluation: what was measured of it.
        has_tokenizer: whether one lies beside it.
    """
    genome, sizes = checkpoint.genome.genome, checkpoint.config
    templates = Environment(
        loader=PackageLoader("star.exporting", "."), autoescape=False,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return templates.get_template("card.md.j2").render(
        name=checkpoint.genome.name,
        genome=genome,
        classes=[liv_class.name for liv_class in genome.classes()],
        sizes=asdict(genome.sizes(sizes)),
        parameters=parameter_count(genome, sizes),
        cache=cache_bytes(genome, sizes, CacheSetting(context)),
        context=context,
        evaluation=evaluation,
        training=checkpoint.genome.settings.get("training", {}),
        notes=checkpoint.genome.notes,
        has_tokenizer=has_tokenizer,
        is_ours=isinstance(model, StarForCausalLM),
        architecture=type(model).__name__,
    )
