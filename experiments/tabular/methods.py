"""The searches that are compared: this engine's, as `Search` runs them, and pymoo's integer
operators, in the same search or in pymoo's own loop."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.algorithm import Algorithm
from pymoo.operators.crossover.pntx import TwoPointCrossover
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling

from star.base.command_line import compose_config
from star.evaluation.executors import Setup, Task
from star.genomes import Alphabet, Genome
from star.search import EvolveConfig, Search
from star.search.algorithms.build import BuiltAlgorithm
from star.search.space.problem import GenomeProblem
from star.search.variation.sampling import CanonicalDuplicates, GenomeRepair


@dataclass(frozen=True)
class Evaluated:
    """One evaluation of a search. genome_id: empty where it has no full result. tokens: what its
    training takes."""

    genome_id: str
    tokens: int


@dataclass(frozen=True)
class Method:
    """A search. overrides: of the configuration. stock: pymoo's NSGA-II of that population size on
    a relabelled problem, instead of the configuration's algorithm; repaired: whether it has this
    engine's repair and duplicates."""

    label: str
    overrides: tuple[str, ...] = ()
    stock: Callable[..., Algorithm] | None = None
    repaired: bool = False


def stock_nsga2(population: int, crossover: object, **extra: object) -> Algorithm:
    """NSGA-II with pymoo's operators for integers, at pymoo's settings but for the population."""
    return NSGA2(
        pop_size=population,
        sampling=IntegerRandomSampling(),
        crossover=crossover,  # pyright: ignore
        mutation=PM(eta=3, vtype=float, repair=RoundingRepair()),
        **{"eliminate_duplicates": True, **extra},  # pyright: ignore
    )


def sbx_pm(population: int, **extra: object) -> Algorithm:
    """As pymoo's documentation does for integers."""
    return stock_nsga2(
        population, SBX(prob=1.0, eta=3, vtype=float, repair=RoundingRepair()), **extra
    )


def two_point_pm(population: int, **extra: object) -> Algorithm:
    """Cuts anywhere between genes."""
    return stock_nsga2(population, TwoPointCrossover(prob=0.9), **extra)


GENES = "search.variation.sharing_mutation_probability=0"
METHODS = {
    "random": Method("random search", ("search=random",)),
    "ga": Method("genetic algorithm, Chebyshev", ("search=ga",)),
    "firefly": Method("firefly, Chebyshev", ("search=firefly",)),
    "nsga2": Method("NSGA-II, the default"),
    "nsga2_unconstrained": Method(
        "the same, free gene mutation and repair", ("search.variation.constrained_mutation=false",)
    ),
    "nsga2_genes": Method("NSGA-II, gene mutation alone, constrained", (GENES,)),
    "nsga2_genes_unconstrained": Method(
        "NSGA-II, gene mutation alone, free, and repair",
        (GENES, "search.variation.constrained_mutation=false"),
    ),
    "sbx_pm": Method("NSGA-II, pymoo's SBX and PM", stock=sbx_pm),
    "two_point_pm": Method("NSGA-II, pymoo's two-point and PM", stock=two_point_pm),
    "sbx_pm_repaired": Method("NSGA-II, SBX and PM, our repair", stock=sbx_pm, repaired=True),
    "two_point_pm_repaired": Method(
        "NSGA-II, two-point and PM, our repair", stock=two_point_pm, repaired=True
    ),
}

HALVING = {
    f"halving_{name}": Method(f"rungs at {name} steps", (f"search.halving.rungs=[{name}]",))
    for name in ("40", "20,40", "10,20,40")
}


def load_config(*overrides: str) -> EvolveConfig:
    """The configuration of the tabular experiment, without baselines: its searches see the table's
    space only."""
    tabular = ("scale=cpu", "+experiment=tabular", "search.baselines=[]")
    return compose_config("evolve", [*tabular, *overrides])


