"""The generation loop: ask pymoo for genomes, have them evaluated, tell it the results.

The loop is deterministic given the algorithm's seed and the evaluations: results are told in the
order of asking, however the executor finishes them. `star.search.evaluating` evaluates.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from pymoo.core.evaluator import Evaluator
from pymoo.core.population import Population
from pymoo.problems.static import StaticProblem

from star.genomes import Genome
from star.search.algorithms.build import BuiltAlgorithm
from star.search.archive import Archive
from star.search.candidates import BASELINE, OFFSPRING, RANDOM, SEED, Candidate
from star.search.evaluating import EvaluationLoop
from star.search.halving import SuccessiveHalving
from star.search.space.problem import GenomeProblem
from star.search.variation.history import variation


class Learner(Protocol):
    """Learns from a search, and says something about its next generation."""

    def prepare(self, generation: int, archive: Archive, halving: SuccessiveHalving) -> None:
        """Take in what was measured before a generation, from 0."""
        ...


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
    built: BuiltAlgorithm, population: Population, candidates: list[Candidate], archive: Archive
) -> None:
    """Hand objective values to pymoo; what was not measured, or is over budget, violates the
    constraint.

    What successive halving stopped has its loss after fewer steps, which is above what it would
    have reached.
    """
    _set_values(built, population, [candidate.genome.id for candidate in candidates], archive)
    built.algorithm.tell(infills=population)


def _set_values(
    built: BuiltAlgorithm,
    population: Population,
    genome_ids: Sequence[str],
    archive: Archive,
) -> None:
    """Give individuals the objective values that the archive has of their genomes."""
    evaluated = [archive[genome_id] for genome_id in genome_ids]
    # What was not measured is infinitely bad: `sign * inf` is turned to +inf by the sign before it.
    values = [
        [o.sign * e.evaluation.metrics.get(o.name, o.sign * np.inf) for o in archive.objectives]
        for e in evaluated
    ]
    names = {objective.name for objective in archive.objectives}
    violations = [
        [0.0 if e.evaluation.measured and names <= e.evaluation.metrics.keys() else 1.0]
        for e in evaluated
    ]
    static = StaticProblem(
        built.algorithm.problem, F=np.array(values, dtype=float), G=np.array(violations)
    )
    Evaluator(skip_already_evaluated=False).eval(static, population)


def _refresh(built: BuiltAlgorithm, archive: Archive) -> None:
    """Give the parents, who were told with fewer seeds, the values of now."""
    parents, problem = built.algorithm.pop, built.algorithm.problem
    assert isinstance(problem, GenomeProblem)
    if parents is not None and len(parents):
        ids = [problem.genome(individual.X).canonical().id for individual in parents]
        _set_values(built, parents, ids, archive)


def evaluate_baselines(baselines: dict[str, Genome], evaluation: EvaluationLoop) -> None:
    """Evaluate named designs before the search, under the same recipe.

    They set the hypervolume's reference.
    """
    evaluation.run([Candidate(genome, BASELINE, 0) for genome in baselines.values()])
    evaluation.archive.fix_reference()


def run_generations(
    built: BuiltAlgorithm,
    generations: int,
    evaluation: EvaluationLoop,
    seeds: set[str],
    learners: Sequence[Learner] = (),
) -> Iterator[int]:
    """Run generations, yielding the number of each (from 0) when it is finished.

    Ends early when the algorithm finds no new genome.

    Args:
        built: the algorithm, set up on its problem.
        generations: the most.
        evaluation: what evaluates candidates.
        seeds: ids of the genomes that seeded the first generation.
        learners: are told what was measured before each generation but the first.
    """
    problem = built.algorithm.problem
    assert isinstance(problem, GenomeProblem)
    for generation in range(generations):
        for learner in learners if generation else ():  # there are no children in the first
            learner.prepare(generation, evaluation.archive, evaluation.halving)
        population = built.algorithm.ask()
        if population is None or len(population) == 0:
            if built.growing is None or built.growing.is_last:
                return
            built.growing.is_exhausted = True
            yield generation
            continue
        candidates = _candidates(population, generation, problem, seeds)
        # All of them, also those that will fail: no genome is proposed twice.
        built.duplicates.proposed.update(candidate.genome.id for candidate in candidates)
        evaluation.run(candidates)
        evaluation.replicate()
        if evaluation.replication is not None:  # parents have other values now
            _refresh(built, evaluation.archive)
        _tell(built, population, candidates, evaluation.archive)
        yield generation
