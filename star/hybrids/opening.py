"""Components opened from folders: our checkpoints, and models of Hugging Face transformers."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from star.base.errors import UserError
from star.base.files import named_weights, write_tensors
from star.base.reading import expanded, is_file
from star.data.subwords import kept_content
from star.genomes.hybrids import Component, GenomeComponent, Hybrid, HybridAlphabet, write_hybrid
from star.models import load_checkpoint
from star.models.hybrid.mixture import COMPONENTS


class Opened(NamedTuple):
    """A component with its weights, by the names of its module in `star.models.hybrid`."""

    component: Component
    weights: Mapping[str, torch.Tensor]
    tokenizer: bytes  # `tokenizer.json`; empty where tokens are bytes


def digest_of(weights: Mapping[str, torch.Tensor]) -> str:
    """A hash of weights: 16 hexadecimal digits."""
    found = hashlib.sha256()
    for name in sorted(weights):
        found.update(name.encode())
        found.update(weights[name].detach().cpu().contiguous().float().numpy().tobytes())
    return found.hexdigest()[:16]


def open_checkpoint(given: str) -> Opened:
    """One of our checkpoints. Raises `UserError` or `GenomeError` for what is none."""
    checkpoint = load_checkpoint(given)
    if checkpoint.genome.genome.alphabet.hybrid is not None:
        raise UserError(f"models: {given} is a hybrid; expected components that are none")
    weights = named_weights(checkpoint.model)
    genome = checkpoint.genome.genome.canonical()
    component = GenomeComponent(
        checkpoint.genome.name, digest_of(weights), genome, checkpoint.config
    )
    return Opened(component, weights, kept_content(expanded(given)))


def open_component(given: str) -> Opened:
    """A component: one of our checkpoint folders. Raises `UserError` or `GenomeError` for what is
    none."""
    return open_checkpoint(given)


def expect_one_tokenizer(models: Sequence[str], opened: Sequence[Opened]) -> None:
    """Raise `UserError` for the first component whose tokens are others than the first one's."""
    first = opened[0]
    for given, other in zip(models[1:], opened[1:], strict=True):
        if other.tokenizer != first.tokenizer:
            raise UserError(
                f"models: the tokenizers of {models[0]} and {given} differ; expected components "
                "of one tokenizer"
            )


def prepare(folder: Path, hybrid: Hybrid, opened: Sequence[Opened]) -> HybridAlphabet:
    """Write a hybrid's folder, weights of its components first; returns its alphabet."""
    (folder / COMPONENTS).mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(opened):
        path = folder / COMPONENTS / f"{number}.safetensors"
        if not is_file(path):
            write_tensors(path, one.weights, {})
    return write_hybrid(folder, hybrid)
