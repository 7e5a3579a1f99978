"""Predictions of what a training would measure, from genomes alone."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from star.genomes import Genome
from star.search.prescreening.regression import Regression, Values, rank_correlation
from star.search.space.features import Features


class Predictor(Protocol):
    """Predicts one quantity of genomes."""

    def fit(self, genomes: Sequence[Genome], values: Values) -> float:
        """Learn from values (genomes,); returns the rank correlation with values that it did not
        learn from."""
        ...

    def predict(self, genomes: Sequence[Genome]) -> Values:
        """(genomes,), in units whose order is that of the quantity."""
        ...

    def covers(self, genome: Genome) -> bool:
        """Whether it can learn from this genome."""
        ...


class Surrogate:
    """A regression on the features of architectures."""

    def __init__(self, features: Features) -> None:
        """features: of the search's architectures."""
        self._features, self._regression = features, Regression()

    def fit(self, genomes: Sequence[Genome], values: Values) -> float:
        """As `Predictor.fit`, by cross-validation."""
        return self._regression.fit(self._features.matrix(genomes), values)

    def covers(self, genome: Genome) -> bool:
        """Those of the search's space."""
        return self._features.covers(genome)

    def predict(self, genomes: Sequence[Genome]) -> Values:
        """(genomes,), in the unit of the values that it was fitted to."""
        return self._regression.predict(self._features.matrix(genomes))


class ProxyPredictor:
    """A score without training in place of a prediction.

    Of the values it learns only the sign: which end of the scores is the better one. Papers
    disagree with each other, and with what is measured here (experiments/prescreening).
    """

    def __init__(self, scores: Callable[[Genome], float]) -> None:
        """scores: of genomes; what has none is not finite."""
        self._scores, self._sign = scores, 1.0

    def fit(self, genomes: Sequence[Genome], values: Values) -> float:
        """The rank correlation of scores and values, after the sign."""
        scores = self._scored(genomes)
        there = np.isfinite(scores)
        found = rank_correlation(scores[there], values[there]) if there.any() else 0.0
        self._sign = -1.0 if found < 0 else 1.0
        return abs(found)

    def predict(self, genomes: Sequence[Genome]) -> Values:
        """(genomes,): scores in the order of the values, infinite for what has none."""
        scores = self._scored(genomes)
        return np.where(np.isfinite(scores), self._sign * scores, np.inf)

    def covers(self, genome: Genome) -> bool:
        """All: what has no score is left out."""
        return True

    def _scored(self, genomes: Sequence[Genome]) -> Values:
        return np.array([self._scores(genome) for genome in genomes])
