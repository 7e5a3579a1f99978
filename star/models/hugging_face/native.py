"""Genomes that are a model of `transformers`, made one, and the way back."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from star.base.errors import UserError
from star.genomes import (
    Genome,
    GenomeError,
    Liv,
    LivClass,
    ModelConfig,
    check_depth,
    check_fits,
    get_alphabet,
)
from star.genomes.widths import group_width, own_head_width

from ..language_model import LanguageModel
from .family import Family
from .lfm2 import LFM2
from .lfm3 import LFM3
from .llama import LLAMA, MISTRAL, QWEN3
from .mamba import MAMBA
from .mamba2 import MAMBA2
from .nemotron_h import NEMOTRON_H
from .olmo_hybrid import OLMO_HYBRID

# The first one that holds a genome makes its model.
FAMILIES = (LLAMA, MISTRAL, QWEN3, LFM2, LFM3, MAMBA, MAMBA2, NEMOTRON_H, OLMO_HYBRID)
ALPHABETS = ("star", "extended", "released", "released+operators")  # the first that has all classes


def family_of(genome: Genome, sizes: ModelConfig) -> Family | None:
    """The family that holds a genome at these sizes; None where none does."""
    held = (f for f in FAMILIES if f.class_of("Config") and f.holds(genome, sizes))
    return next(held, None)


def family_named(model_type: str) -> Family | None:
    """The family that `config.json` names; None for none of ours, or of a later transformers."""
    for family in FAMILIES:
        config = family.class_of("Config")
        if config is not None and config.model_type == model_type:
            return family
    return None


def read_configuration(family: Family, config: Any) -> tuple[Genome, ModelConfig]:
    """The genome and the sizes that a configuration of theirs is.

    Raises `UserError` naming the key for what no genome is, or not at sizes of ours.
    """
    names, sizes = family.read(config)
    if not family.has_required(names):
        raise UserError("no layer is attention: expected one, which positions are counted by")
    try:
        genome = genome_of(names)
        check_fits(genome, sizes)
        return genome, _without_usual(genome, sizes)
    except GenomeError as error:
        raise UserError(str(error)) from None


def genome_of(names: list[str]) -> Genome:
    """A genome without sharing of classes by name, over the smallest alphabet that has them.

    Raises `GenomeError` where none has, or for no name at all.
    """
    check_depth(len(names))
    for alphabet in map(get_alphabet, ALPHABETS):
        ids = {liv_class.name: liv_class.id for liv_class in alphabet.classes}
        if ids.keys() >= set(names):
            return Genome(tuple(Liv(ids[name]) for name in names), alphabet)
    raise GenomeError(f"no alphabet has {', '.join(sorted(set(names)))}")


def _without_usual(genome: Genome, sizes: ModelConfig) -> ModelConfig:
    """The sizes without those that follow from the model's width."""
    for name in sizes.given:
        usual = replace(sizes, **{name: None})
        if all(_widths(c, usual) == _widths(c, sizes) for c in set(genome.classes())):
            sizes = usual
    return sizes


def _widths(liv_class: LivClass, sizes: ModelConfig) -> list[int]:
    """Of a head, and of all feature groups."""
    groups = (group_width(group, liv_class, sizes) for group in liv_class.operator.groups)
    return [own_head_width(liv_class, sizes), *groups]


def _weights(
    family: Family, theirs: Any, ours: LanguageModel
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """A view of theirs and the weight of ours that it is, for every weight of ours."""
    embedding, norm = family.ends(theirs)
    yield embedding.get_parameter("weight"), ours.embedding.weight
    yield norm.get_parameter("weight"), ours.norm.weight
    if ours.head is not None:
        yield theirs.lm_head.weight, ours.head.weight
    for liv, views in zip(ours.livs, family.views(theirs), strict=True):
        own = dict(liv.named_parameters())
        for name, view in views.items():
            yield view, own.pop(name)
        assert not own, sorted(own)


def _copy(target: torch.Tensor, source: torch.Tensor) -> None:
    assert target.shape == source.shape, (target.shape, source.shape)
    target.copy_(source)


@torch.no_grad()
def as_native(
    family: Family, ours: LanguageModel, genome: Genome, sizes: ModelConfig, context: int
) -> Any:
    """A model of theirs with our weights, in float32 or what ours has.

    Args:
        family: that holds the genome.
        ours: the model.
        genome: what it was decoded from.
        sizes: at which.
        context: the most positions, which theirs are told.
    """
    config = family.configuration(genome.classes(), genome.sizes(sizes), context)
    theirs = family.class_of("ForCausalLM")(config).to(ours.dtype)
    for view, weights in _weights(family, theirs, ours):
        _copy(view, weights)
    if ours.head is None:  # some families always have a head of their own
        _copy(theirs.lm_head.weight, ours.embedding.weight)
    return theirs.eval()


@torch.no_grad()
def copy_theirs(family: Family, ours: LanguageModel, theirs: Any) -> None:
    """Write all weights of a model of theirs into ours.

    Raises `UserError` where theirs has some that ours has not.
    """
    count = 0
    for view, weights in _weights(family, theirs, ours):
        _copy(weights, view)
        count += weights.numel()
    total = sum(weights.numel() for weights in theirs.parameters())
    if count != total:
        raise UserError(f"has {total:,} weights of which the genome holds {count:,}")
