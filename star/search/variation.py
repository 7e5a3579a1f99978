"""Variation of genomes as pymoo operators: sampling, crossover, mutation, repair, duplicate elimination.

Each works with any pymoo genetic algorithm on a `GenomeProblem`. All draw from the algorithm's own generator.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pymoo.core.crossover import Crossover
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.repair import Repair
from pymoo.core.sampling import Sampling

from star.genomes import GENES_PER_LIV, Genome, random_genome, repair, valid_values
from star.search.problem import GenomeProblem

Matrix = npt.NDArray[np.int64]


class GenomeSampling(Sampling):
    """Seeds first, then random valid genomes, all different; fewer only when the space has no more."""

    def __init__(self, seeds: Sequence[Genome] = (), sharing_probability: float = 0.25) -> None:
        super().__init__()
        self.seeds = list(seeds)
        self.sharing_probability = sharing_probability

    def _do(  # type: ignore[override]
        self,
        problem: GenomeProblem,
        n_samples: int,
        *args: Any,
        random_state: np.random.Generator,
        **kwargs: Any,
    ) -> Matrix:
        """int64 (at most n_samples, depth * 5)."""
        chosen = {seed.id: seed for seed in self.seeds}
        for _ in range(100 * n_samples):
            if len(chosen) >= n_samples:
                break
            genome = random_genome(problem.depth, random_state, problem.alphabet, self.sharing_probability)
            chosen.setdefault(genome.id, genome)
        return np.stack([genome.to_array() for genome in list(chosen.values())[:n_samples]])


class LivCrossover(Crossover):
    """k-point crossover whose cuts lie between LIVs; records each child's parents as genome ids."""

    def __init__(self, points: int = 2, prob: float = 0.9) -> None:
        super().__init__(n_parents=2, n_offsprings=2, prob=prob)
        self.points = points

    def do(self, problem: GenomeProblem, pop: Any, parents: Any = None, *args: Any, **kwargs: Any) -> Population:
        """Cross the mated parents; children carry `parents`, the ids of both."""
        matings = pop if parents is None else [pop[mating] for mating in parents]
        children = super().do(problem, pop, parents, *args, **kwargs)
        for number, child in enumerate(children):
            mating = matings[number % len(matings)]
            child.set("parents", [Genome.from_array(p.X, problem.alphabet).id for p in mating])
        return children

    def _do(  # type: ignore[override]
        self, problem: GenomeProblem, X: Matrix, *args: Any, random_state: np.random.Generator, **kwargs: Any
    ) -> Matrix:
        """X and the result: int64 (2, matings, depth * 5)."""
        children = X.copy()
        points = min(self.points, problem.depth - 1)
        for mating in range(X.shape[1]):
            cuts = np.sort(random_state.choice(np.arange(1, problem.depth), size=points, replace=False))
            swapped = np.searchsorted(cuts, np.arange(problem.depth), side="right") % 2 == 1
            genes = np.repeat(swapped, GENES_PER_LIV)
            children[0, mating, genes] = X[1, mating, genes]
            children[1, mating, genes] = X[0, mating, genes]
        return children


class GeneMutation(Mutation):
    """Each gene changes with probability `rate`, drawn from the values valid there, or from its whole range.

    Constrained mutation of a valid genome stays valid. With `constrained=False` the result may need repair.
    """

    def __init__(self, rate: float = 0.1, constrained: bool = True) -> None:
        super().__init__()
        self.rate = rate
        self.constrained = constrained

    def _values(self, problem: GenomeProblem, genes: Matrix, position: int) -> Matrix:
        if self.constrained and not Genome.from_array(genes, problem.alphabet).validate():
            return valid_values(genes, *divmod(position, GENES_PER_LIV), problem.alphabet)
        if position % GENES_PER_LIV == 0:
            return np.array(problem.alphabet.ids)
        return np.arange(1, problem.largest[position] + 1)

    def _do(
        self, problem: GenomeProblem, X: Matrix, *args: Any, random_state: np.random.Generator, **kwargs: Any
    ) -> Matrix:
        """X and the result: int64 (individuals, depth * 5)."""
        mutated = X.copy()
        chosen = random_state.random(X.shape) < self.rate
        for row, position in zip(*np.nonzero(chosen), strict=True):
            values = self._values(problem, mutated[row], int(position))
            others = values[values != mutated[row, position]]
            if len(others):
                mutated[row, position] = random_state.choice(others)
        return mutated


class GenomeRepair(Repair):
    """Resample offending genes. `repaired_genes` and `repaired_genomes` count what was done, of `seen` genomes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = self.repaired_genomes = self.repaired_genes = 0

    def _do(self, problem: GenomeProblem, X: Matrix, **kwargs: Any) -> Matrix:
        """X and the result: int64 (individuals, depth * 5); the result is valid."""
        fixed = X.copy()
        for row, genes in enumerate(X):
            genome, repairs = repair(genes, kwargs["random_state"], problem.alphabet)
            fixed[row] = genome.to_array()
            self.seen += 1
            self.repaired_genomes += bool(repairs)
            self.repaired_genes += len(repairs)
        return fixed


class CanonicalDuplicates(DuplicateElimination):
    """Drops individuals whose canonical form is among the others, or was proposed earlier in this search."""

    def __init__(self, alphabet: Any = "star") -> None:
        super().__init__()
        self.alphabet = alphabet
        self.proposed: set[str] = set()

    def _do(self, pop: Population, other: Population | None, is_duplicate: npt.NDArray[np.bool_]) -> Any:
        ids = [Genome.from_array(individual.X, self.alphabet).id for individual in pop]
        known = set(self.proposed)
        if other is not None:
            known |= {Genome.from_array(individual.X, self.alphabet).id for individual in other}
        for index, genome_id in enumerate(ids):
            is_duplicate[index] = genome_id in known
            if other is None:
                known.add(genome_id)
        return is_duplicate
