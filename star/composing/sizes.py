"""Sizes of large models: presets, and the width at which a genome has so many parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from star.genomes import Genome, GenomeError, ModelConfig, parameter_count
from star.genomes.matching import legal_widths

TOLERANCE = 0.01  # how far from the wanted parameters a size may be


@dataclass(frozen=True)
class Size:
    """Depth, width and vocabulary of a family of models; a layer of theirs is two LIVs."""

    depth: int  # LIVs
    width: int
    vocabulary: int = 128_256


# Llama 3.2's (1b, 3b) and Llama 3.1's (8b), from their model cards; 350m is ours, at their ratio of
# width to depth.
SIZES: Mapping[str, Size] = {
    "350m": Size(depth=24, width=1024),
    "1b": Size(depth=32, width=2048),
    "3b": Size(depth=56, width=3072),
    "8b": Size(depth=64, width=4096),
}


def total_parameters(genome: Genome, model: ModelConfig) -> int:
    """Parameters with embedding and head. Raises `GenomeError` for a width it cannot have."""
    counted = parameter_count(genome, model)
    return counted.non_embedding + counted.embedding


def width_for(genome: Genome, model: ModelConfig, target: int, tolerance: float = TOLERANCE) -> int:
    """The legal width at which a genome comes nearest to so many parameters, embedding included.

    Widths are multiples of 64 from 256 on, so that heads have 64 channels, and must suit the heads
    that classes repeat.

    Args:
        genome: a valid one.
        model: all sizes but the width.
        target: parameters.
        tolerance: how far from it the nearest may be, as a share of it.

    Raises:
        GenomeError: where none is near enough, with the nearest on both sides.
    """
    below: tuple[int, int] | None = None  # width and parameters
    above: tuple[int, int] | None = None
    for width in legal_widths():
        try:
            count = total_parameters(genome, replace(model, width=width))
        except GenomeError:  # heads cannot be repeated at this width
            continue
        if count >= target:
            above = (width, count)
            break
        below = (width, count)
    sides = [side for side in (below, above) if side is not None]
    if not sides:
        raise GenomeError(f"target_parameters={target}: the genome fits no width")
    width, count = min(sides, key=lambda side: abs(side[1] - target))
    if abs(count - target) > tolerance * target:
        nearest = " and ".join(f"{c:,} at width {w}" for w, c in sides)
        off = abs(count - target) / target
        raise GenomeError(
            f"target_parameters={target}: no legal width is within {tolerance:.3g} of it; the "
            f"nearest are {nearest}. Choose one of these with width=, another depth, or "
            f"tolerance={round(off + 0.0005, 3):g}"
        )
    return width
