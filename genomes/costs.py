"""Exact parameter counts and generation-cache bytes of a genome, without building the model.

Sources: docs/search_space.md, section 5. Every shared tensor is counted once, at its owner. A test
builds models and compares; the generation cache of `star.models` is compared to the byte.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .alphabets import LivClass
from .errors import GenomeError
from .genome import Genome
from .model_config import (
    DTYPE_BYTES,
    KERNEL_HIDDEN_WIDTH,
    POSITION_FREQUENCIES,
    ModelConfig,
    check_repeat,
    group_width,
    head_width,
    inner_width,
    lambda_width,
    operator_copies,
    step_rank,
)
from .operators import (
    BANDED,
    DENSE,
    DIAGONAL,
    GROUPED,
    IDENTITY,
    LOW_RANK,
    PER_CHANNEL,
    SEMI_SEPARABLE,
    TOEPLITZ,
    FeatureGroup,
)


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of a model. `per_liv` includes each LIV's norm; `non_embedding` adds the final
    norm."""

    non_embedding: int
    embedding: int
    per_liv: tuple[int, ...]


def _projection(group: FeatureGroup, width: int, inner: int, state: int) -> int:
    channels = group_width(group, width)
    convolution = channels * (group.kernel_length + group.bias) if group.kernel_length else 0
    return width * channels + convolution


def _step_size(group: FeatureGroup, width: int, inner: int, state: int) -> int:
    rank = step_rank(width)
    return inner * rank + rank * inner + inner + inner * state


def _state_input(group: FeatureGroup, width: int, inner: int, state: int) -> int:
    return inner * state


def _delta_transition(group: FeatureGroup, width: int, inner: int, state: int) -> int:
    heads = inner // head_width(width)
    return 2 * width * heads + 2 * heads


def _explicit_kernel(group: FeatureGroup, width: int, inner: int, state: int) -> int:
    return inner * group.kernel_length


def _implicit_kernel(group: FeatureGroup, width: int, inner: int, state: int) -> int:
    features, hidden = 1 + 2 * POSITION_FREQUENCIES, KERNEL_HIDDEN_WIDTH
    return (features + 1) * hidden + (hidden + 1) * hidden + hidden * inner + inner


_GROUP_PARAMETERS: dict[str, Callable[[FeatureGroup, int, int, int], int]] = {
    "projection": _projection,
    "step_size": _step_size,
    "state_input": _state_input,
    "delta_transition": _delta_transition,
    "explicit_kernel": _explicit_kernel,
    "implicit_kernel": _implicit_kernel,
}


# Weights of a structure that are never shared: the skip of a state space, the head-wise norm of a
# matrix-valued state.
_STRUCTURE_PARAMETERS: dict[tuple[int, int], Callable[[LivClass, int], int]] = {
    (SEMI_SEPARABLE, PER_CHANNEL): inner_width,
    (SEMI_SEPARABLE, GROUPED): lambda liv_class, width: head_width(width),
}


def _kind(liv_class: LivClass) -> tuple[int, int]:
    return liv_class.operator.token_mixing, liv_class.operator.channel_mixing


def _own_parameters(liv_class: LivClass, width: int) -> int:
    """Norm, output projection, lambda vectors and the structure's own weights: never shared."""
    structure = _STRUCTURE_PARAMETERS.get(_kind(liv_class), lambda liv_class, width: 0)
    return (
        width
        + inner_width(liv_class, width) * width
        + 4 * lambda_width(liv_class, width)
        + structure(liv_class, width)
    )


def check_fits(genome: Genome, model: ModelConfig) -> None:
    """Raise `GenomeError` unless the genome is valid and can be built at these sizes."""
    model.check()
    for liv_class in set(genome.classes()):
        check_repeat(liv_class, model.width)


def parameter_count(genome: Genome, model: ModelConfig) -> ParameterCount:
    """Count parameters. Raises `GenomeError` for an invalid genome or a width it cannot have."""
    check_fits(genome, model)
    per_liv: list[int] = []
    for index, (liv_class, sharing) in enumerate(
        zip(genome.classes(), genome.sharing, strict=True)
    ):
        inner, state = inner_width(liv_class, model.width), liv_class.operator.state
        per_liv.append(
            _own_parameters(liv_class, model.width)
            + sum(
                operator_copies(liv_class, group.name)
                * _GROUP_PARAMETERS[group.form](group, model.width, inner, state)
                for group in liv_class.operator.groups
                if sharing.weight_owner.get(group.name) == index
            )
        )
    embedding = model.vocabulary * model.width * (1 if model.tie_embeddings else 2)
    return ParameterCount(sum(per_liv) + model.width, embedding, tuple(per_liv))


