"""The evaluation of one candidate: decode, train briefly, measure; a failure becomes a result."""

import json
from collections.abc import Collection
from dataclasses import replace
from functools import lru_cache

import torch

from star.base.errors import UserError
from star.data import Corpus
from star.evaluation.failures import failure
from star.evaluation.limits import device_name, peak_bytes, reset_peak
from star.evaluation.objectives import COSTLY, TRAINED, Context, Measured
from star.evaluation.recipe import Recipe
from star.evaluation.result import OK, Evaluation, require_finite
from star.evaluation.states import StateStore
from star.genomes import Genome
from star.models import LanguageModel, decode
from star.training import Trainer, train_further


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
    loss come from the architecture (common random numbers). Failures are returned as infeasible,
    whatever was raised; only a `UserError`, which no other candidate would escape, is passed on.

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
    context, seconds = Context(genome, recipe, corpus), 0.0
    try:
        metrics.update(objectives.measure_static(genome, recipe))
        if TRAINED in costs:
            context.model, seconds = _trained(genome, recipe, corpus, steps, states)
        metrics.update(objectives.measure_trained(context, costs))
    except UserError:
        raise
    except Exception as error:
        return failure(error, metrics)
    return require_finite(Evaluation(OK, "", metrics, seconds))


def _trained(
    genome: Genome, recipe: Recipe, corpus: Corpus, steps: int, states: StateStore | None
) -> tuple[LanguageModel, float]:
    """The model of a genome after so many steps, and the seconds that they took."""
    torch.manual_seed(recipe.seed)
    model = decode(genome, recipe.trained_model)
    trainer = Trainer(model, corpus, recipe.training, recipe.seed)
    if states is None:
        return model, train_further(trainer, steps, None)
    with states.opened(genome.id) as state:
        return model, train_further(trainer, steps, state)
