"""Components opened from folders: our checkpoints, and models of Hugging Face transformers.

A model of theirs that a genome is becomes one, through the mapping of `star.adopt`; another one
becomes a `ForeignComponent`, where `star.models.hybrid.families` has a row for its family.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from star.base.errors import UserError
from star.base.files import named_weights, remove_leftovers, write_tensors, writing
from star.base.imports import expect_installed
from star.base.reading import expanded, is_file, is_folder
from star.data.subwords import SubwordTokenizer
from star.data.tokenizers import VOCABULARY
from star.genomes.hybrids import (
    FILE,
    Component,
    ForeignComponent,
    GenomeComponent,
    Hybrid,
    HybridAlphabet,
    write_hybrid,
)
from star.hybrids.tokenizers import differences, own_tokenizer
from star.models import load_checkpoint
from star.models.checkpoint import GENOME
from star.models.hybrid.mixture import COMPONENTS
from star.models.hybrid.own_weights import DIGEST, digest_of, holds

CONFIG = "config.json"  # of a model of theirs


class Opened(NamedTuple):
    """A component with its weights, by the names of its module in `star.models.hybrid`."""

    component: Component
    weights: Mapping[str, torch.Tensor]
    tokenizer: bytes = b""  # `tokenizer.json`; empty where tokens are bytes
    end_token: str | None = None  # of the tokenizer

    def read_tokenizer(self) -> SubwordTokenizer | None:
        """Its tokenizer, None where tokens are bytes."""
        if not self.tokenizer:
            return None
        content = self.tokenizer.decode()
        return SubwordTokenizer(content, self.end_token, f"component {self.component.name}")


def opened_with(
    component: Component, weights: Mapping[str, torch.Tensor], tokenizer: SubwordTokenizer | None
) -> Opened:
    """A component, its weights, and its tokenizer, None for bytes."""
    if tokenizer is None:
        return Opened(component, weights)
    return Opened(component, weights, tokenizer.content.encode(), tokenizer.end_token)


def open_checkpoint(given: str) -> Opened:
    """One of our checkpoints. Raises `UserError` or `GenomeError` for what is none."""
    checkpoint = load_checkpoint(given)
    if checkpoint.genome.genome.alphabet.hybrid is not None:
        raise _hybrid_error(given)
    weights = named_weights(checkpoint.model)
    genome = checkpoint.genome.genome.canonical()
    component = GenomeComponent(
        checkpoint.genome.name, digest_of(weights), genome, checkpoint.config
    )
    settings, vocabulary = checkpoint.genome.settings, checkpoint.config.vocabulary
    return opened_with(component, weights, own_tokenizer(expanded(given), settings, vocabulary))


def _hybrid_error(given: str) -> UserError:
    return UserError(f"models: {given} is a hybrid; expected components that are none")


def open_component(given: str, revision: str = "main") -> Opened:
    """A component: one of our checkpoint folders, a folder of Hugging Face's, or a name on its hub.

    Args:
        given: which.
        revision: on the hub.

    Raises:
        UserError: on one line, for what is none or cannot be read.
        GenomeError: likewise, of a checkpoint of ours.
    """
    folder = expanded(given)
    if is_folder(folder, "models"):
        if is_file(folder / GENOME):
            return open_checkpoint(given)
        if is_file(folder / FILE):
            raise _hybrid_error(given)
        if not is_file(folder / CONFIG):
            raise UserError(
                f"models: {given} has neither {GENOME} nor {CONFIG}; expected a checkpoint of ours "
                "or of Hugging Face transformers"
            )
    expect_installed(f"models={given}", "transformers")
    from star.hybrids.theirs import open_theirs

    return open_theirs(given, revision)


def open_components(models: Sequence[str], revision: str = "main") -> list[Opened]:
    """Components of one tokenizer and one vocabulary.

    Args:
        models: as `open_component` takes them.
        revision: of those on the hub.

    Raises:
        UserError: as `open_component`, and where tokenizers differ.
        GenomeError: as `open_component`.
    """
    opened = [open_component(given, revision) for given in models]
    expect_one_tokenizer(models, opened)
    return one_vocabulary(models, opened)


def expect_one_tokenizer(models: Sequence[str], opened: Sequence[Opened]) -> None:
    """Raise `UserError` for the first component whose tokens are others than the first one's."""
    first = opened[0]
    for given, other in zip(models[1:], opened[1:], strict=True):
        found = _differences(first, other)
        if found:
            raise UserError(
                f"models: the tokenizers of {models[0]} and {given} differ in {found}; expected "
                "components of one tokenizer"
            )


