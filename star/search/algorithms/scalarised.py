"""Scalarisations: several objectives to one number, and pymoo's genetic algorithm on that number.

With w the weights, normalised to sum 1, and z the objectives scaled to 0..1 over the candidates
compared:

    weights    sum(w z)
    chebyshev  max(w z) + 0.05 sum(w z), the augmented Chebyshev function

The weighted sum finds only what lies on the convex hull of a front, the Chebyshev function any part
of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pymoo.algorithms.soo.nonconvex.ga import GA, comp_by_cv_and_fitness
from pymoo.core.decomposition import Decomposition
from pymoo.core.population import Population
from pymoo.core.survival import Survival
from pymoo.decomposition.aasf import AASF
from pymoo.decomposition.weighted_sum import WeightedSum
from pymoo.operators.selection.tournament import TournamentSelection

Values = npt.NDArray[np.float64]

AUGMENTATION = 0.05  # Knowles 2006 (ParEGO)
SCORE = "score"  # attribute of an individual: its score among those it last competed with


def matrix(population: Population, name: str) -> Values:
    """An attribute of all individuals as numbers, (individuals, its length)."""
    return np.asarray(population.get(name), dtype=np.float64).reshape(len(population), -1)


def take(population: Population, indices: npt.NDArray[np.int64]) -> Population:
    """The individuals at these indices, in their order."""
    return Population.create(*(population[int(index)] for index in indices))


def _reciprocal(weights: Values) -> Values:
    return np.divide(1.0, weights, out=np.full_like(weights, np.inf), where=weights > 0)


@dataclass(frozen=True)
class Kind:
    """A decomposition of pymoo's, and what it takes as weights."""

    make: Callable[[], Decomposition]
    weights: Callable[[Values], Values]


KINDS: dict[str, Kind] = {
    "weights": Kind(WeightedSum, lambda weights: weights),
    # pymoo's AASF divides by its weights, which are a direction to search in: a heavy weight is a
    # short component.
    "chebyshev": Kind(lambda: AASF(eps=0.0, rho=AUGMENTATION), _reciprocal),
}


class Scalarisation:
    """One number for each candidate, smaller is better.

    kind: a name in `KINDS`. weights: one for each objective, at least one positive; equal when
    empty.
    """

    def __init__(self, kind: str = "chebyshev", weights: Sequence[float] = ()) -> None:
        """Raises `ValueError` for another kind, and for weights that are negative or all 0."""
        if kind not in KINDS:
            raise ValueError(f"scalarisation={kind}: expected one of {', '.join(KINDS)}")
        finite = all(0 <= weight < np.inf for weight in weights)
        if len(weights) and not (finite and any(weights)):
            raise ValueError(f"weights={list(weights)}: expected numbers of at least 0, not all 0")
        self.kind = kind
        self.weights = np.array(weights, dtype=np.float64)

    def values(self, objectives: Values) -> Values:
        """(candidates,) from finite objectives (candidates, objectives); a single objective is
        returned as it is."""
        count = objectives.shape[1]
        if count == 1:
            return objectives[:, 0]
        low, high = objectives.min(axis=0), objectives.max(axis=0)
        scaled = (objectives - low) / np.where(high > low, high - low, 1.0)
        weights = self.weights if len(self.weights) else np.ones(count)
        kind = KINDS[self.kind]
        return kind.make().do(scaled, kind.weights(weights / weights.sum()), _type="many_to_one")

    def scores(self, population: Population) -> Values:
        """(individuals,) over the individuals that were measured; infinity for the others."""
        objectives = matrix(population, "F")
        scores = np.full(len(population), np.inf)
        measured = (matrix(population, "CV")[:, 0] <= 0) & np.isfinite(objectives).all(axis=1)
        if measured.any():
            scores[measured] = self.values(objectives[measured])
        return scores


class ScalarisedSurvival(Survival):
    """The best under a scalarisation over all that compete, infeasible ones last; each individual
    keeps its score."""

    def __init__(self, scalarisation: Scalarisation) -> None:
        super().__init__(filter_infeasible=False)
        self.scalarisation = scalarisation

    def rate(self, population: Population) -> None:
        """Set every individual's score among these."""
        population.set(SCORE, self.scalarisation.scores(population))

    def _do(
        self, problem: Any, pop: Population, *args: Any, n_survive: int | None = None, **kwargs: Any
    ) -> Population:
        self.rate(pop)
        order = np.lexsort([matrix(pop, SCORE)[:, 0], matrix(pop, "CV")[:, 0]])
        return take(pop, order[:n_survive])


def compare_scores(
    population: Population, pairs: npt.NDArray[np.int64], **kwargs: Any
) -> npt.NDArray[np.int64]:
    """Winner of each pair of indices (pairs, 2) as pymoo's GA finds it, with the score as the
    objective: (pairs, 1)."""
    scored = Population.new(F=matrix(population, SCORE), G=population.get("G"))
    return comp_by_cv_and_fitness(scored, pairs, random_state=kwargs["random_state"])


class ScalarisedGA(GA):
    """pymoo's genetic algorithm on a scalarisation; the same as pymoo's with one objective.

    Scores are taken over parents and children together, and hold until the next generation.
    """

    def __init__(
        self, scalarisation: str = "chebyshev", weights: Sequence[float] = (), **kwargs: Any
    ) -> None:
        """Build it; other arguments are those of pymoo's.

        Args:
            scalarisation: `chebyshev` or `weights`.
            weights: one for each objective, the larger the more it counts; equal when empty.
        """
        self.scalarisation = Scalarisation(scalarisation, weights)
        super().__init__(
            selection=TournamentSelection(func_comp=compare_scores),
            survival=ScalarisedSurvival(self.scalarisation),  # type: ignore[arg-type]
            **kwargs,
        )

    def _initialize_advance(self, infills: Population | None = None, **kwargs: Any) -> None:
        """Score the first generation, in its order: pymoo's GA does not sort it either."""
        assert infills is not None and isinstance(self.survival, ScalarisedSurvival)
        self.survival.rate(infills)
