"""Genomes per second of a search's own work: sampling, crossover, mutation, repair, canonical
form."""

import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
from results import Result

from star.genomes import ALPHABETS, GENES_PER_LIV, arrays
from star.search.space.problem import GenomeProblem
from star.search.variation.crossover import LivCrossover
from star.search.variation.gene_mutation import GeneMutation
from star.search.variation.sampling import CanonicalDuplicates, GenomeRepair, GenomeSampling

DEPTH, COUNT, REPEATS = 24, 2000, 9
Matrix = np.ndarray


def genomes_per_second(work: Callable[[], object]) -> float:
    """Median over repeats, after one call that is not counted."""
    work()
    rates = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        rates.append(COUNT / (time.process_time() - start))
    return statistics.median(rates)


class Study:
    """The steps on one alphabet: each works on what the step before it made, the whole is all of
    them in turn."""

    def __init__(self, alphabet: str) -> None:
        self.space = GenomeProblem(DEPTH, 2, ALPHABETS[alphabet])
        self.rng = np.random.default_rng(0)
        self.crossover = LivCrossover()
        self.sampled = self.sample()
        self.crossed = self.cross(self.sampled)
        self.mutated = self.mutate(self.crossed)
        self.repaired = self.repair(self.mutated)

    def sample(self) -> Matrix:
        return arrays.sample(COUNT, DEPTH, self.rng, self.space.alphabet).reshape(COUNT, -1)

    def cross(self, rows: Matrix) -> Matrix:
        return self.crossover._do(
            self.space, rows.reshape(2, COUNT // 2, -1), random_state=self.rng
        ).reshape(COUNT, -1)

    def mutate(self, rows: Matrix, constrained: bool = False) -> Matrix:
        return GeneMutation(constrained=constrained)._do(self.space, rows, random_state=self.rng)

    def repair(self, rows: Matrix) -> Matrix:
        return GenomeRepair()._do(self.space, rows, random_state=self.rng)

    def canonical(self, rows: Matrix) -> Matrix:
        return arrays.canonical(rows.reshape(COUNT, DEPTH, GENES_PER_LIV), self.space.alphabet)

    def together(self) -> Matrix:
        return self.canonical(self.repair(self.mutate(self.cross(self.sample()))))

    def as_pymoo(self) -> object:
        """The same through pymoo: population objects, ids of parents, elimination of duplicates."""
        sampled = GenomeSampling().do(self.space, COUNT, random_state=self.rng)
        matings = self.rng.permutation(COUNT).reshape(-1, 2)
        children = self.crossover.do(self.space, sampled, matings, random_state=self.rng)
        children = GeneMutation().do(self.space, children, random_state=self.rng)
        children = GenomeRepair().do(self.space, children, random_state=self.rng)
        return CanonicalDuplicates(self.space.alphabet).do(children, sampled)

    def steps(self) -> dict[str, Callable[[], object]]:
        return {
            "sampling": self.sample,
            "crossover": lambda: self.cross(self.sampled),
            "mutation, unconstrained": lambda: self.mutate(self.crossed),
            "mutation, constrained": lambda: self.mutate(self.repaired, constrained=True),
            "repair": lambda: self.repair(self.mutated),
            "canonical form": lambda: self.canonical(self.repaired),
            "ids": lambda: arrays.ids(self.canonical(self.repaired), self.space.alphabet),
            "together (unconstrained, without ids)": self.together,
            "as pymoo operators (constrained, with ids)": self.as_pymoo,
        }


def measure() -> Iterator[Result]:
    """Genomes per second of processor time of every step, for every alphabet."""
    for name in sorted(ALPHABETS, reverse=True):
        for step, work in Study(name).steps().items():
            yield Result(
                f"operators, depth {DEPTH}, {name}", step, genomes_per_second(work), "genomes/s"
            )
