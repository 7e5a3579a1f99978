"""The generation loop: ask pymoo for genomes, evaluate those not yet known, tell it the results in
order.

The loop is deterministic given the algorithm's seed and the evaluations: results are told in the
order of asking, however the workers finish.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from pymoo.core.algorithm import Algorithm
from pymoo.core.evaluator import Evaluator
from pymoo.core.population import Population
from pymoo.problems.static import StaticProblem

from star.evaluation.evaluate import Evaluation
from star.evaluation.rungs import Rung
from star.genomes import Genome
from star.search.archive import Archive
from star.search.budget import Budget
from star.search.candidates import BASELINE, OFFSPRING, RANDOM, SEED, Candidate, Evaluated
from star.search.halving import SuccessiveHalving
from star.search.memory import SearchMemory
from star.search.space.problem import GenomeProblem
from star.search.variation.history import variation
from star.search.variation.sampling import CanonicalDuplicates

OnFinished = Callable[[Evaluated], None]


class EvaluateMany(Protocol):
    """Evaluates genomes, to a rung where one is given; yields (index, evaluation) once for each as
    it finishes."""

    def __call__(
        self, genomes: Sequence[Genome], rung: Rung = ..., /
    ) -> Iterator[tuple[int, Evaluation]]:
        """Train to the end without a rung."""
        ...


@dataclass(frozen=True)
class EvaluationLoop:
    """Evaluates candidates that the archive does not know, and keeps them there.

    seed: of every evaluation, for the record. on_finished is called for each candidate as it
    finishes. memory: answers what was evaluated before and keeps what is evaluated now. budget: of
    every candidate, baselines have none. tokens: of one whole training, for the record. halving:
    trains most candidates less; None trains all to the end.
    """

    archive: Archive
    evaluate_many: EvaluateMany
    seed: int
    on_finished: OnFinished
    memory: SearchMemory | None = None
    budget: Budget | None = None
    tokens: int = 0
    halving: SuccessiveHalving | None = None

    def run(self, candidates: Sequence[Candidate]) -> None:
        """Evaluate candidates; they enter the archive in the given order, also those finished
        before an interrupt."""
        fresh: dict[str, Candidate] = {}
        for candidate in candidates:
            if candidate.genome.id not in self.archive:
                fresh.setdefault(candidate.genome.id, candidate)
        ordered = dict(enumerate(fresh.values()))
        finished: dict[int, Evaluated] = {}
        try:
            for index, evaluated in self._finish(ordered):
                finished[index] = evaluated
                self.on_finished(evaluated)
        finally:
            for index in sorted(finished):
                self.archive.add(finished[index])

    def _finish(self, candidates: dict[int, Candidate]) -> Iterator[tuple[int, Evaluated]]:
        """Indices and evaluated candidates: first those that need no training, then the others as
        they finish."""
        baselines = {
            index: candidate
            for index, candidate in candidates.items()
            if candidate.origin == BASELINE
        }
        yield from self._measure(baselines)
        competing: dict[int, Candidate] = {}
        for index, candidate in candidates.items():
            if index in baselines:
                continue
            refused = self.budget.refuse(candidate.genome) if self.budget is not None else None
            if refused is not None:
                yield index, Evaluated(candidate, refused, self.seed)
            else:
                competing[index] = candidate
        trained = (
            self._measure(competing)
            if self.halving is None
            else self._climb(competing, self.halving)
        )
        for index, evaluated in trained:
            if self.budget is not None:
                evaluated = replace(evaluated, evaluation=self.budget.judge(evaluated.evaluation))
            yield index, evaluated

    def _measure(
        self, candidates: dict[int, Candidate], rung: Rung | None = None
    ) -> Iterator[tuple[int, Evaluated]]:
        """Evaluate candidates, to a rung where one is given: first those that memory answers."""
        waiting: list[int] = []
        tokens = self.tokens if rung is None or self.halving is None else self.halving.tokens(rung)
        for index, candidate in candidates.items():
            known = self.memory.recall(candidate.genome, rung) if self.memory is not None else None
            if known is None:
                waiting.append(index)
            else:
                yield index, Evaluated(candidate, known, self.seed, tokens if known.measured else 0)
        genomes = [candidates[index].genome for index in waiting]
        for number, evaluation in (
            self.evaluate_many(genomes) if rung is None else self.evaluate_many(genomes, rung)
        ):
            index = waiting[number]
            evaluated = Evaluated(
                candidates[index], evaluation, self.seed, tokens if evaluation.measured else 0
            )
            if self.memory is not None:
                self.memory.remember(evaluated, rung)
            yield index, evaluated

    def _climb(
        self, candidates: dict[int, Candidate], halving: SuccessiveHalving
    ) -> Iterator[tuple[int, Evaluated]]:
        """Evaluate candidates from rung to rung; those that are not promoted, or fail, leave."""
        before: dict[int, Evaluated] = {}
        climbing = candidates
        for rung in halving.rungs:
            reached: dict[int, Evaluated] = {}
            for index, evaluated in self._measure(climbing, rung):
                evaluated = _with_earlier(evaluated, before.get(index))
                if rung == halving.rungs[-1] or not evaluated.evaluation.measured:
                    yield index, evaluated
                else:
                    reached[index] = evaluated
            before = {index: reached[index] for index in sorted(reached)}
            chosen = halving.promoted(rung, self.archive.values(list(before.values())))
            climbing = {
                index: candidates[index] for number, index in enumerate(before) if number in chosen
            }
            for index, evaluated in before.items():
                if index not in climbing:
                    yield index, halving.stopped(evaluated, rung)
        halving.forget_states()


def _with_earlier(evaluated: Evaluated, earlier: Evaluated | None) -> Evaluated:
    """A rung's result with the seconds of the rungs before it, and their tokens where it has none
    of its own."""
    if earlier is None:
        return evaluated
    seconds = evaluated.evaluation.train_seconds + earlier.evaluation.train_seconds
    evaluation = replace(evaluated.evaluation, train_seconds=seconds)
    return replace(
        evaluated,
        evaluation=evaluation,
        train_tokens=evaluated.train_tokens or earlier.train_tokens,
    )


def _candidates(
    population: Population, generation: int, problem: GenomeProblem, seeds: set[str]
) -> list[Candidate]:
    candidates = []
    for individual in population:
        genome = problem.genome(individual.X).canonical()
        parents = tuple(individual.get("parents") or ()) if generation else ()
        origin = OFFSPRING if parents else SEED if genome.id in seeds and not generation else RANDOM
        candidates.append(Candidate(genome, origin, generation, parents, variation(individual)))
    return candidates


def _tell(
    algorithm: Algorithm, population: Population, candidates: list[Candidate], archive: Archive
) -> None:
    """Hand objective values to pymoo; candidates that were not measured, or are over budget,
    violate the constraint.

    What successive halving stopped has its loss after fewer steps, which is above what it would
    have reached.
    """
    evaluated = [archive[candidate.genome.id] for candidate in candidates]
    objectives = [objective.name for objective in archive.objectives]
    values = [[e.evaluation.metrics.get(name, np.inf) for name in objectives] for e in evaluated]
    violations = [[0.0 if e.evaluation.measured else 1.0] for e in evaluated]
    static = StaticProblem(
        algorithm.problem, F=np.array(values, dtype=float), G=np.array(violations)
    )
    Evaluator().eval(static, population)
    algorithm.tell(infills=population)


def evaluate_baselines(baselines: dict[str, Genome], evaluation: EvaluationLoop) -> None:
    """Evaluate named designs before the search, under the same recipe; they set the hypervolume's
    reference."""
    evaluation.run([Candidate(genome, BASELINE, 0) for genome in baselines.values()])
    evaluation.archive.fix_reference()


def run_generations(
    algorithm: Algorithm,
    generations: int,
    evaluation: EvaluationLoop,
    seeds: set[str],
    duplicates: CanonicalDuplicates,
) -> Iterator[int]:
    """Run generations, yielding the number of each (from 0) when it is finished.

    seeds: ids of the genomes that seeded the first generation. Ends early when the algorithm finds
    no new genome.
    """
    problem = algorithm.problem
    assert isinstance(problem, GenomeProblem)
    for generation in range(generations):
        population = algorithm.ask()
        if population is None or len(population) == 0:
            return
        candidates = _candidates(population, generation, problem, seeds)
        duplicates.proposed.update(candidate.genome.id for candidate in candidates)
        evaluation.run(candidates)
        _tell(algorithm, population, candidates, evaluation.archive)
        yield generation
