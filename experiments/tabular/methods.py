"""The searches that are compared: this engine's, by its own configuration and loop, and pymoo's
integer operators."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.algorithm import Algorithm
from pymoo.core.evaluator import Evaluator
from pymoo.operators.crossover.pntx import TwoPointCrossover
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling
from pymoo.problems.static import StaticProblem

import star.evolve  # registers the configuration schema
from star.configuration import EvolveConfig
from star.evaluation import select_objectives
from star.evaluation.executors.table import COMMITTED, Table, TabularEvaluator
from star.genomes import Alphabet, Genome
from star.search.algorithms.build import build_algorithm
from star.search.archive import Archive
from star.search.loop import EvaluationLoop, run_generations
from star.search.space.alphabet import search_alphabet
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


GENES = "search.sharing_mutation_probability=0"
METHODS = {
    "random": Method("random search", ("search=random",)),
    "ga": Method("genetic algorithm, Chebyshev", ("search=ga",)),
    "firefly": Method("firefly, Chebyshev", ("search=firefly",)),
    "nsga2": Method("NSGA-II, the default"),
    "nsga2_unconstrained": Method(
        "the same, free gene mutation and repair", ("search.constrained_mutation=false",)
    ),
    "nsga2_genes": Method("NSGA-II, gene mutation alone, constrained", (GENES,)),
    "nsga2_genes_unconstrained": Method(
        "NSGA-II, gene mutation alone, free, and repair",
        (GENES, "search.constrained_mutation=false"),
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


def load_config(overrides: Sequence[str]) -> EvolveConfig:
    """The configuration of the tabular experiment."""
    groups = [override for override in overrides if override.startswith("search=")]
    others = [override for override in overrides if override not in groups]
    with initialize_config_module("star.conf", version_base="1.3"):
        config = OmegaConf.to_object(
            compose("evolve", ["scale=cpu", *groups, "+experiment=tabular", *others])
        )
    assert isinstance(config, EvolveConfig)
    return config


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
    config = load_config((*method.overrides, f"search.objectives=[{','.join(objectives)}]"))
    config.search.generations, config.seed = generations, seed
    evaluator = TabularEvaluator(Table.read(COMMITTED), star.evolve.make_recipe(config))
    alphabet = search_alphabet(config.search)
    if method.stock is None:
        problem = GenomeProblem(config.depth, len(objectives), alphabet)
        algorithm, duplicates, _ = build_algorithm(config.search, problem, [], seed)
        yield from _by_engine(algorithm, duplicates, config, evaluator)
        return
    problem = GenomeProblem(config.depth, len(objectives), relabelled(alphabet))
    duplicates = CanonicalDuplicates(problem.alphabet)
    extra = (
        {"repair": GenomeRepair(), "eliminate_duplicates": duplicates} if method.repaired else {}
    )
    algorithm = method.stock(config.search.population, **extra)
    algorithm.setup(problem, seed=seed, termination=("n_gen", generations + 1))
    if method.repaired:
        yield from _by_engine(algorithm, duplicates, config, evaluator)
    else:
        yield from _as_proposed(algorithm, problem, config, evaluator)


def _by_engine(
    algorithm: Algorithm,
    duplicates: CanonicalDuplicates,
    config: EvolveConfig,
    evaluator: TabularEvaluator,
) -> Iterator[list[Evaluated]]:
    """By the loop that every search runs in."""
    archive = Archive(select_objectives(config.search.objectives))
    loop = EvaluationLoop(
        archive,
        evaluator.evaluate,
        config.seed,
        on_finished=lambda _: None,
        tokens=config.training.tokens,
        halving=star.evolve.make_halving(config, states=None),
    )
    finished = 0
    for _ in run_generations(algorithm, config.search.generations, loop, set(), duplicates):
        new, finished = archive.all[finished:], len(archive)
        yield [Evaluated(e.genome_id if e.evaluation.feasible else "", e.train_tokens) for e in new]


def _as_proposed(
    algorithm: Algorithm, problem: GenomeProblem, config: EvolveConfig, evaluator: TabularEvaluator
) -> Iterator[list[Evaluated]]:
    """Without canonical form and repair: every proposal is an evaluation, also of an architecture
    that is known, and one that is no valid genome is infeasible."""
    names = config.search.objectives
    for _ in range(config.search.generations):
        population = algorithm.ask()
        assert population is not None
        genomes = [Genome.from_array(individual.X, problem.alphabet) for individual in population]
        results = [evaluation for _, evaluation in evaluator.evaluate(genomes)]
        values = np.array(
            [[result.metrics.get(name, np.inf) for name in names] for result in results]
        )
        violations = np.array([[0.0 if result.feasible else 1.0] for result in results])
        Evaluator().eval(StaticProblem(problem, F=values, G=violations), population)
        algorithm.tell(infills=population)
        yield [
            Evaluated(
                genome.id if result.feasible else "",
                config.training.tokens if result.feasible else 0,
            )
            for genome, result in zip(genomes, results, strict=True)
        ]
