"""Builds the pymoo algorithm that the configuration names, with this project's variation
operators."""

import io
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from copy import deepcopy
from textwrap import shorten
from typing import Any

import numpy as np
import numpy.typing as npt
from hydra.errors import HydraException, InstantiationException
from hydra.utils import instantiate
from pymoo.algorithms.soo.nonconvex.ga import FitnessSurvival
from pymoo.core.algorithm import Algorithm
from pymoo.core.evaluator import Evaluator
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.problems.static import StaticProblem

from star.base.errors import UserError
from star.genomes import Genome
from star.search.algorithms.scalarised import KINDS, Scalarisation
from star.search.config import SearchConfig
from star.search.space.alphabet import search_alphabet
from star.search.space.problem import GenomeProblem
from star.search.variation.depth_mutation import DepthMutation
from star.search.variation.gene_mutation import MutationChain
from star.search.variation.operator_mutation import OperatorMutation
from star.search.variation.sampling import (
    CanonicalDuplicates,
    GeneMutation,
    GenomeRepair,
    GenomeSampling,
    LivCrossover,
)
from star.search.variation.sharing_mutation import SharingMutation

Indices = npt.NDArray[np.int64]
LEAST = {
    "population": 1,
    "generations": 1,
    "crossover_points": 1,
    "tournament_size": 1,
    "elitism": 0,
}
PROBABILITIES = tuple(
    f"{name}_probability"
    for name in ("crossover", "mutation", "sharing", "sharing_mutation", "operator")
)
TOURNAMENT_SIZE = 2  # of pymoo's algorithms


def check_search(config: SearchConfig) -> None:
    """Raise `UserError` for a setting outside its range."""
    for name, least in LEAST.items():
        if getattr(config, name) < least:
            raise UserError(f"search.{name}={getattr(config, name)}: expected at least {least}")
    for name in PROBABILITIES:
        if not 0 <= getattr(config, name) <= 1:
            raise UserError(
                f"search.{name}={getattr(config, name)}: expected a probability from 0 to 1"
            )
    for name in ("objectives", "classes", "seeds", "baselines"):
        if not all(
            isinstance(value, str) for value in getattr(config, name)
        ):  # OmegaConf lets lists in lists pass
            raise UserError(f"search.{name}={getattr(config, name)}: expected a list of names")
    if "_target_" not in config.algorithm:
        raise UserError(
            "search.algorithm._target_ is not set: expected a pymoo algorithm, see conf/search"
        )
    search_alphabet(config)
    if config.scalarisation not in KINDS:
        raise UserError(
            f"search.scalarisation={config.scalarisation}: expected one of {', '.join(KINDS)}"
        )
    finite = all(0 <= weight < np.inf for weight in config.weights)
    if config.weights and not (finite and any(config.weights)):
        raise UserError(
            f"search.weights={config.weights}: expected numbers of at least 0, not all of them 0"
        )


def build_algorithm(
    config: SearchConfig, problem: GenomeProblem, seeds: list[Genome], seed: int
) -> tuple[Algorithm, CanonicalDuplicates, GenomeRepair]:
    """The algorithm, set up on the problem, with its duplicate elimination and repair.

    Arguments in `search.algorithm` beside `_target_` are the algorithm's own. Raises `UserError`
    when the target cannot be imported, does not take the operators, cannot minimise that many
    objectives, or proposes no genomes.
    """
    with (
        warnings.catch_warnings(),
        redirect_stdout(io.StringIO()),
    ):  # what pymoo has to say, it says again below
        warnings.simplefilter("ignore")
        _rehearse(
            _set_up(config, problem, seeds, seed)[0], config, problem
        )  # its own copy: the search starts afresh
    return _set_up(config, problem, seeds, seed)


