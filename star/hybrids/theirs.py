"""Components that are models of Hugging Face transformers: genomes where one is the model, and
`ForeignComponent` where not. No code of theirs is run, and nothing is unpickled."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from star.base.errors import UserError, plain, shown
from star.base.files import copy_weights, named_weights
from star.exporting import TOLERANCE
from star.exporting.folder import COMPARED, difference_of
from star.exporting.source import (
    INDEX,
    SHARDS,
    WEIGHTS,
    Source,
    check_content,
    config_error,
    fetch,
    known_types,
    load_model,
    load_theirs,
    name_of,
    read_folder,
    read_genome,
    source_of,
)
from star.genomes import Genome, ModelConfig
from star.genomes.hybrids import GenomeComponent
from star.hybrids.opening import Opened, opened_with
from star.hybrids.tokenizers import OTHER_FILES, their_tokenizer
from star.models import decode
from star.models.hybrid.families import (
    ADAPTERS,
    foreign_component,
    module_weights,
    read_config,
)
from star.models.hybrid.foreign import ForeignModule
from star.models.hybrid.own_weights import digest_of


def open_theirs(given: str, revision: str) -> Opened:
    """A model of theirs as a component.

    Args:
        given: a folder, or a name on the hub.
        revision: on the hub.

    Raises:
        UserError: for what no family holds, needs code of its own, or cannot be read.
    """
    folder, content = read_folder(given, revision, OTHER_FILES)
    is_foreign = content.get("model_type") in [*ADAPTERS]
    source = source_of(folder, content)
    if source is not None:
        try:
            found = read_genome(source, given)
        except UserError:
            if not is_foreign:
                raise
        else:
            return _as_genome(given, revision, source, *found)
    if not is_foreign:
        raise _unknown(folder, content)
    return _as_foreign(given, revision, folder, content)


def _unknown(folder: Path, content: Mapping[str, Any]) -> UserError:
    known = ", ".join(dict.fromkeys((*known_types(), *ADAPTERS)))
    code = "; code of its own (auto_map) is not run" if content.get("auto_map") else ""
    kind = shown(repr(content.get("model_type")))
    return config_error(folder, f"model_type={kind}: expected one of {known}{code}")


def _as_genome(
    given: str, revision: str, source: Source, genome: Genome, sizes: ModelConfig
) -> Opened:
    """As `star.adopt` makes a checkpoint, without writing one."""
    tokenizer = their_tokenizer(given, source.folder, sizes.vocabulary)
    fetch(given, revision, (WEIGHTS, INDEX, SHARDS))
    theirs, _ = load_theirs(source, given)
    ours = decode(genome, sizes).eval()
    try:
        source.copy_to(ours, theirs)
    except UserError as error:
        raise UserError(f"model={given}: {error}") from None
    _expect_same(given, ours, theirs, sizes.vocabulary, COMPARED[1])
    weights = named_weights(ours)
    name = name_of(given) or source.config.model_type
    component = GenomeComponent(name, digest_of(weights), genome.canonical(), sizes)
    return opened_with(component, weights, tokenizer)


def _as_foreign(given: str, revision: str, folder: Path, content: Mapping[str, Any]) -> Opened:
    family = content["model_type"]
    kind = ADAPTERS[family].model_class
    check_content(folder, content, kind.__name__)
    try:
        config = read_config(family, content)
    except Exception as error:  # whatever their checks raise
        raise config_error(folder, shown(plain(error))) from None
    tokenizer = their_tokenizer(given, folder, config.vocab_size)
    fetch(given, revision, (WEIGHTS, INDEX, SHARDS))
    theirs, _ = load_model(kind, config, folder, given)
    try:
        weights = module_weights(theirs, family)
    except UserError as error:
        raise UserError(f"model={given}: {error}") from None
    name = name_of(given) or family
    component = foreign_component(name, digest_of(weights), family, content, theirs)
    module = ForeignModule(component).eval()
    copy_weights(module, weights)
    length = min(COMPARED[1], config.max_position_embeddings)
    _expect_same(given, module.whole, theirs, component.vocabulary, length)
    return opened_with(component, named_weights(module), tokenizer)


def _expect_same(
    given: str,
    ours: Callable[[torch.Tensor], torch.Tensor],
    theirs: Any,
    vocabulary: int,
    length: int,
) -> None:
    """Raise `UserError` where logits are others than theirs, or theirs cannot be had."""
    try:
        found = difference_of(ours, theirs, vocabulary, length)
    except Exception as error:  # whatever their model raises
        what = f"{type(error).__name__}: {shown(plain(error))}"
        raise UserError(f"model={given}: cannot be run ({what})") from None
    if not found <= TOLERANCE:
        raise UserError(
            f"model={given}: its logits as a component differ by {found:.2g}; please report this"
        )
