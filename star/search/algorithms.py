"""Builds the pymoo algorithm that the configuration names, with this project's variation operators."""

from typing import Any

from hydra.errors import HydraException, InstantiationException
from hydra.utils import instantiate
from pymoo.algorithms.soo.nonconvex.ga import FitnessSurvival
from pymoo.core.algorithm import Algorithm

from star.errors import UserError
from star.genomes import ALPHABETS, Genome
from star.search.config import SearchConfig
from star.search.problem import GenomeProblem
from star.search.variation import (
    CanonicalDuplicates,
    GeneMutation,
    GenomeRepair,
    GenomeSampling,
    LivCrossover,
)


def check_search(config: SearchConfig) -> None:
    """Raise `UserError` for a setting outside its range."""
    for name in ("population", "generations", "crossover_points"):
        if getattr(config, name) < 1:
            raise UserError(f"search.{name}={getattr(config, name)}: expected at least 1")
    for name in ("crossover_probability", "mutation_probability", "sharing_probability"):
        if not 0 <= getattr(config, name) <= 1:
            raise UserError(f"search.{name}={getattr(config, name)}: expected a probability from 0 to 1")
    if "_target_" not in config.algorithm:
        raise UserError("search.algorithm._target_ is not set: expected a pymoo algorithm, see conf/search")
    if config.alphabet not in ALPHABETS:
        raise UserError(f"search.alphabet={config.alphabet}: expected one of {', '.join(ALPHABETS)}")


def build_algorithm(
    config: SearchConfig, problem: GenomeProblem, seeds: list[Genome], seed: int
) -> tuple[Algorithm, CanonicalDuplicates, GenomeRepair]:
    """The algorithm, set up on the problem, with its duplicate elimination and repair.

    Arguments in `search.algorithm` beside `_target_` are the algorithm's own. Raises `UserError` when the target
    cannot be imported, does not take the operators, or cannot minimise that many objectives.
    """
    duplicates, repair = CanonicalDuplicates(problem.alphabet), GenomeRepair()
    operators: dict[str, Any] = {
        "pop_size": config.population,
        "sampling": GenomeSampling(seeds, config.sharing_probability),
        "crossover": LivCrossover(config.crossover_points, config.crossover_probability),
        "mutation": GeneMutation(config.mutation_probability, config.constrained_mutation),
        "repair": repair,
        "eliminate_duplicates": duplicates,
    }
    try:
        algorithm = instantiate(config.algorithm, **operators, _convert_="all")
    except (InstantiationException, HydraException) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise UserError(f"search.algorithm={dict(config.algorithm)}: cannot be built ({reason})") from None
    if not isinstance(algorithm, Algorithm):
        raise UserError(f"search.algorithm._target_={config.algorithm['_target_']}: not a pymoo algorithm")
    if problem.n_obj > 1 and isinstance(getattr(algorithm, "survival", None), FitnessSurvival):
        raise UserError(
            f"search.algorithm._target_={config.algorithm['_target_']}: minimises one objective, but search.objectives "
            f"names {problem.n_obj}; use search=nsga2 or one objective"
        )
    algorithm.setup(problem, seed=seed, termination=("n_gen", config.generations + 1))
    return algorithm, duplicates, repair
