"""The generation loop: ask pymoo for genomes, evaluate those not yet known, tell it the results in order.

The loop is deterministic given the algorithm's seed and the evaluations: results are told in the order of asking,
however the workers finish.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pymoo.core.algorithm import Algorithm
from pymoo.core.evaluator import Evaluator
from pymoo.core.population import Population
from pymoo.problems.static import StaticProblem

from star.evaluation.evaluator import Evaluation
from star.genomes import Genome
from star.search.archive import Archive
from star.search.candidates import BASELINE, OFFSPRING, RANDOM, SEED, Candidate, Evaluated
from star.search.memory import SearchMemory
from star.search.problem import GenomeProblem
from star.search.variation import CanonicalDuplicates

EvaluateMany = Callable[[Sequence[Genome]], Iterator[tuple[int, Evaluation]]]
OnFinished = Callable[[Evaluated], None]


@dataclass(frozen=True)
class EvaluationLoop:
    """Evaluates candidates that the archive does not know, and keeps them there.

    seed: of every evaluation, for the record. on_finished is called for each candidate as it finishes. memory: answers
    what was evaluated before and keeps what is evaluated now. refuse: an infeasible evaluation of a candidate that need
    not be trained, such as one over budget; baselines are never asked.
    """

    archive: Archive
    evaluate_many: EvaluateMany
    seed: int
    on_finished: OnFinished
    memory: SearchMemory | None = None
    refuse: Callable[[Genome], Evaluation | None] = lambda genome: None

    def run(self, candidates: Sequence[Candidate]) -> None:
        """Evaluate candidates; they enter the archive in the given order, also those finished before an interrupt."""
        fresh: dict[str, Candidate] = {}
        for candidate in candidates:
            if candidate.genome.id not in self.archive:
                fresh.setdefault(candidate.genome.id, candidate)
        ordered = list(fresh.values())
        finished: dict[int, Evaluated] = {}
        try:
            for index, evaluated in self._finish(ordered):
                finished[index] = evaluated
                self.on_finished(evaluated)
        finally:
            for index in sorted(finished):
                self.archive.add(finished[index])

    def _finish(self, candidates: Sequence[Candidate]) -> Iterator[tuple[int, Evaluated]]:
        """Indices and evaluated candidates: first those that need no training, then the others as they finish."""
        waiting: list[int] = []
        for index, candidate in enumerate(candidates):
            known = self._known(candidate)
            if known is None:
                waiting.append(index)
            else:
                yield index, Evaluated(candidate, known, self.seed)
        for number, evaluation in self.evaluate_many([candidates[index].genome for index in waiting]):
            evaluated = Evaluated(candidates[waiting[number]], evaluation, self.seed)
            if self.memory is not None:
                self.memory.remember(evaluated)
            yield waiting[number], evaluated

    def _known(self, candidate: Candidate) -> Evaluation | None:
        refused = None if candidate.origin == BASELINE else self.refuse(candidate.genome)
        if refused is not None or self.memory is None:
            return refused
        return self.memory.recall(candidate.genome)


def _candidates(population: Population, generation: int, problem: GenomeProblem, seeds: set[str]) -> list[Candidate]:
    candidates = []
    for individual in population:
        genome = Genome.from_array(individual.X, problem.alphabet).canonical()
        parents = tuple(individual.get("parents") or ()) if generation else ()
        origin = OFFSPRING if parents else SEED if genome.id in seeds and not generation else RANDOM
        candidates.append(Candidate(genome, origin, generation, parents))
    return candidates


def _tell(algorithm: Algorithm, population: Population, candidates: list[Candidate], archive: Archive) -> None:
    """Hand objective values to pymoo; candidates that were not measured violate the constraint."""
    evaluated = [archive[candidate.genome.id] for candidate in candidates]
    objectives = [objective.name for objective in archive.objectives]
    values = [[e.evaluation.metrics.get(name, np.inf) for name in objectives] for e in evaluated]
    violations = [[0.0 if e.evaluation.feasible else 1.0] for e in evaluated]
    static = StaticProblem(algorithm.problem, F=np.array(values, dtype=float), G=np.array(violations))
    Evaluator().eval(static, population)
    algorithm.tell(infills=population)


def evaluate_baselines(baselines: dict[str, Genome], evaluation: EvaluationLoop) -> None:
    """Evaluate named designs before the search, under the same recipe; they set the hypervolume's reference."""
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

    seeds: ids of the genomes that seeded the first generation. Ends early when the algorithm finds no new genome.
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
