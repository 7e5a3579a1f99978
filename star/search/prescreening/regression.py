"""The regression behind all predictions: ridge, with its cross-validated rank correlation."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

Values = npt.NDArray[np.float64]

FOLDS = 5
DIGITS = 6  # of a prediction, in units of the spread: more threads round the rest otherwise
PENALTIES = np.logspace(-2, 3, 11)  # of which the data choose, by leave-one-out


class Regression:
    """Ridge regression on standardised columns.

    On the tabular benchmark it is as good as forests and boosting (experiments/prescreening), and
    the same data give the same predictions.
    """

    def __init__(self) -> None:
        self._model: Any = None
        self._spread = 1.0

    def fit(self, known: Values, values: Values) -> float:
        """Learn values (rows,) from known (rows, columns); returns Spearman's correlation of values
        and five-fold predictions of them."""
        from sklearn.model_selection import KFold, cross_val_predict

        folds = KFold(FOLDS, shuffle=True, random_state=0)
        unseen = cross_val_predict(_ridge(), known, values, cv=folds)
        self._model = _ridge().fit(known, values)
        self._spread = float(np.std(values)) or 1.0
        return rank_correlation(self._rounded(np.asarray(unseen)), values)

    def predict(self, rows: Values) -> Values:
        """(rows,), in the unit of the values that it was fitted to."""
        return self._rounded(self._model.predict(rows))

    def _rounded(self, predictions: Values) -> Values:
        return np.round(predictions / self._spread, DIGITS) * self._spread


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
