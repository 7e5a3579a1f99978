"""The end of a training, predicted from its lower rungs and its architecture.

Short trainings may rank candidates otherwise than long ones do: what falls fastest is overtaken. A
regression on the features of a genome and its losses at the rungs so far learns that from those
that were trained to the end (arXiv 2605.17234 lets a surrogate promote in the same way).
"""

from collections.abc import Sequence

import numpy as np

from star.evaluation.failures import OVER_BUDGET
from star.evaluation.objectives import TRAINED, Objective
from star.evaluation.pareto import Values
from star.search.archive import Archive
from star.search.candidates import Evaluated
from star.search.halving import SuccessiveHalving
from star.search.prescreening.regression import Regression, rank_correlation
from star.search.space.features import Features

FEWEST_ROWS = 16  # trained to the end, before a prediction decides


class FinalPredictor:
    """Puts predicted final values in place of those of a rung, where they rank better."""

    def __init__(self, features: Features, archive: Archive, halving: SuccessiveHalving) -> None:
        """Prepare for one search.

        Args:
            features: of its architectures.
            archive: holds what was trained to the end.
            halving: knows who was measured at each rung.
        """
        self._features, self._archive, self._halving = features, archive, halving

    def replace(
        self, values: Values, objectives: Sequence[Objective], evaluated: Sequence[Evaluated],
        rung: int,
    ) -> Values:  # fmt: skip
        """Values at a rung, or predictions of the final ones.

        Args:
            values: (candidates, objectives) after the rung, to be minimised.
            objectives: of the columns.
            evaluated: the candidates, after the rung.
            rung: finished steps.
        """
        replaced = values.copy()
        for column, objective in enumerate(objectives):
            if objective.cost == TRAINED and len(evaluated):
                predicted = self._predicted(objective, evaluated, rung)
                if predicted is not None:
                    replaced[:, column] = objective.sign * predicted
        return replaced

    def _predicted(
        self, objective: Objective, evaluated: Sequence[Evaluated], rung: int
    ) -> Values | None:
        """(candidates,); None where too few are known, or the rung itself ranks as well."""
        name = objective.name
        at_rung = {e.genome_id: e for e in self._halving.reached[rung]}
        finished = [
            e
            for e in self._archive.all
            if e.genome_id in at_rung
            and not e.is_stopped
            and e.evaluation.failure in ("", OVER_BUDGET)
            and name in e.evaluation.metrics
        ]
        if len(finished) < FEWEST_ROWS:
            return None
        known = self._rows([at_rung[e.genome_id] for e in finished], name, rung)
        ends = np.array([e.evaluation.metrics[name] for e in finished])
        regression = Regression()
        if regression.fit(known, ends) <= rank_correlation(known[:, -1], ends):
            return None
        return regression.predict(self._rows(evaluated, name, rung))

    def _rows(self, evaluated: Sequence[Evaluated], name: str, rung: int) -> Values:
        """(candidates, columns): features, then the quantity at each rung up to this one."""
        features = self._features.matrix([e.candidate.genome for e in evaluated])
        columns = []
        for lower in (r for r in self._halving.rungs if 0 < r <= rung):
            there = {e.genome_id: e.evaluation.metrics for e in self._halving.reached[lower]}
            columns.append([there[e.genome_id][name] for e in evaluated])
        return np.column_stack([features, *columns])
