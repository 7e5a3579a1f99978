"""Builds the pymoo algorithm that the configuration names, with this project's operators."""

import inspect
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from hydra.errors import HydraException, InstantiationException
from hydra.utils import instantiate
from pymoo.algorithms.soo.nonconvex.ga import FitnessSurvival
from pymoo.core.algorithm import Algorithm
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.operators.selection.tournament import TournamentSelection

from star.base.errors import UserError, plain
from star.base.settings import expect
from star.genomes import Genome
from star.search.algorithms.rehearsal import cannot_search, rehearse
from star.search.config import ONE_SHOT, SearchConfig
from star.search.space.fitting import Fitting
from star.search.space.growing import Growing, make_growing
from star.search.space.problem import GenomeProblem
from star.search.variation.chain import MutationChain
from star.search.variation.crossover import LivCrossover
from star.search.variation.depth_mutation import DepthMutation
from star.search.variation.gene_mutation import GeneMutation
from star.search.variation.operator_mutation import OperatorMutation
from star.search.variation.sampling import CanonicalDuplicates, GenomeRepair, GenomeSampling
from star.search.variation.sharing_mutation import SharingMutation

Indices = npt.NDArray[np.int64]
TARGET = "_target_"
TOURNAMENT = "tournament_size"  # the one argument that is set here, since pymoo's have none for it
LARGEST_TOURNAMENT = 1000
PYMOO_TOURNAMENT = 2  # of pymoo's algorithms


@dataclass(frozen=True)
class BuiltAlgorithm:
    """An algorithm that is set up on its problem, with the parts that a search looks at."""

    algorithm: Algorithm
    duplicates: CanonicalDuplicates  # knows what was proposed
    repair: GenomeRepair  # counts what it repaired
    growing: Growing | None = None  # of backbones that grow while they are searched

    def ask(self) -> Population | None:
        """The next generation; None or nothing when there is none."""
        return self.algorithm.ask()


def build_algorithm(
    config: SearchConfig,
    problem: GenomeProblem,
    seeds: list[Genome],
    seed: int,
    fitting: Fitting | None = None,
) -> BuiltAlgorithm:
    """The algorithm of a search, set up on the problem.

    Args:
        config: arguments in `search.algorithm` beside `_target_` are the algorithm's own.
        problem: the search space.
        seeds: genomes of the initial population.
        seed: of all random numbers.
        fitting: of the static constraints; None where there are none.

    Raises:
        UserError: when the target cannot be imported, does not take the operators or an argument,
            cannot minimise that many objectives, or proposes no genomes.
    """
    target = f"search.algorithm.{TARGET}={config.algorithm[TARGET]}"
    rehearse(_set_up(config, problem, seeds, seed, fitting).algorithm, target, problem)
    return _set_up(config, problem, seeds, seed, fitting)  # afresh, without its traces


def _set_up(
    config: SearchConfig,
    problem: GenomeProblem,
    seeds: list[Genome],
    seed: int,
    fitting: Fitting | None,
) -> BuiltAlgorithm:
    target = f"search.algorithm.{TARGET}={config.algorithm[TARGET]}"
    growing = make_growing(config.space, problem.vector_depth)
    repair = GenomeRepair(fitting, growing)
    duplicates = CanonicalDuplicates(problem.alphabet, problem.full_depth)
    variation = config.variation
    crossover = LivCrossover(variation.crossover_points, variation.crossover_probability)
    operators: dict[str, Any] = {
        "pop_size": config.population,
        "sampling": GenomeSampling(seeds, variation.sharing_probability, fitting),
        "crossover": crossover,
        "mutation": _mutation(config, problem),
        "repair": repair,
        "eliminate_duplicates": duplicates,
    }
    own = {name: value for name, value in config.algorithm.items() if name != TOURNAMENT}
    try:
        algorithm = _instantiate(own, operators)
    except (InstantiationException, HydraException) as error:
        reason = plain(error.__cause__ or error)
        raise UserError(f"search.algorithm={own}: cannot be built ({reason})") from None
    if not isinstance(algorithm, Algorithm):
        raise UserError(f"{target}: not a pymoo algorithm")
    _check_arguments(algorithm, own)
    _check_objectives(algorithm, problem, target)
    _set_tournament(algorithm, config.algorithm.get(TOURNAMENT, PYMOO_TOURNAMENT))
    try:
        algorithm.setup(problem, seed=seed, termination=("n_gen", config.generations + 1))
    except Exception as error:
        raise cannot_search(target, error) from error
    return BuiltAlgorithm(algorithm, duplicates, repair, growing)


