"""The functions of the Python face, `star.<name>`: what a notebook asks for, in one call each.

They take a genome, a design's name, a genome file or a text where a genome is wanted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from star.base.command_line import compose_config
from star.evaluation import Evaluation
from star.evaluation import evaluate as evaluate_genome
from star.genomes import (
    CacheSetting,
    Genome,
    ModelConfig,
    check_fits,
    fit_depth,
    liv_cache_bytes,
    parameter_count,
)
from star.models import LanguageModel
from star.models import decode as decode_genome
from star.runs.origin import Origin, configured, load_reference, read_origin
from star.search import EvolveConfig
from star.search.recipe import make_recipe

GenomeLike = Genome | str | Path


@dataclass(frozen=True)
class Costs:
    """Exact costs of a genome, without building it."""

    parameters: int  # non-embedding, every shared tensor once
    embedding_parameters: int
    cache_bytes: int  # of generation
    parameters_per_liv: tuple[int, ...]
    cache_bytes_per_liv: tuple[int, ...]


def load_genome(reference: GenomeLike, depth: int | None = None, alphabet: str = "star") -> Genome:
    """A genome by name, file or text, or of a run by `<run>/<id>`.

    Args:
        reference: a design such as `lfm2`, a genome file, or a text such as `71111-91111`.
        depth: number of LIVs, repeated or cut to; None is the genome's own.
        alphabet: of a text, `star` or `extended`.

    Raises:
        GenomeError: for anything that is none of these.
    """
    if isinstance(reference, Genome):
        return reference if depth is None else fit_depth(reference, depth)
    return load_reference(str(reference), depth, alphabet)[0]


def _origin(genome: GenomeLike) -> Origin | None:
    return None if isinstance(genome, Genome) else read_origin(str(genome))


def _sizes(genome: GenomeLike, width: int | None, model: ModelConfig | None) -> ModelConfig:
    if model is not None:
        return model
    return configured(ModelConfig(), _origin(genome), "model", width=width)


def decode(
    genome: GenomeLike, width: int | None = None, model: ModelConfig | None = None
) -> LanguageModel:
    """The language model of a genome, an `nn.Module`: tokens (batch, length) to logits.

    `torch.manual_seed` before the call fixes its weights.

    Args:
        genome: what to build.
        width: of the model, where `model` is not given; None is the one that the genome's file
            carries, or 64.
        model: all sizes.

    Raises:
        GenomeError: for an invalid genome or a width it cannot have.
    """
    return decode_genome(load_genome(genome), _sizes(genome, width, model))


def costs(
    genome: GenomeLike,
    width: int | None = None,
    model: ModelConfig | None = None,
    cache: CacheSetting | None = None,
) -> Costs:
    """Exact costs of a genome.

    Args:
        genome: what to count.
        width: of the model, where `model` is not given; None is the one that the genome's file
            carries, or 64.
        model: all sizes.
        cache: positions, sequences and dtype of the generation cache; None: those that the
            genome's file carries, or 4,096, 1 and bfloat16.

    Raises:
        GenomeError: for an invalid genome, or sizes it cannot have.
    """
    found, sizes = load_genome(genome), _sizes(genome, width, model)
    setting = cache or configured(CacheSetting(), _origin(genome), "cache")
    count = parameter_count(found, sizes)
    per_liv = liv_cache_bytes(found, sizes, setting)
    return Costs(count.non_embedding, count.embedding, sum(per_liv), count.per_liv, per_liv)


def evaluate(
    genome: GenomeLike,
    objectives: Sequence[str] = ("validation_loss", "cache_bytes"),
    overrides: Sequence[str] = (),
) -> Evaluation:
    """Train a genome briefly in this process and measure it, as a search does.

    Args:
        genome: what to evaluate.
        objectives: names, or import paths of your own; the usual five are measured anyway.
        overrides: of the recipe, as for `star.evolve`: `training.steps=20`, `width=32`, `seed=1`.

    Returns:
        An evaluation; `.metrics` holds every measured quantity by name, `.status` is `ok`, or
        `infeasible` with its `.reason`.

    Raises:
        UserError: for settings or data that cannot be used.
        GenomeError: for a genome that cannot be built at these sizes.
    """
    config: EvolveConfig = compose_config("evolve", overrides)
    config.search.objectives = list(objectives)
    _, recipe = make_recipe(config)
    is_cut = any(override.startswith("depth=") for override in overrides)
    found = load_genome(genome, config.depth if is_cut else None)
    check_fits(found, recipe.model)
    corpus = recipe.open_corpus()
    return evaluate_genome(found, recipe, corpus)
