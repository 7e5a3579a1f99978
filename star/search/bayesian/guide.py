"""Follows one search: what its processes learn from, and proposals that the ledger remembers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from star.base.errors import UserError
from star.evaluation.constraints import Budget
from star.evaluation.failures import OVER_BUDGET
from star.evaluation.objectives import STATIC, Context, Objective, measure
from star.evaluation.pareto import Values, pareto_ranks
from star.genomes import Genome
from star.search.algorithms.bayesian import Bayesian
from star.search.algorithms.build import BuiltAlgorithm
from star.search.archive import Archive
from star.search.bayesian.acquisition import Acquisition, Known, Quantity
from star.search.bayesian.process import Inputs, require_botorch
from star.search.candidates import Evaluated
from star.search.halving import SuccessiveHalving
from star.search.memory import SearchMemory
from star.search.prescreening.build import features_of
from star.search.space.features import Features
from star.search.space.problem import GenomeProblem

MOST_OBJECTIVES = 4  # with more a hypervolume takes minutes
NOTHING: Mapping[str, Any] = {}
FEWEST = 4  # measured genomes before a process says anything


def make_guide(
    problem: GenomeProblem, objectives: Sequence[Objective], budget: Budget,
    built: BuiltAlgorithm,
) -> "Guide | None":  # fmt: skip
    """The guide of a search's algorithm, attached to it; None for an algorithm that needs none.

    Raises `UserError` where BoTorch is missing, or nothing that is minimised needs a training.
    """
    algorithm = built.algorithm
    if not isinstance(algorithm, Bayesian):
        return None
    require_botorch()
    if all(objective.cost == STATIC for objective in objectives):
        names = [objective.name for objective in objectives]
        raise UserError(
            f"search=bayes: search.objectives={names} are known without training, so there is "
            "nothing to learn; use search=nsga2"
        )
    if len(objectives) > MOST_OBJECTIVES:
        raise UserError(
            f"search=bayes: {len(objectives)} objectives are minimised, expected at most "
            f"{MOST_OBJECTIVES}; use search=nsga2"
        )
    features = features_of(problem, budget.recipe)
    guide = Guide(features, objectives, budget, algorithm.kernel, algorithm.most_rows)
    algorithm.guide = guide
    return guide


class Guide:
    """What the Bayesian algorithm asks in each generation."""

    def __init__(
        self, features: Features, objectives: Sequence[Objective], budget: Budget, kernel: str,
        most_rows: int,
    ) -> None:  # fmt: skip
        """Prepare for one search.

        Args:
            features: of its architectures.
            objectives: what it minimises.
            budget: its limits and recipe; limits of what is trained are learnt too.
            kernel: of the processes.
            most_rows: genomes that a process learns from: the best half of them by rank, and as
                many drawn from the rest.
        """
        limited = [budget.measured.objectives[name] for name in budget.limits]
        self._limited = [o for o in limited if o.cost != STATIC]
        self._features, self._objectives, self._budget = features, list(objectives), budget
        # What a candidate must have to be learnt from; a gate may have refused it before the rest.
        self._trained = {o.name for o in (*objectives, *self._limited) if o.cost != STATIC}
        self._static = [o for o in objectives if o.cost == STATIC]
        self._needed = {o.name for o in (*objectives, *self._limited)}
        self._kernel, self._most_rows = kernel, most_rows
        self._evaluated: list[Evaluated] = []
        self._archive: Archive | None = None
        self.memory: SearchMemory | None = None  # of proposals; None remembers nothing
        self.settings: Mapping[str, Any] = NOTHING  # of the search: proposals belong to them

    def prepare(self, generation: int, archive: Archive, halving: SuccessiveHalving) -> None:
        """Take in what was measured before a generation (from 0); nothing is fitted yet.

        Those above a limit teach where it lies. Those that were stopped early have losses of
        another training, and baselines may be outside of the space.
        """
        self._archive = archive
        self._evaluated = [
            e
            for e in archive.all
            if e.evaluation.failure in ("", OVER_BUDGET)
            and not e.is_stopped
            and self._trained & e.evaluation.metrics.keys()
            and self._features.covers(e.candidate.genome)
        ]

    def recall(self, generation: int, length: int) -> list[dict[str, Any]] | None:
        """What was proposed in this generation before an interruption, as vectors of that length;
        None where it is not known, or cannot be of this search."""
        if self.memory is None or self._archive is None:
            return None
        known = self.memory.recall_proposals(self.settings, generation)
        fits = known is not None and all(
            len(one["genes"]) == length and all(name in self._archive for name in one["parents"])
            for one in known
        )
        return known if fits else None

    def remember(self, generation: int, proposals: list[dict[str, Any]]) -> None:
        """Keep what is proposed now, before any of it is evaluated."""
        if self.memory is not None:
            self.memory.remember_proposals(self.settings, generation, proposals)

    def affordable(self, genome: Genome) -> bool:
        """Whether its costs can be counted, and keep the limits."""
        try:
            measure(self._static, Context(genome, self._budget.recipe.of(genome)))
        except Exception:  # which its evaluation would say
            return False
        return self._budget.refuse(genome) is None

    def acquisition(self, seed: int) -> Acquisition | None:
        """The value of genomes for the next batch; None while too little is known."""
        if sum(map(self._is_whole, self._evaluated)) < FEWEST:
            return None
        chosen = [self._evaluated[n] for n in self._rows(seed)]
        genomes = [e.candidate.genome for e in chosen]
        values = np.array([self._values(e) for e in chosen])
        inputs = Inputs(self._features, self._kernel, genomes)
        return Acquisition(inputs, Known(genomes, values), self._quantities(), seed)

    def _is_whole(self, evaluated: Evaluated) -> bool:
        return self._needed <= evaluated.evaluation.metrics.keys()

    def _values(self, evaluated: Evaluated) -> list[float]:
        """Objectives, then what has a limit; NaN for what was not measured."""
        metrics = evaluated.evaluation.metrics
        both = (*self._objectives, *self._limited)
        return [o.sign * metrics.get(o.name, np.nan) for o in both]

    def _by_rank(self) -> list[int]:
        """Numbers of those measured, the best rank first, then in order of proposal; those that
        were not measured to the end come last."""
        is_whole = np.array([self._is_whole(e) for e in self._evaluated], dtype=bool)
        whole, rest = (np.flatnonzero(rows).tolist() for rows in (is_whole, ~is_whole))
        count = len(self._objectives)
        values = np.array([self._values(self._evaluated[n])[:count] for n in whole])
        order = np.argsort(pareto_ranks(values), kind="stable").tolist() if whole else []
        return [*(whole[n] for n in order), *rest]

    def _rows(self, seed: int) -> list[int]:
        order, half = self._by_rank(), self._most_rows // 2
        if len(order) <= self._most_rows:
            return sorted(order)
        rest = np.random.default_rng(seed).permutation(order[half:])[: self._most_rows - half]
        return sorted([*order[:half], *rest.tolist()])

    def _quantities(self) -> list[Quantity]:
        quantities = [
            Quantity(cost=self._cost(o) if o.cost == STATIC else None) for o in self._objectives
        ]
        for objective in self._limited:
            limit = objective.sign * self._budget.limits[objective.name]
            quantities.append(Quantity(limit=limit))
        return quantities

    def _cost(self, objective: Objective) -> Callable[[Sequence[Genome]], Values]:
        def cost(genomes: Sequence[Genome]) -> Values:
            return objective.sign * np.array([self._exact(objective, genome) for genome in genomes])

        return cost

    def _exact(self, objective: Objective, genome: Genome) -> float:
        context = Context(genome, self._budget.recipe.of(genome))
        return measure([objective], context)[objective.name]
