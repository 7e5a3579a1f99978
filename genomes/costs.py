"""Exact parameter counts and generation-cache bytes of a genome, without building the model.

Sources: docs/search_space.md, section 5. Every shared tensor is counted once, at its owner. A test
builds models and compares; the generation cache of `star.models` is compared to the byte.
"""

from dataclasses import dataclass

from .genome import Genome
from .model_config import DTYPE_BYTES, NORMS, SIZES, CacheSetting, ModelConfig
from .operators import PROJECTION, FeatureGroup, LivClass
from .sharing import LivSharing
from .widths import check_heads, group_width, inner_width, lambda_width, operator_copies

FAR = int(SIZES["window"].most)  # positions: beyond every window


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of a model. `per_liv` includes each LIV's norm; `non_embedding` adds the final
    norm."""

    non_embedding: int
    embedding: int
    per_liv: tuple[int, ...]


def _projection(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    channels = group_width(group, liv_class, model)
    convolution = channels * (group.kernel_length + group.bias) if group.kernel_length else 0
    return model.width * channels + convolution


def _group_parameters(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    """Parameters of one feature group, for all operators that need their own."""
    if group.form == PROJECTION:
        count = _projection(group, liv_class, model)
    else:
        count = liv_class.operator.structure.forms[group.form](group, liv_class, model)
    return operator_copies(liv_class, group.name) * count


def _own_parameters(liv_class: LivClass, model: ModelConfig) -> int:
    """Norms, output projection, lambda vectors and the structure's own weights: never shared."""
    return (
        NORMS[model.norms] * model.width
        + inner_width(liv_class, model) * model.width
        + 4 * lambda_width(liv_class, model)
        + liv_class.operator.structure.parameters(liv_class, model)
    )


def check_fits(genome: Genome, model: ModelConfig) -> ModelConfig:
    """The sizes that the genome is built at (`Genome.sizes`). Raises `GenomeError` unless it is
    valid and can be built at them."""
    model.check()
    if genome.alphabet.hybrid is not None:
        genome.alphabet.hybrid.check_fits(genome.check(), model)
        return model
    for liv_class in set(genome.classes()):
        check_heads(liv_class, model)
    return genome.sizes(model)


def parameter_count(genome: Genome, model: ModelConfig) -> ParameterCount:
    """Count parameters. Raises `GenomeError` for an invalid genome or a width it cannot have."""
    model = check_fits(genome, model)
    if genome.alphabet.hybrid is not None:
        return genome.alphabet.hybrid.parameter_count(genome)
    per_liv: list[int] = []
    for index, (liv_class, sharing) in enumerate(
        zip(genome.classes(), genome.sharing, strict=True)
    ):
        per_liv.append(
            _own_parameters(liv_class, model)
            + sum(
                _group_parameters(group, liv_class, model)
                for group in liv_class.operator.groups
                if sharing.weight_owner.get(group.name) == index
            )
        )
    embedding = model.vocabulary * model.width * (1 if model.tie_embeddings else 2)
    return ParameterCount(sum(per_liv) + model.width, embedding, tuple(per_liv))


def _tails(liv_class: LivClass, sharing: LivSharing, model: ModelConfig) -> int:
    """Last inputs of the featurizer's short convolutions: (length - 1) x group width for each group
    it computes."""
    return sum(
        operator_copies(liv_class, group.name)
        * (group.kernel_length - 1)
        * group_width(group, liv_class, model)
        for group in liv_class.operator.groups
        if group.form == PROJECTION and group.kernel_length and group.name not in sharing.borrowed
    )


def liv_cache_bytes(
    genome: Genome, model: ModelConfig, cache: CacheSetting | None = None
) -> tuple[int, ...]:
    """Bytes of generation cache for each LIV; cache None is that of `CacheSetting()`.

    Raises `GenomeError` for a setting that is impossible, for an invalid genome, or for a width it
    cannot have.
    """
    cache = cache or CacheSetting()
    cache.check()
    model = check_fits(genome, model)
    if genome.alphabet.hybrid is not None:
        return genome.alphabet.hybrid.cache_bytes(genome, cache)
    per_liv = []
    for liv_class, sharing in zip(genome.classes(), genome.sharing, strict=True):
        structure, tails = liv_class.operator.structure, _tails(liv_class, sharing, model)
        arguments = (liv_class, sharing.borrowed, model, cache.context)
        nbytes = DTYPE_BYTES[cache.dtype] * (structure.cache(*arguments) + tails)
        nbytes += DTYPE_BYTES[cache.state_dtype] * structure.states(*arguments)
        per_liv.append(cache.batch * nbytes)
    return tuple(per_liv)


def cache_bytes(genome: Genome, model: ModelConfig, cache: CacheSetting | None = None) -> int:
    """Bytes of generation cache for the whole backbone; arguments and errors as
    `liv_cache_bytes`."""
    return sum(liv_cache_bytes(genome, model, cache))


def state_bytes(genome: Genome, model: ModelConfig, cache: CacheSetting | None = None) -> int:
    """Bytes of the generation cache that do not grow with the context: running states, the last
    inputs of short convolutions, keys and values of a window.

    What a structure writes once counts as growing, as a whole, where more positions need more of
    it. Arguments and errors as `liv_cache_bytes`.
    """
    cache = cache or CacheSetting()
    return cache_bytes(genome, model, cache) - sum(growing_bytes(genome, model, cache))


def growing_bytes(genome: Genome, model: ModelConfig, cache: CacheSetting) -> tuple[int, ...]:
    """Bytes of what is written once for every position, however many there are, a LIV each."""
    if genome.alphabet.hybrid is not None:
        return genome.alphabet.hybrid.growing_bytes(genome, cache)
    elements = []
    for liv_class, sharing in zip(genome.classes(), genome.sharing, strict=True):
        written = liv_class.operator.structure.cache
        near, further = (written(liv_class, sharing.borrowed, model, n) for n in (FAR, 2 * FAR))
        count = written(liv_class, sharing.borrowed, model, cache.context) if further > near else 0
        elements.append(count)
    return tuple(cache.batch * DTYPE_BYTES[cache.dtype] * count for count in elements)


def footprint_bytes(genome: Genome, model: ModelConfig, cache: CacheSetting | None = None) -> int:
    """Bytes that generation keeps: all weights in the cache's dtype, embedding and head included,
    and the cache of the whole batch. Arguments and errors as `liv_cache_bytes`."""
    cache = cache or CacheSetting()
    count = parameter_count(genome, model)
    weights = count.non_embedding + count.embedding
    return DTYPE_BYTES[cache.dtype] * weights + cache_bytes(genome, model, cache)
