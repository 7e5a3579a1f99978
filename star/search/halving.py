"""Successive halving inside a generation (Jamieson and Talwalkar 2016, arXiv 1502.07943), with
several objectives.

All candidates of a generation are trained a little; those of better non-dominated rank go on from
where they are to the next rung, and so on to the end of the training. The rank is taken among
everything that the search has brought to that rung, so that a poor generation does not promote what
an earlier one has beaten.
"""

import shutil
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pymoo.operators.survival.rank_and_crowding.metrics import get_crowding_function

from star.base.errors import UserError
from star.evaluation.evaluate import STOPPED
from star.evaluation.rungs import Rung
from star.search.candidates import Evaluated
from star.search.front import Values, pareto_ranks


@dataclass
class HalvingConfig:
    """rungs: steps after which a candidate can be stopped, ascending; none trains every candidate
    to the end.

    keep: share of the candidates at a rung that goes on from it.
    """

    rungs: list[int] = field(default_factory=list)
    keep: float = 0.5

    def check(self, steps: int) -> None:
        """Raise `UserError` naming the key, its value and what was expected. steps: of the whole
        training."""
        all_steps = [0, *self.rungs, steps]
        if any(later <= earlier for earlier, later in pairwise(all_steps)):
            raise UserError(
                f"search.halving.rungs={self.rungs}: expected ascending numbers of steps between 0 "
                f"and "
                f"training.steps={steps}, such as [{steps // 8},{steps // 4}], or []"
            )
        if not 0 < self.keep < 1:
            raise UserError(
                f"search.halving.keep={self.keep}: expected a share between 0 and 1, such as 0.5"
            )

    def steps(self, steps: int) -> list[int]:
        """Finished steps at each rung, the last being the whole training."""
        return [*self.rungs, steps]


class SuccessiveHalving:
    """The rungs of one search, and who is promoted from them. The same calls give the same answers.

    tokens_per_step: training tokens of one step, for the record.
    """

    def __init__(
        self, config: HalvingConfig, steps: int, tokens_per_step: int, states: Path | None = None
    ) -> None:
        """steps: of the whole training. states: folder of training states, which lives as long as a
        generation."""
        self.rungs = [Rung(count, states) for count in config.steps(steps)]
        self.keep, self.tokens_per_step, self.states = config.keep, tokens_per_step, states
        self._seen: dict[Rung, Values] = {}

    def tokens(self, rung: Rung) -> int:
        """Training tokens up to a rung."""
        return rung.steps * self.tokens_per_step

    def stopped(self, evaluated: Evaluated, rung: Rung) -> Evaluated:
        """A candidate that was not promoted from a rung."""
        reason = f"after {rung.steps} of {self.rungs[-1].steps} steps, for better ones"
        return replace(
            evaluated, evaluation=replace(evaluated.evaluation, status=STOPPED, reason=reason)
        )

    def promoted(self, rung: Rung, values: Values) -> list[int]:
        """Which rows of values (candidates, objectives) go on from a rung, ascending.

        By rank among all that were ever brought to it, then by crowding distance, then in order.
        """
        if not len(values):
            return []
        before = self._seen.get(rung, values[:0])
        everyone = self._seen[rung] = np.concatenate([before, values])
        ranks = pareto_ranks(everyone)
        distances = crowding_distances(everyone, ranks)
        new = slice(len(before), None)
        order = np.lexsort([-distances[new], ranks[new]])
        return sorted(order[: int(np.ceil(self.keep * len(values)))].tolist())

    def forget_states(self) -> None:
        """Remove the training states: the generation that they belong to is finished."""
        if self.states is not None and self.states.is_dir():
            shutil.rmtree(self.states)


def crowding_distances(values: Values, ranks: npt.NDArray[np.int64]) -> Values:
    """(candidates,): NSGA-II's crowding distance of each row among those of its own rank."""
    crowding, distances = get_crowding_function("cd"), np.zeros(len(values))
    for rank in np.unique(ranks):
        members = np.flatnonzero(ranks == rank)
        distances[members] = crowding.do(values[members])
    return distances