def _mutation(config: SearchConfig, problem: GenomeProblem) -> Mutation:
    variation = config.variation
    genes = GeneMutation(variation.mutation_probability, variation.constrained_mutation)
    others: list[Mutation] = []
    if problem.varies and config.space.mode == ONE_SHOT:
        others.append(DepthMutation(variation.depth_probability, variation.sharing_probability))
    if variation.operator_probability > 0:
        others.append(OperatorMutation(variation.operator_probability))
    sharing = variation.sharing_mutation_probability
    if sharing > 0:
        return MutationChain(others, genes, SharingMutation(), sharing)
    return MutationChain(others, genes) if others else genes


def _instantiate(algorithm: dict[str, Any], operators: dict[str, Any]) -> Any:
    """The algorithm with these operators; without `pop_size` where reference directions decide it.

    Returns a copy that shares nothing but the operators: default arguments of pymoo's are objects
    that all instances have in common, such as SPEA2's survival with the range of the objectives
    seen so far. The rehearsal would leave its traces there.
    """
    try:
        built = instantiate(algorithm, **operators, _convert_="all")
    except InstantiationException as error:
        if "multiple values for keyword argument 'pop_size'" not in str(error.__cause__):
            raise
        others = {name: value for name, value in operators.items() if name != "pop_size"}
        built = instantiate(algorithm, **others, _convert_="all")
    # The second argument is what `deepcopy` takes for copied already.
    return deepcopy(built, {id(operator): operator for operator in operators.values()})


def _check_arguments(algorithm: Algorithm, own: dict[str, Any]) -> None:
    """Raise `UserError` for an argument that no constructor names: pymoo's swallow any."""
    bases = [base.__init__ for base in type(algorithm).__mro__ if "__init__" in vars(base)]
    known = {name for init in bases for name in inspect.signature(init).parameters}
    for name in own:
        if name not in known and not name.startswith("_"):
            raise UserError(
                f"search.algorithm.{name}: {type(algorithm).__name__} has no such argument"
            )


def _check_objectives(algorithm: Algorithm, problem: GenomeProblem, target: str) -> None:
    """Raise `UserError` for an algorithm that minimises one objective, or weights that miss one."""
    if problem.n_obj > 1 and isinstance(getattr(algorithm, "survival", None), FitnessSurvival):
        raise UserError(
            f"{target}: minimises one objective, but search.objectives names {problem.n_obj}; "
            "use search=nsga2, search=ga or one objective"
        )
    weights = getattr(getattr(algorithm, "scalarisation", None), "weights", ())
    fits = len(weights) in (0, problem.n_obj)
    expected = f"one for each of the {problem.n_obj} in search.objectives, or []"
    expect("search.algorithm.weights", np.asarray(weights).tolist(), fits, expected)


def _set_tournament(algorithm: Algorithm, size: Any) -> None:
    """Let so many individuals compete for each parent, where parents are selected by tournament."""
    fits = isinstance(size, int) and not isinstance(size, bool) and size >= 1
    expect(f"search.algorithm.{TOURNAMENT}", size, fits, "at least 1")
    expect(f"search.algorithm.{TOURNAMENT}", size, size <= LARGEST_TOURNAMENT, "at most 1,000")
    mating: Any = getattr(algorithm, "mating", None)
    is_tournament = isinstance(getattr(mating, "selection", None), TournamentSelection)
    if size != PYMOO_TOURNAMENT and is_tournament:
        compare = knockout(mating.selection.func_comp)
        mating.selection = TournamentSelection(func_comp=compare, pressure=size)


def knockout(compare: Callable[..., Indices]) -> Callable[..., Indices]:
    """A comparison of any number of individuals from one of two, which is what pymoo's algorithms
    have: the winner of the first two meets the third, and so on."""

    def compare_all(population: Population, competitors: Indices, **kwargs: Any) -> Indices:
        """Winners (tournaments, 1) from indices (tournaments, size)."""
        winners = competitors[:, :1]
        for challenger in competitors.T[1:]:
            winners = compare(population, np.column_stack([winners, challenger]), **kwargs)
        return winners

    return compare_all
