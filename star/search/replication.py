"""Adaptive replication: who may or may not be on the front is trained again, with another seed.

A short training's loss has a spread over seeds, so that near-ties on the front are decided by luck.
After each generation the probability of every candidate to be on the front is estimated
(`star.evaluation.statistics`); those for whom it is neither low nor high get a further seed, until
it is, or they have `most` of them. Their metrics become means over seeds, so that nobody stays on
the front by one lucky training; the others cost nothing more.

What a seed does to all candidates alike is not taken off the means. It is half as large as what it
does to one of them (0.014 against 0.030 nats in the packaged table), and could only be told from
those trained again, who are the lucky ones: their return to the mean would be taken for the seed's.
"""

from dataclasses import dataclass, field, replace
from statistics import mode, stdev

import numpy as np

from star.base.ranges import Range, expect_ranges
from star.base.settings import expect
from star.evaluation.failures import is_circumstantial
from star.evaluation.objectives import LOSS, STATIC
from star.evaluation.recipe import DEVIATION, LEARNING_RATE, MOST_SEEDS
from star.evaluation.result import Evaluation, infeasible
from star.evaluation.statistics import Spread, front_probabilities, pooled_spread
from star.search.archive import Archive
from star.search.candidates import Evaluated

RANGES = {"most": Range(0, MOST_SEEDS), "first": Range(2, 10**5)}


@dataclass
class ReplicationConfig:
    """Candidates that may or may not be on the front are trained with further seeds."""

    most: int = 0  # further seeds that a candidate may get; 0: none
    # low and high: who gets one is on the front with a probability from the one to the other
    uncertain: list[float] = field(default_factory=lambda: [0.1, 0.9])
    first: int = 4  # best candidates that get one before the spread over seeds is known

    def check(self) -> None:
        """Raise `UserError` for the first value that cannot be used."""
        expect_ranges("search.replication.", self, RANGES)
        given = self.uncertain
        fits = len(given) == 2 and 0 <= given[0] < given[1] <= 1
        expected = "[low, high], probabilities to be on the front such as [0.1,0.9]"
        expect("search.replication.uncertain", given, fits, expected)


class Replication:
    """Who is trained again, and what all trainings of a candidate give together.

    The same calls give the same answers, so that a resumed search replays them.
    """

    def __init__(self, config: ReplicationConfig, seed: int) -> None:
        """Nothing is known at first.

        Args:
            config: who gets further seeds, and how many.
            seed: of the search; further ones follow it.
        """
        self.config, self.seed = config, seed
        self._trainings: dict[str, list[Evaluated]] = {}  # by genome id, in order of seeds
        self._given_up: set[str] = set()  # ids whose further trainings failed by circumstance

    def chosen(self, archive: Archive) -> list[tuple[Evaluated, int]]:
        """Candidates to train again, in order of proposal, with their next seeds."""
        feasible = archive.feasible
        may = [e for e in feasible if self._count(e) <= self.config.most]
        may = [e for e in may if e.genome_id not in self._given_up]
        spreads = self._spreads(archive, feasible)
        if not self.config.most or not may or not spreads:
            return []
        if all(spread.is_known for spread in spreads.values()):
            probability = self._probabilities(archive, feasible, spreads)
            low, high = self.config.uncertain
            wanted = [e for e in may if low <= probability[e.genome_id] <= high]
        else:
            ranks = archive.ranks()
            wanted = sorted(may, key=lambda e: ranks[e.genome_id])[: self.config.first]
        return [(e, self.seed + self._count(e)) for e in wanted]

    def _count(self, evaluated: Evaluated) -> int:
        """Seeds that a candidate was trained with."""
        return len(self._trainings.get(evaluated.genome_id, [])) or 1

    def _spreads(self, archive: Archive, feasible: list[Evaluated]) -> dict[int, Spread]:
        """Spread over seeds of each objective that has one, by its number."""
        values = [
            archive.values(self._trainings[e.genome_id])
            for e in feasible
            if e.genome_id in self._trainings
        ]
        noisy = (number for number, o in enumerate(archive.objectives) if o.cost != STATIC)
        return {number: pooled_spread([rows[:, number] for rows in values]) for number in noisy}

    def _probabilities(
        self, archive: Archive, feasible: list[Evaluated], spreads: dict[int, Spread]
    ) -> dict[str, float]:
        """Of each feasible candidate to be on the front, by genome id."""
        means = archive.values(feasible)
        errors, degrees = np.zeros_like(means), [1] * means.shape[1]
        counts = np.array([self._count(e) for e in feasible])
        for number, spread in spreads.items():
            errors[:, number] = spread.deviation / np.sqrt(counts)
            degrees[number] = spread.degrees
        found = front_probabilities(means, errors, degrees)
        return {e.genome_id: float(p) for e, p in zip(feasible, found, strict=True)}

    def add(self, candidate: Evaluated, seed: int, training: Evaluated) -> Evaluated:
        """The candidate with one training more.

        Args:
            candidate: as the archive has it.
            seed: of the training.
            training: what it gave. Where it could not be measured the candidate is infeasible; a
                failure of circumstance says nothing, and leaves the candidate as it was.
        """
        name, found = candidate.genome_id, training.evaluation
        if is_circumstantial(found):
            self._given_up.add(name)
            return candidate
        trainings = self._trainings.setdefault(name, [candidate])
        trainings.append(training)
        if found.measured:
            evaluation = _mean([one.evaluation for one in trainings])
        else:
            detail = f"with seed {seed}: {found.reason.partition(': ')[2]}"
            evaluation = infeasible(found.failure, detail, found.metrics)
        tokens = sum(one.train_tokens for one in trainings)
        return replace(candidate, evaluation=evaluation, train_tokens=tokens, seeds=len(trainings))


def _mean(evaluations: list[Evaluation]) -> Evaluation:
    """Several trainings as one: means of the metrics, the deviation of the losses, all seconds; the
    learning rate is the one that was chosen most often, of several the first, since nobody trained
    at a mean of rates."""
    names = [n for n in evaluations[0].metrics if all(n in e.metrics for e in evaluations)]
    values = {n: [e.metrics[n] for e in evaluations] for n in names}
    # What is exact stays as it is, whole numbers too.
    metrics = {n: v[0] if len({*v}) == 1 else float(np.mean(v)) for n, v in values.items()}
    if LEARNING_RATE in values:
        metrics[LEARNING_RATE] = mode(values[LEARNING_RATE])
    if LOSS in values and len(evaluations) > 1:
        metrics[DEVIATION] = stdev(values[LOSS])
    seconds = sum(e.train_seconds for e in evaluations)
    return replace(evaluations[0], metrics=metrics, train_seconds=seconds)
