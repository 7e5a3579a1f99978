"""Hybrids of small random components, for tests."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from star.base.files import named_weights, write_tensors
from star.genomes import Genome, ModelConfig, load_genome
from star.genomes.hybrids import GenomeComponent, Hybrid, HybridAlphabet, write_hybrid
from star.models import LanguageModel, decode
from star.models.hybrid.mixture import COMPONENTS
from star.models.hybrid.own_weights import digest_of

# Attention, a design with short convolutions, and one that shares features across its layers and
# has a head of its own: of three widths and depths.
PARTS = {
    "attention": (Genome.from_text("31111-91111-31111-91111"), ModelConfig(width=32)),
    "lfm2": (load_genome("lfm2", depth=6)[0], ModelConfig(width=64)),
    "sharing": (
        Genome.from_text("31112-31112-21111-91111-31112"),
        ModelConfig(width=48, tie_embeddings=False),
    ),
}


def hybrid_of(*names: str, blocks: int = 2, **settings: object) -> Hybrid:
    """A hybrid of some of these components, by name."""
    components = tuple(
        GenomeComponent(name, f"{number:016x}", PARTS[name][0].canonical(), PARTS[name][1])
        for number, name in enumerate(names)
    )
    return Hybrid("test", components, blocks, **settings)  # type: ignore[arg-type]


def write(folder: Path, hybrid: Hybrid, models: Sequence[LanguageModel]) -> HybridAlphabet:
    """The folder of a hybrid whose components are these models."""
    (folder / COMPONENTS).mkdir(parents=True)
    components = []
    for number, (model, own) in enumerate(zip(models, hybrid.components, strict=True)):
        weights = named_weights(model)
        write_tensors(folder / COMPONENTS / f"{number}.safetensors", weights, {})
        components.append(replace(own, digest=digest_of(weights)))  # type: ignore[type-var]
    return write_hybrid(folder, replace(hybrid, components=tuple(components)))


def written(folder: Path, hybrid: Hybrid) -> tuple[HybridAlphabet, list[LanguageModel]]:
    """The folder of a hybrid whose components have random weights, and those models."""
    torch.manual_seed(0)
    models = [decode(c.genome, c.sizes) for c in hybrid.components]  # type: ignore[attr-defined]
    return write(folder, hybrid, models), models


def mixed(alphabet: HybridAlphabet, *names: str) -> Genome:
    """A genome of letters by name, such as `Mix-3-1`."""
    ids = {letter.name: letter.id for letter in alphabet.classes}
    return Genome.from_genes([[ids[name], 1, 1, 1, 1] for name in names], alphabet)
