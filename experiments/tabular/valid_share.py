"""How many proposals are valid genomes before any repair, in spaces of several depths.

Parents are random genomes that were varied for a while without selection: those that are just
sampled share little, so that hardly anything can go wrong with them.
"""

from collections.abc import Callable

import numpy as np
from methods import load_config, relabelled
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling

from star.genomes import GENES_PER_LIV, Alphabet, arrays, get_alphabet
from star.search.space.problem import GenomeProblem
from star.search.variation.crossover import LivCrossover
from star.search.variation.gene_mutation import GeneMutation

OFFSPRING = 4_000
GENERATIONS = 30  # of variation, repair and random mating before offspring are counted
Matrix = np.ndarray
Vary = Callable[[GenomeProblem, Matrix, np.random.Generator], Matrix]


def engine(constrained: bool) -> Vary:
    """This engine's crossover and mutation."""
    crossover, mutation = LivCrossover(), GeneMutation(constrained=constrained)

    def vary(problem: GenomeProblem, parents: Matrix, rng: np.random.Generator) -> Matrix:
        crossed = crossover._do(problem, parents, random_state=rng).reshape(OFFSPRING, -1)
        return mutation._do(problem, crossed, random_state=rng)

    return vary


def stock(problem: GenomeProblem, parents: Matrix, rng: np.random.Generator) -> Matrix:
    """pymoo's simulated binary crossover and polynomial mutation, rounded."""
    rounding = RoundingRepair()
    crossed = (
        SBX(eta=3)._do(problem, parents.astype(float), random_state=rng).reshape(OFFSPRING, -1)
    )
    mutated = PM(eta=3)._do(problem, rounding._do(problem, crossed).astype(float), random_state=rng)
    return rounding._do(problem, mutated)


VARIATIONS: dict[str, Vary] = {
    "constrained mutation": engine(constrained=True),
    "free mutation": engine(constrained=False),
    "pymoo's SBX and PM": stock,
}


def offspring_share(vary: Vary, problem: GenomeProblem) -> float:
    """Valid share of what parents have after `GENERATIONS` of variation and repair."""
    rng = np.random.default_rng(0)
    livs = arrays.sample(OFFSPRING, problem.vector_depth, rng, problem.alphabet)
    share = 0.0
    for _ in range(GENERATIONS):
        parents = rng.permutation(livs).reshape(2, OFFSPRING // 2, -1)
        offspring = vary(problem, parents, rng).reshape(livs.shape)
        share = float(arrays.valid(offspring, problem.alphabet).mean())
        livs, _ = arrays.repair(offspring, rng, problem.alphabet)
    return share


def sampled_share(problem: GenomeProblem) -> float:
    """Valid share of integers drawn from the genes' ranges."""
    rng = np.random.default_rng(0)
    rows = IntegerRandomSampling()._do(problem, OFFSPRING, random_state=rng)
    return float(arrays.valid(rows.reshape(OFFSPRING, -1, GENES_PER_LIV), problem.alphabet).mean())


def print_valid_shares() -> None:
    """The table of the README."""
    config = load_config()
    star: Alphabet = get_alphabet("star")
    spaces = {
        "this space": (config.search.alphabet(), config.depth),
        "star, depth 8": (star, 8),
        "star, depth 24": (star, 24),
    }
    problems = [
        GenomeProblem(depth, 1, relabelled(alphabet)) for alphabet, depth in spaces.values()
    ]
    print("\n| valid before repair | " + " | ".join(spaces) + " |\n|---|" + "---|" * len(spaces))
    for name, vary in VARIATIONS.items():
        print(
            f"| {name} | "
            + " | ".join(f"{100 * offspring_share(vary, p):.1f}%" for p in problems)
            + " |"
        )
    print(
        "| integers drawn at random | "
        + " | ".join(f"{100 * sampled_share(p):.2f}%" for p in problems)
        + " |"
    )


if __name__ == "__main__":
    print_valid_shares()