def _differences(first: Opened, other: Opened) -> str:
    """What two tokenizers differ in, for people; nothing where they are one."""
    if first.tokenizer == other.tokenizer:
        return ""
    sizes = [_tokens_of(one) for one in (first, other)]
    if not (first.tokenizer and other.tokenizer):
        kinds = [f"{n:,} tokens" if n != VOCABULARY else "bytes" for n in sizes]
        return f"their kind ({kinds[0]} and {kinds[1]})"
    found = differences(first.tokenizer.decode(), other.tokenizer.decode())
    if "vocabulary" in found:
        found[found.index("vocabulary")] = f"vocabulary ({sizes[0]:,} and {sizes[1]:,} tokens)"
    return ", ".join(found)


def _tokens_of(opened: Opened) -> int:
    tokenizer = opened.read_tokenizer()
    return VOCABULARY if tokenizer is None else tokenizer.vocabulary


def one_vocabulary(models: Sequence[str], opened: Sequence[Opened]) -> list[Opened]:
    """Components of one tokenizer, cut to as many tokens as the smallest of them has. What is cut
    stands for no token: tables are often padded to a multiple of 64 or 128.

    Raises `UserError` where the tokenizer has more.
    """
    sizes = [one.component.vocabulary for one in opened]
    smallest = min(sizes)
    if smallest == max(sizes):
        return list(opened)
    tokens = _tokens_of(opened[0])
    if smallest < tokens:
        given = models[sizes.index(smallest)]
        raise UserError(
            f"models: {given} knows {smallest:,} tokens and another one {max(sizes):,}, and their "
            f"tokenizer has {tokens:,}; expected components of one vocabulary"
        )
    return [_cut(one, smallest) for one in opened]


def _cut(opened: Opened, vocabulary: int) -> Opened:
    """A component that knows the first so many tokens."""
    component = opened.component
    if component.vocabulary == vocabulary:
        return opened
    tables = ("embedding.weight", "head.weight")
    weights = {
        name: weight[:vocabulary] if name in tables else weight
        for name, weight in opened.weights.items()
    }
    if isinstance(component, GenomeComponent):
        cut: Any = replace(component, sizes=replace(component.sizes, vocabulary=vocabulary))
    else:
        from star.models.hybrid.families import cut_vocabulary

        assert isinstance(component, ForeignComponent)
        cut = cut_vocabulary(component, vocabulary)
    return opened._replace(component=replace(cut, digest=digest_of(weights)), weights=weights)


def prepare(folder: Path, hybrid: Hybrid, opened: Sequence[Opened]) -> HybridAlphabet:
    """Write a hybrid's folder: weights of its components, their tokenizer, and its file at last;
    returns its alphabet.

    Weights that are there already are kept, and written again where they are others.
    """
    components = folder / COMPONENTS
    with writing(folder):
        components.mkdir(parents=True, exist_ok=True)
        remove_leftovers(components, r"\d+\.safetensors")
        for number, one in enumerate(opened):
            path, digest = components / f"{number}.safetensors", one.component.digest
            if not holds(path, digest):
                write_tensors(path, one.weights, {DIGEST: digest})
        tokenizer = opened[0].read_tokenizer()
        if tokenizer is not None:
            tokenizer.save(folder)
        return write_hybrid(folder, hybrid)
