"""The generation loop: ask pymoo for genomes, evaluate those not yet known, tell it the results.

The loop is deterministic given the algorithm's seed and the evaluations: results are told in the
order of asking, however the executor finishes them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pymoo.core.evaluator import Evaluator
from pymoo.core.population import Population
from pymoo.problems.static import StaticProblem

from star.evaluation.constraints import Budget
from star.evaluation.executors import Executor, Task
from star.evaluation.executors.base import never
from star.evaluation.objectives import COSTLY, STATIC, Objective
from star.evaluation.result import Evaluation
from star.evaluation.states import StateStore
from star.genomes import Genome
from star.search.algorithms.build import BuiltAlgorithm
from star.search.archive import Archive, objective_values
from star.search.candidates import BASELINE, OFFSPRING, RANDOM, SEED, Candidate, Evaluated
from star.search.halving import SuccessiveHalving
from star.search.memory import SearchMemory
from star.search.prescreening.finals import FinalPredictor
from star.search.prescreening.prescreen import Prescreen
from star.search.replication import Replication
from star.search.space.problem import GenomeProblem
from star.search.variation.history import variation

NOTHING: Mapping[int, Evaluated] = {}


@dataclass(frozen=True)
class Repeated:
    """How far a round of trainings with further seeds is."""

    finished: int
    total: int
    seconds: float = 0.0  # that the last of the finished ones took
    is_new: bool = False  # now, and not before an interruption or by another run


def ignore(finished: object) -> None:
    """Who is told where nobody is."""


OnFinished = Callable[[Evaluated], None]
OnRepeated = Callable[[Repeated], None]


@dataclass(frozen=True)
class EvaluationLoop:
    """Evaluates candidates that the archive does not know, and keeps them there."""

    archive: Archive
    executor: Executor
    halving: SuccessiveHalving  # how far each is trained
    budget: Budget  # of every candidate; baselines are trained all the same
    seed: int  # of every evaluation, for the record
    on_finished: OnFinished  # called for each candidate as it finishes
    memory: SearchMemory | None = None  # answers what was evaluated before; None remembers nothing
    states: StateStore | None = None  # of trainings that are under way
    check: Callable[[], None] = never  # called between results; may raise to end the search
    replication: Replication | None = None  # who is trained with further seeds; None: nobody
    finals: FinalPredictor | None = None  # promotes by predicted ends; None by what is measured
    on_repeated: OnRepeated = ignore  # called as a round of further seeds begins, and for each

    def run(self, candidates: Sequence[Candidate]) -> None:
        """Evaluate candidates.

        They enter the archive in the given order, also those that finished before an interrupt.
        """
        fresh: dict[str, Candidate] = {}
        for candidate in candidates:
            if candidate.genome.id not in self.archive:
                fresh.setdefault(candidate.genome.id, candidate)
        finished: dict[int, Evaluated] = {}
        try:
            for index, evaluated in self._finish(dict(enumerate(fresh.values()))):
                finished[index] = evaluated
                self.on_finished(evaluated)
        finally:
            for index in sorted(finished):
                self.archive.add(finished[index])

    def _finish(self, candidates: dict[int, Candidate]) -> Iterator[tuple[int, Evaluated]]:
        """Indices and evaluated candidates.

        Baselines come first, since they are trained to the end whatever halving and the budget say;
        then those that the budget refuses, which need no training.
        """
        baselines = {
            index: candidate
            for index, candidate in candidates.items()
            if candidate.origin == BASELINE
        }
        for index, evaluated in self._measure(baselines, self.halving.rungs[-1], COSTLY):
            yield index, self._judged(evaluated)
        competing: dict[int, Candidate] = {}
        for index, candidate in candidates.items():
            if index in baselines:
                continue
            refused = self.budget.refuse(candidate.genome)
            if refused is not None:
                yield index, Evaluated(candidate, refused, self.seed)
            else:
                competing[index] = candidate
        for index, evaluated in self._climb(competing):
            yield index, self._judged(evaluated)

    def _measure(
        self,
        candidates: dict[int, Candidate],
        rung: int,
        costs: tuple[str, ...],
        gate: Mapping[int, Evaluated] = NOTHING,
    ) -> Iterator[tuple[int, Evaluated]]:
        """Evaluate candidates to a rung: first those that memory answers.

        Args:
            candidates: by index.
            rung: finished steps.
            costs: classes of the objectives to measure beside static ones.
            gate: what was measured before all training, which each result takes over.
        """
        indices, tokens = list(candidates), self.halving.tokens(rung)

        def made(number: int, evaluation: Evaluation) -> Evaluated:
            index = indices[number]
            evaluation = _with_gate(evaluation, gate.get(index))
            return self._evaluated(candidates[index], evaluation, tokens)

        tasks = [Task(candidate.genome, rung, costs) for candidate in candidates.values()]
        for number, evaluated in self._obtain(tasks, [self.memory] * len(tasks), made):
            yield indices[number], evaluated

    def _obtain(
        self,
        tasks: Sequence[Task],
        memories: Sequence[SearchMemory | None],
        made: Callable[[int, Evaluation], Evaluated],
    ) -> Iterator[tuple[int, Evaluated]]:
        """Numbers of tasks and what they gave: first those that their memory answers, then those
        that the executor evaluates, which are remembered at once.

        Args:
            tasks: to evaluate.
            memories: of each; None remembers nothing.
            made: the candidate of a task, by its number and its evaluation.
        """
        waiting: list[int] = []
        for number, (task, memory) in enumerate(zip(tasks, memories, strict=True)):
            known = memory.recall(task.genome, task.steps) if memory else None
            if known is None:
                waiting.append(number)
            else:
                yield number, made(number, known)
        for place, evaluation in self.executor.evaluate([tasks[number] for number in waiting]):
            number = waiting[place]
            evaluated, memory = made(number, evaluation), memories[number]
            if memory:
                memory.remember(evaluated, tasks[number].steps)
            yield number, evaluated
            self.check()

    def _evaluated(self, candidate: Candidate, evaluation: Evaluation, tokens: int) -> Evaluated:
        """A candidate with its result. tokens: of one of its trainings, where it was measured."""
        spent = tokens if evaluation.measured else 0
        seeds = self.budget.recipe.evaluation.seeds
        return Evaluated(candidate, evaluation, self.seed, spent, seeds)

    def _climb(self, candidates: dict[int, Candidate]) -> Iterator[tuple[int, Evaluated]]:
        """Evaluate candidates from rung to rung; those not promoted, or that fail, leave.

        With rungs 10, 50 and 100, all are trained for 10 steps and measured. Those promoted go on
        to 50, the others are yielded as stopped after 10; those promoted again go on to 100.
        Without successive halving there is one rung, and this is one evaluation of each.
        """
        before: dict[int, Evaluated] = {}  # what each gave at the rung below
        gate: dict[int, Evaluated] = {}  # and at rung 0, if there is one
        climbing = candidates
        *lower, last = self.halving.rungs
        for rung in lower:
            reached: dict[int, Evaluated] = {}
            for index, evaluated in self._measure(climbing, rung, self.halving.costs(rung), gate):
                evaluated = _with_earlier(evaluated, before.get(index))
                if rung == 0:
                    evaluated = self._judged(evaluated)
                if evaluated.evaluation.measured:
                    reached[index] = evaluated
                else:
                    yield index, evaluated
            # In the order of asking, which decides between equals, not in that of finishing.
            before = {index: reached[index] for index in sorted(reached)}
            gate = before if rung == 0 else gate
            climbing = {n: candidates[n] for n in self._promoted(rung, before, len(climbing))}
            for index, evaluated in before.items():
                if index not in climbing:
                    yield index, self.halving.stopped(evaluated, rung)
        for index, evaluated in self._measure(climbing, last, self.halving.costs(last), gate):
            yield index, _with_earlier(evaluated, before.get(index))
        if self.states is not None and lower:
            self.states.clear()  # the generation that they belong to is finished

    def _promoted(self, rung: int, reached: Mapping[int, Evaluated], brought: int) -> list[int]:
        """Indices of those that go on from a rung, ascending.

        Args:
            rung: finished steps.
            reached: those that were measured there, by index.
            brought: how many were to be; whom a rung 0 refuses is of those who leave, so that it
                costs no others their place.
        """
        self.halving.reached.setdefault(rung, []).extend(reached.values())
        objectives, evaluated = self._deciding(rung), list(reached.values())
        values = objective_values(objectives, evaluated)
        if self.finals is not None and rung > 0:
            values = self.finals.replace(values, objectives, evaluated, rung)
        places = self.halving.places(brought) if rung == 0 else None
        indices = list(reached)
        return [indices[number] for number in self.halving.promoted(rung, values, places)]

    def _judged(self, evaluated: Evaluated) -> Evaluated:
        """The candidate, infeasible where what is known of it breaks a constraint."""
        return replace(evaluated, evaluation=self.budget.judge(evaluated.evaluation))

    def _deciding(self, rung: int) -> list[Objective]:
        """The objectives that rank candidates at a rung.

        Before all training these are the static ones, and those that train models of their own,
        also where they are limited only.
        """
        if rung > 0:
            return self.archive.objectives
        static = [o for o in self.archive.objectives if o.cost == STATIC]
        return [*static, *self.budget.measured.before_training()]

    def replicate(self) -> None:
        """Train those whose place is uncertain with further seeds, until it is not."""
        replication = self.replication
        while replication is not None and (chosen := replication.chosen(self.archive)):
            for (first, seed), training in zip(chosen, self._repeat(chosen), strict=True):
                together = replication.add(first, seed, training)
                self.archive.add(self._judged(together))

    def _repeat(self, chosen: Sequence[tuple[Evaluated, int]]) -> list[Evaluated]:
        """Train candidates to the end, each with the seed beside it; in the same order."""
        last = self.halving.rungs[-1]
        tokens, memory = self.halving.tokens(last), self.memory
        views = {seed: memory.with_seed(seed) if memory else None for _, seed in chosen}
        tasks = [Task(first.candidate.genome, last, seed=seed) for first, seed in chosen]

        def made(number: int, evaluation: Evaluation) -> Evaluated:
            return self._evaluated(chosen[number][0].candidate, evaluation, tokens)

        found: dict[int, Evaluated] = {}
        self.on_repeated(Repeated(0, len(chosen)))
        for number, training in self._obtain(tasks, [views[seed] for _, seed in chosen], made):
            found[number] = training
            view, seconds = views[chosen[number][1]], training.evaluation.train_seconds
            is_new = view is None or training.genome_id not in view.recalled
            self.on_repeated(Repeated(len(found), len(chosen), seconds, is_new))
        return [found[number] for number in range(len(chosen))]


def _with_gate(evaluation: Evaluation, gate: Evaluated | None) -> Evaluation:
    """A result with what was measured before all training."""
    if gate is None:
        return evaluation
    return replace(evaluation, metrics={**gate.evaluation.metrics, **evaluation.metrics})


def _with_earlier(evaluated: Evaluated, earlier: Evaluated | None) -> Evaluated:
    """A rung's result with the seconds of the rungs before it.

    And with their tokens, where it has none of its own.
    """
    if earlier is None:
        return evaluated
    seconds = evaluated.evaluation.train_seconds + earlier.evaluation.train_seconds
    evaluation = replace(evaluated.evaluation, train_seconds=seconds)
    tokens = evaluated.train_tokens or earlier.train_tokens
    return replace(evaluated, evaluation=evaluation, train_tokens=tokens)


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
    have reached; what it stopped before training has none, and violates the constraint too.
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
    prescreen: Prescreen | None = None,
) -> Iterator[int]:
    """Run generations, yielding the number of each (from 0) when it is finished.

    Ends early when the algorithm finds no new genome.

    Args:
        built: the algorithm, set up on its problem.
        generations: the most.
        evaluation: what evaluates candidates.
        seeds: ids of the genomes that seeded the first generation.
        prescreen: ranks a surplus of children before they are trained; None trains all.
    """
    problem = built.algorithm.problem
    assert isinstance(problem, GenomeProblem)
    for generation in range(generations):
        if prescreen is not None and generation:  # there are no children in the first
            prescreen.prepare(generation, evaluation.archive, evaluation.halving)
        population = built.algorithm.ask()
        if population is None or len(population) == 0:
            return
        candidates = _candidates(population, generation, problem, seeds)
        # All of them, also those that will fail: no genome is proposed twice.
        built.duplicates.proposed.update(candidate.genome.id for candidate in candidates)
        evaluation.run(candidates)
        evaluation.replicate()
        if evaluation.replication is not None:  # parents have other values now
            _refresh(built, evaluation.archive)
        _tell(built, population, candidates, evaluation.archive)
        yield generation