def _attention_cache(
    liv_class: LivClass, borrowed: tuple[str, ...], model: ModelConfig, context: int
) -> int:
    groups = {group.name: group_width(group, model.width) for group in liv_class.operator.groups}
    operator = liv_class.operator
    if operator.nonlinearity == IDENTITY and operator.sparsity != BANDED:
        # The state sums B_j V_j over positions for each key head, so it is the owner's only when
        # both are borrowed.
        return 0 if {"B", "V"} <= set(borrowed) else groups["B"] * head_width(model.width)
    positions = min(context, model.window) if operator.sparsity == BANDED else context
    return positions * sum(groups[name] for name in ("B", "V") if name not in borrowed)


def _state_space_cache(
    liv_class: LivClass, borrowed: tuple[str, ...], model: ModelConfig, context: int
) -> int:
    return (
        operator_copies(liv_class, "B")
        * inner_width(liv_class, model.width)
        * liv_class.operator.state
    )


def _matrix_state_cache(
    liv_class: LivClass, borrowed: tuple[str, ...], model: ModelConfig, context: int
) -> int:
    return (
        operator_copies(liv_class, "B")
        * inner_width(liv_class, model.width)
        * head_width(model.width)
    )


def _convolution_cache(
    liv_class: LivClass, borrowed: tuple[str, ...], model: ModelConfig, context: int
) -> int:
    kernel = next(group for group in liv_class.operator.groups if group.name == "K")
    positions = kernel.kernel_length - 1 if kernel.kernel_length else context
    return operator_copies(liv_class, "B") * positions * inner_width(liv_class, model.width)


def _no_cache(
    liv_class: LivClass, borrowed: tuple[str, ...], model: ModelConfig, context: int
) -> int:
    return 0


_STRUCTURE_CACHE: dict[
    tuple[int, int], Callable[[LivClass, tuple[str, ...], ModelConfig, int], int]
] = {
    (DIAGONAL, DENSE): _no_cache,
    (LOW_RANK, GROUPED): _attention_cache,
    (TOEPLITZ, PER_CHANNEL): _convolution_cache,
    (SEMI_SEPARABLE, PER_CHANNEL): _state_space_cache,
    (SEMI_SEPARABLE, GROUPED): _matrix_state_cache,
}


def _short_convolution_cache(liv_class: LivClass, borrowed: tuple[str, ...], width: int) -> int:
    """Tails of the featurizer's short convolutions: (length - 1) x group width for each group it
    computes."""
    return sum(
        operator_copies(liv_class, group.name)
        * (group.kernel_length - 1)
        * group_width(group, width)
        for group in liv_class.operator.groups
        if group.form == "projection" and group.kernel_length and group.name not in borrowed
    )


def liv_cache_bytes(
    genome: Genome, model: ModelConfig, context: int = 4096, batch: int = 1, dtype: str = "bfloat16"
) -> tuple[int, ...]:
    """Bytes of generation cache for each LIV.

    context: positions held; batch: sequences; dtype: a key of `DTYPE_BYTES`. Raises `GenomeError`
    for values outside these, for an invalid genome, or for a width it cannot have.
    """
    check_fits(genome, model)
    for name, value in (("context", context), ("batch", batch)):
        if value < 1:
            raise GenomeError(f"cache {name} {value}: expected at least 1")
    if dtype not in DTYPE_BYTES:
        raise GenomeError(f"cache dtype {dtype!r}: expected one of {', '.join(DTYPE_BYTES)}")
    elements = [
        _STRUCTURE_CACHE[_kind(liv_class)](liv_class, sharing.borrowed, model, context)
        + _short_convolution_cache(liv_class, sharing.borrowed, model.width)
        for liv_class, sharing in zip(genome.classes(), genome.sharing, strict=True)
    ]
    return tuple(batch * DTYPE_BYTES[dtype] * count for count in elements)


def cache_bytes(
    genome: Genome, model: ModelConfig, context: int = 4096, batch: int = 1, dtype: str = "bfloat16"
) -> int:
    """Bytes of generation cache for the whole backbone; arguments and errors as
    `liv_cache_bytes`."""
    return sum(liv_cache_bytes(genome, model, context, batch, dtype))
