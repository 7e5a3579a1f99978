"""The trainings of one candidate: with several seeds, and at several learning rates."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from star.base.random_numbers import seed_generators
from star.data import Corpus
from star.evaluation.objectives import LOSS
from star.evaluation.recipe import DEVIATION, LEARNING_RATE, Recipe
from star.evaluation.states import StateStore
from star.genomes import Genome
from star.models import LanguageModel, decode
from star.training import Trainer, TrainingConfig, train_at_best_rate, train_further


@dataclass(frozen=True)
class Training:
    """One finished training."""

    recipe: Recipe  # with its own seed
    model: LanguageModel
    seconds: float
    metrics: Mapping[str, float]  # what is recorded of it beside the objectives


@dataclass(frozen=True)
class _Candidate:
    """A candidate under one seed."""

    genome: Genome
    recipe: Recipe  # with that seed
    corpus: Corpus
    states: StateStore | None
    name: str  # of its states

    def make(self, config: TrainingConfig) -> Trainer:
        """Its training from the beginning."""
        seed_generators(self.recipe.seed, config.torch_device())
        model = decode(self.genome, self.recipe.trained_model)
        return Trainer(model, self.corpus, config, self.recipe.seed)

    def opened(self, suffix: str) -> AbstractContextManager[Path | None]:
        """Where a state is kept."""
        return nullcontext() if self.states is None else self.states.opened(self.name + suffix)

    def finished(self, trainer: Trainer, seconds: float) -> Training:
        """A training at its end, or its rung."""
        assert isinstance(trainer.model, LanguageModel)
        has_rates = bool(self.recipe.training.learning_rates)
        metrics = {LEARNING_RATE: trainer.config.learning_rate} if has_rates else {}
        return Training(self.recipe, trainer.model, seconds, metrics)


def trainings(
    genome: Genome, recipe: Recipe, corpus: Corpus, steps: int, states: StateStore | None
) -> Iterator[Training]:
    """Its trainings to so many steps, one after the other: one for each of `evaluation.seeds`.

    Where there are several learning rates, the first seed chooses, and the others are trained at
    the rate that it chose. Each goes on from a state of its own. Raises what training raises.
    PyTorch's generators are seeded for each: `star.base.random_numbers` keeps a caller's state.
    """
    config, rate = recipe.training, None
    for index in range(recipe.evaluation.seeds):
        seeded = replace(recipe, seed=recipe.seed + index)
        name = f"{genome.id}_seed{index}" if index else genome.id
        candidate = _Candidate(genome, seeded, corpus, states, name)
        if config.learning_rates and rate is None:
            chosen = train_at_best_rate(candidate.make, config, steps, candidate.opened)
            rate = chosen.number
            yield candidate.finished(chosen.trainer, chosen.seconds)
            continue
        suffix, one = "", config
        if rate is not None:
            suffix, one = f"_rate{rate}", config.at_rate(config.learning_rates[rate])
        trainer = candidate.make(one)
        with candidate.opened(suffix) as state:
            seconds = train_further(trainer, steps, state)
        yield candidate.finished(trainer, seconds)


def averaged(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The metrics of one training; of several the means, and the standard deviation of their
    losses (with n - 1). What only the first has is taken as it is, and so is the learning rate,
    which the others are trained at: a mean of equal numbers may be off by its last bit."""
    first, *others = found
    if not others:
        return dict(first)
    means = {name: statistics.fmean(one[name] for one in found) for name in others[0]}
    means.pop(LEARNING_RATE, None)
    return {**first, **means, DEVIATION: statistics.stdev(one[LOSS] for one in found)}
