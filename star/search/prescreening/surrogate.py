"""Predictions of what a training would measure, from genomes alone."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from star.evaluation.proxies import ProxyScores
from star.genomes import Genome
from star.search.space.features import Features

Values = npt.NDArray[np.float64]

FOLDS = 5
DIGITS = 6  # of a prediction, in units of the spread: more threads round the rest otherwise
PENALTIES = np.logspace(-2, 3, 11)  # of ridge regression, of which the data choose


class Predictor(Protocol):
    """Predicts one quantity of genomes."""

    def fit(self, genomes: Sequence[Genome], values: Values) -> float:
        """Learn from values (genomes,); returns the rank correlation with values that it did not
        learn from."""
        ...

    def predict(self, genomes: Sequence[Genome]) -> Values:
        """(genomes,), in units whose order is that of the quantity."""
        ...


class Surrogate:
    """Ridge regression on the features of architectures; the penalty is chosen by leave-one-out.

    On the tabular benchmark it is as good as forests, boosting and Gaussian processes, or better
    (experiments/prescreening), and the same data give the same predictions.
    """

    def __init__(self, features: Features) -> None:
        """features: of the search's architectures."""
        self._features = features
        self._model: Any = None
        self._spread = 1.0

    def fit(self, genomes: Sequence[Genome], values: Values) -> float:
        """As `Predictor.fit`, by five-fold cross-validation."""
        from sklearn.model_selection import KFold, cross_val_predict

        known = self._features.matrix(genomes)
        folds = KFold(FOLDS, shuffle=True, random_state=0)
        unseen = cross_val_predict(_ridge(), known, values, cv=folds)
        self._model = _ridge().fit(known, values)
        self._spread = float(np.std(values)) or 1.0
        return rank_correlation(self._rounded(np.asarray(unseen)), values)

    def predict(self, genomes: Sequence[Genome]) -> Values:
        """(genomes,), in the unit of the values that it was fitted to."""
        return self._rounded(self._model.predict(self._features.matrix(genomes)))

    def _rounded(self, predictions: Values) -> Values:
        return np.round(predictions / self._spread, DIGITS) * self._spread


class ProxyPredictor:
    """A score without training in place of a prediction; nothing is learned from the values."""

    def __init__(self, scores: ProxyScores) -> None:
        """scores: of genomes; better ones are larger."""
        self._scores = scores

    def fit(self, genomes: Sequence[Genome], values: Values) -> float:
        """Only the rank correlation."""
        return rank_correlation(self.predict(genomes), values)

    def predict(self, genomes: Sequence[Genome]) -> Values:
        """(genomes,): the scores with their sign changed, so that better ones are smaller."""
        return -np.array([self._scores(genome) for genome in genomes])


def _ridge() -> Any:
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), RidgeCV(PENALTIES))


def rank_correlation(first: Values, second: Values) -> float:
    """Spearman's, 0 where one of them is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(spearmanr(first, second)[0])  # type: ignore[arg-type]
