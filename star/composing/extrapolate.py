"""A design at a larger depth: stacked or stretched (Composer, arXiv 2510.00379).

Stacking repeats the whole block; stretching lengthens each run of LIVs of one class in proportion.
Composer stacks what it found at 6 layers and stretches what it found at 16.
"""

from collections.abc import Callable, Mapping
from itertools import groupby

from star.genomes import Genome, GenomeError, check_depth, fit_depth


def stack(genome: Genome, depth: int) -> Genome:
    """The block again and again, the last one cut where the depth is no multiple of its own.

    Each repetition shares within itself only. Raises `GenomeError` for a depth below its own.
    """
    _expect_deeper(genome, depth)
    return fit_depth(genome, depth).canonical()


def stretch(genome: Genome, depth: int) -> Genome:
    """Each run of LIVs of one class in proportion, to within one LIV.

    With 2 attentions and 4 SwiGLUs, a depth of 15 gives 5 and 10. Every LIV of a run is there as
    often as the others or once more, each copy beside the one before it, with all of its genes: who
    shares goes on to, with the copies too. The genes of the backbone stay.

    Raises `GenomeError` for a depth below its own.
    """
    _expect_deeper(genome, depth)
    runs = [[*run] for _, run in groupby(genome.check().livs, key=lambda liv: liv.liv_class)]
    lengths = shares(depth, [len(run) for run in runs])
    livs = tuple(
        run[place * len(run) // length]
        for run, length in zip(runs, lengths, strict=True)
        for place in range(length)
    )
    return Genome(livs, genome.alphabet, genome.backbone).canonical()


def shares(total: int, sizes: list[int]) -> list[int]:
    """A whole number in proportion to some sizes, each to within one; they add up to it.

    By largest remainders, of equal ones the first: 10 in proportion to 1, 1, 1 is 4, 3, 3.
    """
    whole = [total * size // sum(sizes) for size in sizes]
    remainders = [total * size % sum(sizes) for size in sizes]
    order = sorted(range(len(sizes)), key=lambda place: -remainders[place])
    for place in order[: total - sum(whole)]:
        whole[place] += 1
    return whole


METHODS: Mapping[str, Callable[[Genome, int], Genome]] = {"stack": stack, "stretch": stretch}


def _expect_deeper(genome: Genome, depth: int) -> None:
    check_depth(depth)
    if depth < genome.depth:
        raise GenomeError(
            f"depth={depth}: the genome has {genome.depth} LIVs; expected at least as many, since "
            "it is made larger"
        )
