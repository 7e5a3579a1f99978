"""Widths at which genomes are of one size: equal state, or equal parameters, as MAD compares them.

The state is what a backbone remembers of a sequence, in elements: the sum over LIVs of running
states, keys, values and last inputs of explicit kernels (arXiv 2403.17844, section 4: 4 Mamba
layers of width 128, twice expanded and with a state of 4, have 4,096). The last inputs of a
featurizer's short convolutions are not counted, as there.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from star.base.errors import UserError, shown
from star.base.settings import parse_quantity

from .costs import check_fits, parameter_count
from .errors import GenomeError
from .genome import Genome
from .model_config import HEAD_WIDTH, NARROW, WIDEST, ModelConfig

# How far the size at the nearest width may be from the wanted one, as a factor: widths are 16 apart
# below 256, and sizes that grow with its square are at 32 and 48 apart by 1.5 squared.
CLOSE = 1.5


def state_elements(genome: Genome, model: ModelConfig, context: int) -> int:
    """Elements of state of one sequence. context: positions that growing caches hold.

    Raises `GenomeError` for an invalid genome or a width it cannot have.
    """
    model = check_fits(genome, model)
    return sum(
        count(liv_class, sharing.borrowed, model, context)
        for liv_class, sharing in zip(genome.classes(), genome.sharing, strict=True)
        for count in (liv_class.operator.structure.cache, liv_class.operator.structure.states)
    )


def _parameters(genome: Genome, model: ModelConfig, context: int) -> int:
    return parameter_count(genome, model).non_embedding


QUANTITIES: dict[str, Callable[[Genome, ModelConfig, int], int]] = {
    "state": state_elements,
    "parameters": _parameters,  # non-embedding
}


def read_match(match: str) -> tuple[str, float]:
    """The quantity and its wanted size of `state:4096` or `parameters:350k`.

    Raises `GenomeError` for anything else.
    """
    name, colon, size = match.partition(":")
    try:
        wanted = parse_quantity("model.match", size)
    except UserError:
        wanted = 0.0
    if name not in QUANTITIES or not colon or wanted < 1:
        raise GenomeError(
            f"model.match={shown(match)}: expected state:<elements> or parameters:<count>, such as "
            "state:4096 or parameters:350k"
        )
    return name, wanted


def legal_widths() -> Iterator[int]:
    """All widths that a model can have, ascending."""
    yield from range(16, NARROW, 16)
    yield from range(NARROW, WIDEST + 1, HEAD_WIDTH)


def matched_width(genome: Genome, model: ModelConfig, match: str, context: int) -> int:
    """The width at which a genome comes nearest to a size, by the ratio of sizes.

    Args:
        genome: a valid one.
        model: all sizes but the width.
        match: `state:<elements>` or `parameters:<count>`.
        context: positions that caches which grow with the sequence are counted for.

    Raises:
        GenomeError: for a text that is no match, and for a genome that has no such size, or none
            within a factor of `CLOSE`.
    """
    name, wanted = read_match(match)
    sizes = dict[int, int]()
    for width in legal_widths():
        size = _size(name, genome, replace(model, width=width), context)
        if size:
            sizes[width] = size
        if size is not None and (size >= wanted or not size):
            break
    if not any(sizes.values()):
        raise GenomeError(
            f"model.match={match}: {shown(str(genome), 60)} has no {name}; leave it out, or set "
            "model.width instead"
        )
    ratios = {width: max(size / wanted, wanted / size) for width, size in sizes.items()}
    nearest = min(ratios, key=lambda width: ratios[width])
    if ratios[nearest] > CLOSE:
        raise GenomeError(
            f"model.match={match}: {shown(str(genome), 60)} has {sizes[nearest]:,} at width "
            f"{nearest}, the nearest that fits; expected a size within a factor of {CLOSE} of that"
        )
    return nearest


def _size(name: str, genome: Genome, model: ModelConfig, context: int) -> int | None:
    """The size, or None for a width at which heads cannot be repeated."""
    try:
        return QUANTITIES[name](genome, model, context)
    except GenomeError:
        return None