def _set_up(
    config: SearchConfig, problem: GenomeProblem, seeds: list[Genome], seed: int
) -> tuple[Algorithm, CanonicalDuplicates, GenomeRepair]:
    target = f"search.algorithm._target_={config.algorithm['_target_']}"
    if config.weights and len(config.weights) != problem.n_obj:
        raise UserError(
            f"search.weights={config.weights}: expected one for each of the {problem.n_obj} in "
            f"search.objectives, or []"
        )
    duplicates, repair = CanonicalDuplicates(problem.alphabet, problem.full_depth), GenomeRepair()
    operators: dict[str, Any] = {
        "pop_size": config.population,
        "sampling": GenomeSampling(seeds, config.sharing_probability),
        "crossover": LivCrossover(config.crossover_points, config.crossover_probability),
        "mutation": _mutation(config, problem),
        "repair": repair,
        "eliminate_duplicates": duplicates,
        "scalarisation": Scalarisation(config.scalarisation, config.weights),
        "elitism": config.elitism,
    }
    try:
        algorithm = _instantiate(config.algorithm, operators)
    except (InstantiationException, HydraException) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise UserError(
            f"search.algorithm={dict(config.algorithm)}: cannot be built ({reason})"
        ) from None
    if not isinstance(algorithm, Algorithm):
        raise UserError(f"{target}: not a pymoo algorithm")
    if problem.n_obj > 1 and isinstance(getattr(algorithm, "survival", None), FitnessSurvival):
        raise UserError(
            f"{target}: minimises one objective, but search.objectives names {problem.n_obj}; "
            "use search=nsga2, search=ga or one objective"
        )
    _set_tournament(algorithm, config.tournament_size)
    try:
        algorithm.setup(problem, seed=seed, termination=("n_gen", config.generations + 1))
    except Exception as error:
        raise _cannot_search(target, error) from error
    return algorithm, duplicates, repair


def _mutation(config: SearchConfig, problem: GenomeProblem) -> Mutation:
    genes = GeneMutation(config.mutation_probability, config.constrained_mutation)
    others: list[Mutation] = []
    if problem.varies:
        others.append(DepthMutation(config.depth_probability, config.sharing_probability))
    if config.operator_probability > 0:
        others.append(OperatorMutation(config.operator_probability))
    if config.sharing_mutation_probability > 0:
        return MutationChain(others, genes, SharingMutation(), config.sharing_mutation_probability)
    return MutationChain(others, genes) if others else genes


def _instantiate(algorithm: dict[str, Any], operators: dict[str, Any]) -> Any:
    """The algorithm with these operators; without `pop_size` where its reference directions decide
    that.

    A copy but for the operators: default arguments of pymoo's are objects that all instances share,
    such as SPEA2's survival with the range of the objectives seen so far.
    """
    try:
        built = instantiate(algorithm, **operators, _convert_="all")
    except InstantiationException as error:
        if "multiple values for keyword argument 'pop_size'" not in str(error.__cause__):
            raise
        others = {name: value for name, value in operators.items() if name != "pop_size"}
        built = instantiate(algorithm, **others, _convert_="all")
    return deepcopy(built, {id(operator): operator for operator in operators.values()})


def _set_tournament(algorithm: Algorithm, size: int) -> None:
    """Let so many individuals compete for each parent, where parents are selected by tournament."""
    selection = getattr(getattr(algorithm, "mating", None), "selection", None)
    if size != TOURNAMENT_SIZE and isinstance(selection, TournamentSelection):
        algorithm.mating.selection = TournamentSelection(
            func_comp=knockout(selection.func_comp), pressure=size
        )  # pyright: ignore


def knockout(compare: Callable[..., Indices]) -> Callable[..., Indices]:
    """A comparison of any number of individuals from one of two, which is what pymoo's algorithms
    have."""

    def compare_all(population: Population, competitors: Indices, **kwargs: Any) -> Indices:
        """Winners (tournaments, 1) from indices (tournaments, size)."""
        winners = competitors[:, :1]
        for challenger in competitors.T[1:]:
            winners = compare(population, np.column_stack([winners, challenger]), **kwargs)
        return winners

    return compare_all


def _rehearse(algorithm: Algorithm, config: SearchConfig, problem: GenomeProblem) -> None:
    """Ask for two generations, with made-up objective values between: many pymoo algorithms accept
    any operators, then ignore them and propose vectors of floats, or fail on several objectives or
    on the constraint."""
    values = np.random.default_rng(0)
    try:
        for generation in range(2):
            population = algorithm.ask()
            if population is None or len(population) == 0:
                if generation == 0:
                    raise ValueError("it proposes nothing")
                return  # a space so small that there is no second generation
            for individual in population:
                problem.genome(individual.X)
            objectives = values.random((len(population), problem.n_obj))
            Evaluator().eval(
                StaticProblem(problem, F=objectives, G=np.zeros((len(population), 1))), population
            )
            algorithm.tell(infills=population)
    except Exception as error:
        raise _cannot_search(
            f"search.algorithm._target_={config.algorithm['_target_']}", error
        ) from error


def _cannot_search(target: str, error: Exception) -> UserError:
    reason = shorten(f"{type(error).__name__}: {error}", 200)
    return UserError(
        f"{target}: cannot search genomes ({reason}); expected an algorithm that works with the "
        f"given operators, such "
        "as pymoo.algorithms.moo.nsga2.NSGA2"
    )
