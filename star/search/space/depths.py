"""Populations of genomes of different depths: arrays (genomes, most, 5) whose absent LIVs are zeros
at the end.

The functions of `star.genomes.arrays` know no absent LIVs; here they are applied to the genomes
of each depth.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from star.genomes import BACKBONE_GENES, GENES_PER_LIV
from star.genomes.genes import CLASS, FEATURE_GROUP, FEATURIZER_GROUP, Booleans, Genes

GROUP_NUMBERS = (FEATURIZER_GROUP, FEATURE_GROUP)


def depths_of(livs: Genes) -> Genes:
    """(genomes,): LIVs of each genome of livs (genomes, most, 5) that are not absent."""
    present: Booleans = (livs != 0).any(axis=-1)
    # The first LIV that is present when read from the end is the deepest one.
    return np.where(present.any(axis=1), livs.shape[1] - present[:, ::-1].argmax(axis=1), 0)


def without_absent(vector: npt.NDArray) -> npt.NDArray:
    """Genes of a vector (most * 5,), or (most * 5 + 2,) with those of the backbone, without its
    absent LIVs; a vector of another shape as it is."""
    if vector.ndim != 1 or len(vector) % GENES_PER_LIV not in (0, BACKBONE_GENES):
        return vector
    end = len(vector) // GENES_PER_LIV * GENES_PER_LIV
    depth = int(depths_of(vector[:end].reshape(1, -1, GENES_PER_LIV))[0])
    return np.delete(vector, np.s_[depth * GENES_PER_LIV : end]) if depth else vector


def by_depth(livs: Genes) -> Iterator[tuple[npt.NDArray[np.int64] | slice, Genes]]:
    """(rows, their genes without absent LIVs) for each depth among livs (genomes, most, 5),
    ascending."""
    if livs[:, -1].any(axis=1).all():  # no LIV is absent, as always where the depth is fixed
        yield slice(None), livs
        return
    depths = depths_of(livs)
    for depth in np.unique(depths):
        rows = np.flatnonzero(depths == depth)
        yield rows, livs[rows, : max(depth, 1)]


def apply_by_depth(function: Callable[[Genes], Genes], livs: Genes) -> Genes:
    """What the function, called for each depth, makes of genes (genomes, depth, 5); absent LIVs
    stay so."""
    result = np.zeros_like(livs)
    for rows, genes in by_depth(livs):
        result[rows, : genes.shape[1]] = function(genes)
    return result


def without_gaps(livs: Genes) -> Genes:
    """The same LIVs in their order, with those that are absent moved to the end."""
    order = np.argsort(~livs.any(axis=2), axis=1, kind="stable")
    return np.take_along_axis(livs, order[:, :, None], axis=1)


def fit_group_numbers(livs: Genes) -> Genes:
    """The same architectures with no group number above the depth.

    LIVs that were taken from a deeper genome may have such a number. In each class it becomes the
    smallest that no LIV of the class has, in ascending order: at depth 4 the numbers 7 1 6 7 of one
    class become 3 1 2 3.
    """
    fitted, depths = livs.copy(), depths_of(livs)
    for row in np.flatnonzero((livs[:, :, GROUP_NUMBERS] > depths[:, None, None]).any(axis=(1, 2))):
        for gene in GROUP_NUMBERS:
            _fit_numbers(fitted[row, : depths[row]], gene)
    return fitted


def _fit_numbers(livs: Genes, gene: int) -> None:
    """Renumber the groups of one gene of one genome (depth, 5), in place."""
    for liv_class in np.unique(livs[:, CLASS]):
        own = livs[:, CLASS] == liv_class
        numbers = np.unique(livs[own, gene])
        free = iter(np.setdiff1d(np.arange(1, len(livs) + 1), numbers))
        for number in numbers[numbers > len(livs)]:
            livs[own & (livs[:, gene] == number), gene] = next(free)
