"""Sampling, repair and duplicate elimination of genomes as pymoo operators.

Each works with any pymoo genetic algorithm on a `GenomeProblem`, on whole populations at once. All
draw from the algorithm's own generator. What made an individual stays with it (`history.py`).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.population import Population
from pymoo.core.repair import Repair
from pymoo.core.sampling import Sampling

from star.genomes import GENES_PER_LIV, Alphabet, Genome, arrays, get_alphabet
from star.genomes.genes import Booleans, Genes
from star.search.space.backbones import backbones_of, with_backbones
from star.search.space.depths import apply_by_depth, depths_of
from star.search.space.fitting import Fitting
from star.search.space.growing import Growing
from star.search.space.ids import as_livs, ids
from star.search.space.problem import GenomeProblem
from star.search.variation.history import GROWN, REPAIR, VARIATION, genes, record_changes

MOST_DRAWS = 100  # of a whole sample each, before a space counts as exhausted
FITTING_DRAWS = 10  # of them, before those above a constraint are changed to fit


class GenomeSampling(Sampling):
    """Seeds first, then random valid genomes, all different; fewer only when the space has no
    more."""

    def __init__(
        self,
        seeds: Sequence[Genome] = (),
        sharing_probability: float = 0.25,
        fitting: Fitting | None = None,
    ) -> None:
        """Set it up.

        Args:
            seeds: come first.
            sharing_probability: that a LIV shares, for either kind of sharing.
            fitting: keeps the random genomes within the constraints; None where there are none.
        """
        super().__init__()
        self.fitting = fitting
        self.seeds = list(seeds)
        self.sharing_probability = sharing_probability

    def _do(  # type: ignore[override]
        self,
        problem: GenomeProblem,
        n_samples: int,
        *args: Any,
        random_state: np.random.Generator,
        **kwargs: Any,
    ) -> Genes:
        """int64 (at most n_samples, n_var)."""
        # By canonical form, which random genomes have: none of them is a seed again.
        chosen = {
            problem.vector(seed.canonical()).tobytes(): problem.vector(seed) for seed in self.seeds
        }
        for draw in range(MOST_DRAWS):
            if len(chosen) >= n_samples:
                break
            drawn = self._drawn(problem, n_samples, random_state)
            backbones = problem.backbone.sampled(len(drawn), random_state)
            vectors = with_backbones(drawn, backbones)
            for vector in self._within(vectors, draw, problem, random_state):
                chosen.setdefault(vector.tobytes(), vector)
                if len(chosen) >= n_samples:
                    break
        return np.stack(list(chosen.values())[:n_samples])

    def _within(
        self, drawn: Genes, draw: int, problem: GenomeProblem, rng: np.random.Generator
    ) -> Iterator[Genes]:
        """Vectors (n_var,) of those drawn that keep the constraints; the others are left out of
        the first draws, and changed to fit in later ones."""
        for vector in drawn:
            if self.fitting is None or self.fitting.fits(vector):
                yield vector
            elif draw >= FITTING_DRAWS:
                changed = self.fitting.fit(vector[None], rng)
                livs = as_livs(changed, problem.alphabet)
                livs = apply_by_depth(lambda g: arrays.canonical(g, problem.alphabet), livs)
                yield with_backbones(livs, backbones_of(changed))[0]

    def _drawn(self, problem: GenomeProblem, count: int, rng: np.random.Generator) -> Genes:
        """Random valid genomes (count, depth, 5), of every depth alike where it varies; some may be
        equal."""
        if not problem.varies:
            return arrays.sample(
                count, problem.vector_depth, rng, problem.base, self.sharing_probability
            )
        livs = np.zeros((count, problem.vector_depth, GENES_PER_LIV), dtype=np.int64)
        depths = rng.integers(problem.least_depth, problem.vector_depth + 1, size=count)
        for depth in np.unique(depths):
            rows = np.flatnonzero(depths == depth)
            livs[rows, :depth] = arrays.sample(
                len(rows), depth, rng, problem.base, self.sharing_probability
            )
        return livs


class GenomeRepair(Repair):
    """Resample offending genes, and change genomes above a static constraint until they fit.

    `repaired_genes` and `repaired_genomes` count what was resampled, `fitted_genomes` what was
    changed to fit, of `seen` genomes.
    """

    def __init__(self, fitting: Fitting | None = None, growing: Growing | None = None) -> None:
        """Set it up.

        Args:
            fitting: of the constraints; None where there are none.
            growing: gives every genome the LIVs of the present stage; None where none grow.
        """
        super().__init__()
        self.fitting, self.growing = fitting, growing
        self.seen = self.repaired_genomes = self.repaired_genes = self.fitted_genomes = 0

    def do(self, problem: GenomeProblem, pop: Population, **kwargs: Any) -> Population:
        """Repair the individuals in place; they keep the genes that were changed."""
        before = genes(pop)
        repaired = super().do(problem, pop, **kwargs)
        record_changes(repaired, REPAIR, before)
        if self.growing is not None and self.growing.fixed_id:
            self._record_growth(repaired, before, self.growing, problem)
        return repaired

    def _record_growth(
        self, pop: Population, before: Genes, growing: Growing, problem: GenomeProblem
    ) -> None:
        """What was of an earlier stage, or of none, is a child of the fixed backbone alone."""
        depths = depths_of(as_livs(before, problem.alphabet))
        for individual, depth in zip(pop, depths.tolist(), strict=True):
            if depth < growing.depth or not individual.get("parents"):
                individual.set("parents", [growing.fixed_id])
                individual.data[VARIATION] = {GROWN: growing.places}

    def _do(self, problem: GenomeProblem, X: Genes, **kwargs: Any) -> Genes:
        """X and the result: int64 (individuals, n_var); the result is valid."""
        given, rng = as_livs(X, problem.alphabet), kwargs["random_state"]
        if self.growing is not None:
            given = self.growing.grown(given, problem, rng)
        livs = apply_by_depth(lambda genes: arrays.repair(genes, rng, problem.alphabet)[0], given)
        backbones = backbones_of(X)
        valid = with_backbones(livs, problem.backbone.repaired(backbones, rng))
        changed = valid != with_backbones(given, backbones)
        self.seen += len(X)
        self.repaired_genomes += int(changed.any(axis=1).sum())
        self.repaired_genes += int(changed.sum())
        if self.fitting is None:
            return valid
        fitted = self.fitting.fit(valid, rng)
        self.fitted_genomes += int((fitted != valid).any(axis=1).sum())
        return fitted


class CanonicalDuplicates(DuplicateElimination):
    """Drops individuals whose canonical form is among the others, or was proposed earlier in this
    search.

    proposed: ids of the genomes proposed earlier.
    """

    def __init__(self, alphabet: str | Alphabet = "star", full_depth: int | None = None) -> None:
        """full_depth: LIVs that the individuals are repeated to before they are compared."""
        super().__init__()
        self.alphabet, self.full_depth = get_alphabet(alphabet), full_depth
        self.proposed: set[str] = set()

    def _do(self, pop: Population, other: Population | None, is_duplicate: Booleans) -> Any:
        known = set() if other is None else set(ids(other, self.alphabet, self.full_depth))
        for index, genome_id in enumerate(ids(pop, self.alphabet, self.full_depth)):
            is_duplicate[index] = genome_id in known or genome_id in self.proposed
            if other is None:  # pymoo compares the individuals with each other then
                known.add(genome_id)
        return is_duplicate
