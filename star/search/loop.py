"""The generation loop: ask pymoo for genomes, evaluate those not yet known, tell it the results in order.

The loop is deterministic given the algorithm's seed and the evaluations: results are told in the order of asking,
however the workers finish.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from pymoo.core.algorithm import Algorithm
from pymoo.core.evaluator import Evaluator
from pymoo.core.population import Population
from pymoo.problems.static import StaticProblem

from star.evaluation.evaluator import Evaluation
from star.genomes import Genome
from star.search.archive import Archive
from star.search.candidates import BASELINE, OFFSPRING, RANDOM, SEED, Candidate, Evaluated
from star.search.problem import GenomeProblem
from star.search.variation import CanonicalDuplicates

EvaluateMany = Callable[[Sequence[Genome]], Iterator[tuple[int, Evaluation]]]
OnFinished = Callable[[Evaluated], None]


def evaluate_candidates(
    candidates: Sequence[Candidate],
    archive: Archive,
    evaluate_many: EvaluateMany,
    seed: int,
    on_finished: OnFinished,
) -> None:
    """Evaluate candidates the archive does not know; they enter it in the given order.

    `on_finished` is called for each as it finishes. What has finished when an interrupt comes is kept.
    """
    fresh = {c.genome.id: c for c in reversed(candidates) if c.genome.id not in archive}
    ordered = [c for n, c in enumerate(candidates) if fresh.get(c.genome.id) is c]
    finished: dict[int, Evaluated] = {}
    try:
        for index, evaluation in evaluate_many([candidate.genome for candidate in ordered]):
            finished[index] = Evaluated(ordered[index], evaluation, seed)
            on_finished(finished[index])
    finally:
        for index in sorted(finished):
            archive.add(finished[index])


def _candidates(population: Population, generation: int, problem: GenomeProblem, seeds: set[str]) -> list[Candidate]:
    candidates = []
    for individual in population:
        genome = Genome.from_array(individual.X, problem.alphabet).canonical()
        origin = OFFSPRING if generation else SEED if genome.id in seeds else RANDOM
        parents = tuple(individual.get("parents") or ()) if generation else ()
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


def evaluate_baselines(
    baselines: dict[str, Genome],
    archive: Archive,
    evaluate_many: EvaluateMany,
    seed: int,
    on_finished: OnFinished,
) -> None:
    """Evaluate named designs before the search, under the same recipe."""
    candidates = [Candidate(genome, BASELINE, 0) for genome in baselines.values()]
    evaluate_candidates(candidates, archive, evaluate_many, seed, on_finished)
    archive.fix_reference()


def run_generations(
    algorithm: Algorithm,
    generations: int,
    archive: Archive,
    evaluate_many: EvaluateMany,
    seed: int,
    seeds: set[str],
    duplicates: CanonicalDuplicates,
    on_finished: OnFinished,
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
        evaluate_candidates(candidates, archive, evaluate_many, seed, on_finished)
        _tell(algorithm, population, candidates, archive)
        yield generation