def relabelled(alphabet: Alphabet) -> Alphabet:
    """The same classes with ids from 1 without gaps, so that operators which know ranges only find
    no holes."""
    return Alphabet(
        alphabet.name, tuple(replace(c, id=n) for n, c in enumerate(alphabet.classes, start=1))
    )


def run_search(
    method: Method, objectives: Sequence[str], generations: int, seed: int
) -> Iterator[list[Evaluated]]:
    """One search; yields what each generation evaluated."""
    settings = (
        f"search.objectives=[{','.join(objectives)}]",
        f"search.generations={generations}",
        f"seed={seed}",
    )
    search = Search.from_config(load_config(*method.overrides, *settings))
    if method.stock is None:
        return _by_engine(search)
    if method.repaired:
        return _by_engine(_with_stock(search, method.stock))
    return _as_proposed(search, method.stock)


def _by_engine(search: Search) -> Iterator[list[Evaluated]]:
    """As every search runs."""
    finished = 0
    for generation in search.generations():
        if generation < 0:  # the baselines, of which there are none
            continue
        new, finished = search.archive.all[finished:], len(search.archive)
        yield [Evaluated(e.genome_id if e.evaluation.feasible else "", e.train_tokens) for e in new]


def _with_stock(search: Search, stock: Callable[..., Algorithm]) -> Search:
    """The same search with pymoo's operators, and this engine's repair and duplicates."""
    problem = _relabelled_problem(search)
    duplicates, repair = CanonicalDuplicates(problem.alphabet), GenomeRepair()
    population, generations = search.config.search.population, search.config.search.generations
    algorithm = stock(population, repair=repair, eliminate_duplicates=duplicates)
    algorithm.setup(problem, seed=search.config.seed, termination=("n_gen", generations + 1))
    built = BuiltAlgorithm(algorithm, duplicates, repair)
    return replace(search, problem=problem, built=built)


def _relabelled_problem(search: Search) -> GenomeProblem:
    problem = search.problem
    return GenomeProblem(search.config.depth, problem.n_obj, relabelled(problem.alphabet))


class ProposedProblem(GenomeProblem):
    """The search space as pymoo's own loop wants it: evaluated here, generation by generation.

    Every proposal is an evaluation, also of an architecture that is known, and one that is no valid
    genome is infeasible.
    """

    def __init__(self, search: Search) -> None:
        problem = _relabelled_problem(search)
        super().__init__(search.config.depth, problem.n_obj, problem.alphabet)
        self.training, self.names = search.config.training, search.config.search.objectives
        self.executor = search.config.executor.make(Setup(search.recipe))
        self.evaluated: list[Evaluated] = []  # in the last generation

    def _evaluate(self, x: np.ndarray, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        """x: (individuals, depth * 5). Sets F (individuals, objectives), G (individuals, 1)."""
        genomes = [Genome.from_array(row, self.alphabet) for row in x]
        tasks = [Task(genome, self.training.steps) for genome in genomes]
        results = [evaluation for _, evaluation in self.executor.evaluate(tasks)]
        # Arrays, since pymoo takes a list for one of columns.
        out["F"] = np.array([[r.metrics.get(name, np.inf) for name in self.names] for r in results])
        out["G"] = np.array([[0.0 if result.feasible else 1.0] for result in results])
        tokens = self.training.tokens
        self.evaluated = [
            Evaluated(genome.id, tokens) if result.feasible else Evaluated("", 0)
            for genome, result in zip(genomes, results, strict=True)
        ]


def _as_proposed(search: Search, stock: Callable[..., Algorithm]) -> Iterator[list[Evaluated]]:
    """As a user of pymoo alone would search: without canonical form and repair."""
    problem, config = ProposedProblem(search), search.config
    algorithm = stock(config.search.population)
    algorithm.setup(problem, seed=config.seed, termination=("n_gen", config.search.generations))
    while algorithm.has_next():
        algorithm.next()
        yield problem.evaluated
