"""Successive halving inside a generation (Jamieson and Talwalkar 2016, arXiv 1502.07943), with
several objectives.

All candidates of a generation are trained a little; those of better non-dominated rank go on from
where they are to the next rung, and so on to the end of the training. The rank is taken among
everything that the search has brought to that rung, so that a poor generation does not promote what
an earlier one has beaten.

A first rung of 0 is a gate before all training: it measures the objectives that train small models
of their own, such as recall, and who exceeds a limit goes no further. It ranks nobody: those
objectives and costs say too little of who will be better.
"""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from pymoo.operators.survival.rank_and_crowding.metrics import get_crowding_function

from star.base.settings import expect, expect_one_of
from star.evaluation.objectives import COSTLY, OWN, TRAINED, Measured
from star.evaluation.pareto import Values, pareto_ranks
from star.evaluation.result import STOPPED
from star.search.candidates import Evaluated

RANK, PREDICTED = "rank", "predicted"


@dataclass
class HalvingConfig:
    """Successive halving: poor candidates are stopped early."""

    # steps after which one can be stopped; 0: before training, by limits on what needs none of it
    rungs: list[int] = field(default_factory=list)
    keep: float = 0.5  # share of the candidates at a rung that goes on from it
    promote: str = RANK  # by what is measured at a rung, or predicted: by predictions of the end

    def check(self, steps: int) -> None:
        """Raise `UserError` for the first value that cannot be used. steps: of all training."""
        fits = all(earlier <= later for earlier, later in pairwise([0, *self.rungs, steps]))
        example = f", such as [{steps // 8},{steps // 4}]" if steps >= 8 else ""
        expected = f"ascending numbers of steps from 0 to training.steps={steps}{example}"
        expect("search.halving.rungs", self.rungs, fits, f"{expected}, or []")
        fits = 0 < self.keep < 1
        expect("search.halving.keep", self.keep, fits, "a share between 0 and 1, such as 0.5")
        expect_one_of("search.halving.promote", self.promote, (RANK, PREDICTED))
        has_rungs = self.promote != PREDICTED or any(0 < rung < steps for rung in self.rungs)
        expected = "rank; there is no rung from which an end could be predicted"
        expect("search.halving.promote", self.promote, has_rungs, expected)

    def notices(self, measured: Measured) -> list[str]:
        """That a rung 0 has nothing to measure, in words, or nothing."""
        if 0 not in self.rungs or measured.before_training():
            return []
        return [
            f"search.halving.rungs={self.rungs}: nothing is measured at rung 0, since no objective "
            "or constraint in use trains a model of its own, as recall_error does"
        ]

    def steps(self, steps: int) -> list[int]:
        """Finished steps at each rung, the last being the whole training.

        Rungs that coincide are one, as shares of few steps do: [0, 1, 1] of 1 step is [0, 1].
        """
        return list(dict.fromkeys([*self.rungs, steps]))


class SuccessiveHalving:
    """The rungs of one search, and who is promoted from them; without rungs, all are trained.

    The same calls give the same answers.
    """

    def __init__(self, config: HalvingConfig, steps: int, tokens_per_step: int) -> None:
        """Set up the rungs.

        Args:
            config: where they are, and how many go on.
            steps: of the whole training.
            tokens_per_step: training tokens of one step, for the record.
        """
        self.rungs = config.steps(steps)
        self.keep, self.tokens_per_step = config.keep, tokens_per_step
        self._seen: dict[int, Values] = {}
        # who was measured at each rung but the last, in order of asking
        self.reached: dict[int, list[Evaluated]] = {}

    def tokens(self, rung: int) -> int:
        """Training tokens up to a rung, in steps."""
        return rung * self.tokens_per_step

    def costs(self, rung: int) -> tuple[str, ...]:
        """Cost classes that are measured at a rung beside static objectives.

        What trains models of its own hangs on no step of the candidate's own training, so that it
        is measured at the first rung and never again.
        """
        if rung == 0:
            return (OWN,)
        return COSTLY if rung == self.rungs[0] else (TRAINED,)

    def stopped(self, evaluated: Evaluated, rung: int) -> Evaluated:
        """A candidate that was not promoted from a rung."""
        reason = f"after {rung} of {self.rungs[-1]} steps, for better ones"
        evaluation = replace(evaluated.evaluation, status=STOPPED, reason=reason)
        return replace(evaluated, evaluation=evaluation)

    def promoted(self, rung: int, values: Values) -> list[int]:
        """Which rows of values (candidates, objectives) go on from a rung, ascending.

        The share `keep` of them: by rank among all that were ever brought to it, then by crowding
        distance, then in order.

        Args:
            rung: finished steps.
            values: to be minimised.
        """
        if not len(values):
            return []
        before = self._seen.get(rung, values[:0])
        everyone = self._seen[rung] = np.concatenate([before, values])
        ranks = pareto_ranks(everyone)
        distances = crowding_distances(everyone, ranks)
        new = slice(len(before), None)
        # lexsort's last key counts first: the rank, then the distance, the lonelier first. It keeps
        # the order of equals, so that the same calls promote the same candidates.
        order = np.lexsort([-distances[new], ranks[new]])
        return sorted(order[: int(np.ceil(self.keep * len(values)))].tolist())


def crowding_distances(values: Values, ranks: npt.NDArray[np.int64]) -> Values:
    """(candidates,): NSGA-II's crowding distance of each row among those of its own rank."""
    crowding, distances = get_crowding_function("cd"), np.zeros(len(values))
    for rank in np.unique(ranks):
        members = np.flatnonzero(ranks == rank)
        distances[members] = crowding.do(values[members])
    return distances
