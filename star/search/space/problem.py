"""The search space as a pymoo problem: integer vectors of shape (depth * 5,), evaluated outside by
ask and tell.

A vector holds a whole backbone; or a motif, which is repeated to the wanted depth; or a backbone of
any depth between bounds, whose absent LIVs are zeros at the end.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from pymoo.core.problem import Problem

from star.base.errors import UserError
from star.genomes import GENES_PER_LIV, Alphabet, Genome, fit_depth, get_alphabet
from star.genomes.arrays import STRATEGIES
from star.search.config import SearchConfig
from star.search.space.depths import without_absent

Matrix = npt.NDArray[np.int64]


def check_modes(config: SearchConfig, depth: int) -> None:
    """Raise `UserError` for a motif or bounds of the depth that cannot be searched. depth: of the
    baselines."""
    if config.motif is not None and not 1 <= config.motif <= depth:
        raise UserError(
            f"search.motif={config.motif}: expected from 1 to depth={depth} LIVs, or null"
        )
    if config.depths and not (
        len(config.depths) == 2 and 1 <= config.depths[0] <= config.depths[1]
    ):
        raise UserError(
            f"search.depths={config.depths}: expected [least, most], such as [4,12], with 1 <= "
            f"least <= most, or []"
        )
    if config.depths and config.motif is not None:
        raise UserError(
            f"search.motif={config.motif}: not together with search.depths={config.depths}; set "
            f"one only"
        )
    if not 0 <= config.depth_probability <= 1:
        raise UserError(
            f"search.depth_probability={config.depth_probability}: expected a probability from 0 "
            f"to 1"
        )


@lru_cache(maxsize=16)
def _pool(alphabet: Alphabet, ids: frozenset[int]) -> Alphabet:
    return Alphabet(
        alphabet.name, tuple(liv_class for liv_class in alphabet.classes if liv_class.id in ids)
    )


class GenomeProblem(Problem):
    """Bounds of every gene. One inequality constraint marks candidates that could not be evaluated.

    depth: LIVs of a vector, absent ones included. least_depth: LIVs that are never absent.
    full_depth: LIVs that a motif is repeated to, None without one. alphabet: classes that a genome
    may have. base: those that random genomes are made of.
    """

    def __init__(
        self,
        depth: int,
        objectives: int,
        alphabet: str | Alphabet = "star",
        motif: int | None = None,
        depths: Sequence[int] = (),
        base: Alphabet | None = None,
    ) -> None:
        """depth: LIVs of what is evaluated, unless depths, the least and the most, bound them.
        motif: its LIVs."""
        self.alphabet = get_alphabet(alphabet)
        self.base = self.alphabet if base is None or base == self.alphabet else base
        self.least_depth, self.depth = depths if depths else (motif or depth,) * 2
        self.full_depth = depth if motif is not None else None
        largest = [max(self.alphabet.ids), self.depth, 2, self.depth, STRATEGIES - 1]
        self.largest = np.tile(np.array(largest, dtype=np.int64), self.depth)
        smallest = np.ones_like(self.largest)
        smallest[self.least_depth * GENES_PER_LIV :] = 0
        super().__init__(
            n_var=self.depth * GENES_PER_LIV,
            n_obj=objectives,
            n_ieq_constr=1,
            xl=smallest,
            xu=self.largest,
            vtype=int,
        )

    @property
    def varies(self) -> bool:
        """Whether genomes have different depths."""
        return self.least_depth < self.depth

    def pool(self, vectors: Matrix) -> Alphabet:
        """Classes that a mutation of genes draws from: the base, and those of vectors (individuals,
        depth * 5)."""
        if self.base is self.alphabet:
            return self.alphabet
        present = np.unique(vectors[:, ::GENES_PER_LIV])
        return _pool(self.alphabet, frozenset(self.base.ids).union(present.tolist()))

    def architecture(self, genome: Genome) -> Genome:
        """What is evaluated for a genome of this search: itself, or the backbone that repeats
        it."""
        return genome if self.full_depth is None else fit_depth(genome, self.full_depth)

    def genome(self, vector: npt.NDArray) -> Genome:
        """What is evaluated for a vector. Raises `GenomeError` for one that is no array of
        genes."""
        return self.architecture(Genome.from_array(without_absent(vector), self.alphabet))

    def vector(self, genome: Genome) -> Matrix:
        """A genome of at most `depth` LIVs as int64 (depth * 5,)."""
        genes = genome.to_array()
        return np.pad(genes, (0, self.n_var - len(genes)))
