"""The rehearsal: two made-up generations before anything is written or trained.

Many pymoo algorithms accept any operators and then ignore them: they propose vectors of floats,
leave ask and tell, fail on several objectives or on the constraint. They would fail in the middle
of a search, after the baselines were trained, with a traceback from inside pymoo. Two generations
cost milliseconds and show all of these; the algorithm that is rehearsed is a copy of its own,
thrown away.
"""

import io
import warnings
from contextlib import redirect_stdout
from textwrap import shorten

import numpy as np
from pymoo.core.algorithm import Algorithm
from pymoo.core.evaluator import Evaluator
from pymoo.problems.static import StaticProblem

from star.base.errors import UserError
from star.search.space.problem import GenomeProblem

GENERATIONS = 2


def rehearse(algorithm: Algorithm, target: str, problem: GenomeProblem) -> None:
    """Ask for two generations, with made-up objective values between.

    Warnings and prints of pymoo's are hidden: the real search will show them again.

    Args:
        algorithm: set up on the problem; it is used up.
        target: names it in errors.
        problem: the search space.

    Raises:
        UserError: for an algorithm that cannot search genomes.
    """
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            _run(algorithm, problem)
    except Exception as error:
        raise cannot_search(target, error) from error


def _run(algorithm: Algorithm, problem: GenomeProblem) -> None:
    values = np.random.default_rng(0)
    for generation in range(GENERATIONS):
        population = algorithm.ask()
        if population is None or len(population) == 0:
            if generation == 0:
                raise ValueError("it proposes nothing")
            return  # a space so small that there is no second generation
        for individual in population:
            problem.genome(individual.X)
        objectives = values.random((len(population), problem.n_obj))
        measured = np.zeros((len(population), 1))
        Evaluator().eval(StaticProblem(problem, F=objectives, G=measured), population)
        algorithm.tell(infills=population)


def cannot_search(target: str, error: Exception) -> UserError:
    """The one line that says why an algorithm cannot be used."""
    reason = shorten(f"{type(error).__name__}: {error}", 200)
    return UserError(
        f"{target}: cannot search genomes ({reason}); expected an algorithm that works with the "
        "given operators, such as pymoo.algorithms.moo.nsga2.NSGA2"
    )
