"""The evaluation of one candidate: decode, train briefly, measure; a failure becomes a result."""

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import lru_cache

from star.base.errors import UserError
from star.base.random_numbers import kept_random_state
from star.data import Corpus
from star.evaluation.failures import failure
from star.evaluation.limits import device_name, peak_bytes, reset_peak
from star.evaluation.objectives import COSTLY, OBJECTIVES, TRAINED, Context, Measured
from star.evaluation.recipe import Recipe
from star.evaluation.result import OK, Evaluation, require_finite
from star.evaluation.states import StateStore
from star.evaluation.trainings import averaged, trainings
from star.genomes import Genome


@lru_cache(maxsize=8)
def _measured(references: tuple[str, ...], settings: str) -> Measured:
    """The objectives. settings: as JSON, since a mapping is no key of a cache."""
    return Measured.of(references, json.loads(settings))


def measured_by(recipe: Recipe) -> Measured:
    """The objectives that a recipe measures. Raises `UserError` for one that cannot be loaded."""
    return _measured(tuple(recipe.objectives), json.dumps(recipe.settings, sort_keys=True))


def evaluate(
    genome: Genome,
    recipe: Recipe,
    corpus: Corpus,
    steps: int | None = None,
    states: StateStore | None = None,
    costs: Collection[str] = COSTLY,
) -> Evaluation:
    """Decode, train and measure one genome.

    Every candidate gets the same seed for its weights and the same batches, so that differences in
    loss come from the architecture (common random numbers); the caller's random state of PyTorch is
    kept. Failures are returned as infeasible, whatever was raised; only a `UserError`, which no
    other candidate would escape, is passed on.

    Args:
        genome: what to build.
        recipe: how to train and measure it.
        corpus: the text of the recipe's data.
        steps: the rung, optimiser steps after which it is measured; None is all of the recipe's.
        states: where its training goes on from an earlier rung and is kept for a later one.
        costs: which objectives are measured beside static ones; without TRAINED the genome is not
            trained on the corpus.
    """
    device = recipe.training.torch_device()
    reset_peak(device)
    rung = recipe.training.steps if steps is None else steps
    result = _train_and_measure(genome, recipe, corpus, rung, states, costs)
    return replace(result, peak_bytes=peak_bytes(device), device=device_name(device))


def _train_and_measure(
    genome: Genome,
    recipe: Recipe,
    corpus: Corpus,
    steps: int,
    states: StateStore | None,
    costs: Collection[str],
) -> Evaluation:
    objectives = measured_by(recipe)
    metrics: dict[str, float] = {}
    seconds = 0.0
    try:
        recipe = recipe.of(genome)
        with kept_random_state(recipe.training.torch_device()):
            metrics.update(objectives.measure_static(genome, recipe))
            if TRAINED in costs:
                found: list[dict[str, float]] = []
                for training in trainings(genome, recipe, corpus, steps, states):
                    context = Context(genome, training.recipe, corpus, training.model)
                    # What trains models of its own is measured once, with the first seed.
                    measured = objectives.measure_trained(context, (TRAINED,) if found else costs)
                    found.append({**measured, **training.metrics})
                    seconds += training.seconds
                metrics.update(averaged(found))
                _expect_wanted(recipe, metrics)
            else:
                metrics.update(objectives.measure_trained(Context(genome, recipe, corpus), costs))
    except UserError:
        raise
    except Exception as error:
        return failure(error, metrics)
    return require_finite(Evaluation(OK, "", metrics, seconds))


def _expect_wanted(recipe: Recipe, metrics: Mapping[str, float]) -> None:
    """Raise `UserError` for what was asked for by name, is measured where it can be, and is not."""
    for name in recipe.objectives:
        if name in OBJECTIVES and name not in metrics:
            raise UserError(f"{name}: cannot be measured here, {OBJECTIVES[name].optional}")
