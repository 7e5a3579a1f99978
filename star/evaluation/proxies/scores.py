"""Scores of genomes, as a search needs them: the model is built as it would be trained."""

import math
from collections.abc import Callable

import torch
from torch import nn

from star.base.random_numbers import seeded
from star.data import Corpus, load_corpus
from star.evaluation.proxies.gradients import gradient_norm, snip, zico
from star.evaluation.proxies.jacobians import jacobian_covariance
from star.evaluation.recipe import Recipe
from star.genomes import Genome
from star.models import decode

Proxy = Callable[[nn.Module, torch.Tensor], float]

# By name: models (untrained) and tokens, int64 (batch, length + 1), to a score.
PROXIES: dict[str, Proxy] = {
    "zico": zico,
    "gradient_norm": gradient_norm,
    "snip": snip,
    "jacobian_covariance": jacobian_covariance,
}


class ProxyScores:
    """Scores of genomes by one proxy, on the first batch of their training; each is computed once.

    Weights and batch are those that every candidate of the recipe begins with. On the CPU, whatever
    the training's device.
    """

    def __init__(self, name: str, recipe: Recipe, corpus: Corpus | None = None) -> None:
        """Prepare for a recipe.

        Args:
            name: of a proxy.
            recipe: sizes, batch and seed.
            corpus: its text; None opens it when it is needed.
        """
        self._proxy, self._recipe, self._corpus = PROXIES[name], recipe, corpus
        self._known: dict[str, float] = {}

    def __call__(self, genome: Genome) -> float:
        """The score; minus infinity for a model that cannot be built or has none."""
        if genome.id not in self._known:
            self._known[genome.id] = self._score(genome)
        return self._known[genome.id]

    def _score(self, genome: Genome) -> float:
        try:
            with seeded(self._recipe.seed, torch.device("cpu")):
                score = self._proxy(decode(genome, self._recipe.trained_model), self._tokens)
        except Exception:  # its evaluation will say why
            return -math.inf
        return score if math.isfinite(score) else -math.inf

    @property
    def _tokens(self) -> torch.Tensor:
        """int64 (batch, length + 1)."""
        training, seed = self._recipe.training, self._recipe.seed
        if self._corpus is None:
            self._corpus = load_corpus(self._recipe.data)
        return self._corpus.batch(seed, 0, training.batch_size, training.length)
