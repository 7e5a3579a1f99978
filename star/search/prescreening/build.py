"""Builds the pre-screening that the settings name."""

from collections.abc import Sequence

from star.evaluation.constraints import Budget
from star.evaluation.objectives import Objective
from star.evaluation.proxies import ProxyScores
from star.evaluation.recipe import Recipe
from star.search.algorithms.build import TARGET, BuiltAlgorithm
from star.search.archive import Archive
from star.search.config import SearchConfig
from star.search.halving import PREDICTED, SuccessiveHalving
from star.search.prescreening.config import NONE, PROXY
from star.search.prescreening.finals import FinalPredictor
from star.search.prescreening.prescreen import Prescreen, mates
from star.search.prescreening.surrogate import Predictor, ProxyPredictor, Surrogate
from star.search.space.features import Features
from star.search.space.problem import GenomeProblem


def features_of(problem: GenomeProblem, recipe: Recipe) -> Features:
    """The features of a search's architectures."""
    depth = problem.full_depth or problem.vector_depth
    has_backbone = problem.backbone.count > 0
    return Features(problem.alphabet, depth, recipe.model, recipe.cache, has_backbone)


def make_finals(
    config: SearchConfig,
    problem: GenomeProblem,
    recipe: Recipe,
    archive: Archive,
    halving: SuccessiveHalving,
) -> FinalPredictor | None:
    """What predicts the ends of trainings for successive halving; None for `promote=rank`."""
    if config.halving.promote != PREDICTED:
        return None
    return FinalPredictor(features_of(problem, recipe), archive, halving)


def make_prescreen(
    config: SearchConfig,
    problem: GenomeProblem,
    objectives: Sequence[Objective],
    budget: Budget,
    built: BuiltAlgorithm,
) -> tuple[Prescreen | None, list[str]]:
    """The pre-screening of a search, attached to its algorithm, and why it will never act though it
    is set to, in words, or nothing.

    None for `kind=none`, and where there is nothing to rank or to predict.

    Args:
        config: of the search.
        problem: its space.
        objectives: what it minimises.
        budget: its limits and recipe.
        built: its algorithm.
    """
    settings, recipe = config.prescreen, budget.recipe
    unused = f"search.prescreen.kind={settings.kind}: not used, since"
    if settings.kind == NONE:
        return None, []
    if not mates(built.algorithm):
        target = config.algorithm[TARGET]
        words = "makes no children by mating; search=nsga2 and search=ga do"
        return None, [f"{unused} {target} {words}"]

    def predictor() -> Predictor:
        if settings.kind == PROXY:
            return ProxyPredictor(ProxyScores(settings.proxy, recipe))
        return Surrogate(features_of(problem, recipe))

    prescreen = Prescreen(settings, objectives, budget, predictor)
    if not prescreen.predicted:
        return None, [f"{unused} all objectives and limits are known without training"]
    prescreen.attach(built.algorithm)
    # candidates before the last generation
    most = len(config.baselines) + config.population * (config.generations - 1)
    if settings.minimum_rows <= most:
        return prescreen, []
    return prescreen, [
        f"search.prescreen.minimum_rows={settings.minimum_rows}: pre-screening will not act, "
        f"since there are {most:,} candidates before the last generation"
    ]
