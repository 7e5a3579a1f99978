"""The evaluation of a generation's candidates: from memory or the executor, rung by rung, under the
constraints, and with further seeds; the archive keeps what comes of it.

`star.search.loop` says which candidates, `star.evaluation.evaluate` what happens to one of them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from star.evaluation.constraints import Budget
from star.evaluation.executors import Executor, Task
from star.evaluation.executors.base import never
from star.evaluation.objectives import COSTLY
from star.evaluation.result import Evaluation
from star.evaluation.states import StateStore
from star.search.archive import Archive, objective_values
from star.search.candidates import BASELINE, Candidate, Evaluated
from star.search.halving import SuccessiveHalving
from star.search.memory import SearchMemory
from star.search.prescreening.finals import FinalPredictor
from star.search.replication import Replication

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
        first: Mapping[int, Evaluated] = NOTHING,
    ) -> Iterator[tuple[int, Evaluated]]:
        """Evaluate candidates to a rung: first those that memory answers.

        Args:
            candidates: by index.
            rung: finished steps.
            costs: classes of the objectives to measure beside static ones.
            first: what was measured at the first rung, which is not measured again.
        """
        indices, tokens = list(candidates), self.halving.tokens(rung)

        def made(number: int, evaluation: Evaluation) -> Evaluated:
            index = indices[number]
            # Without a rung 0 the first one has losses too, which a failure must not keep.
            if evaluation.measured or self.halving.rungs[0] == 0:
                evaluation = _with_first(evaluation, first.get(index))
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
        first: dict[int, Evaluated] = {}  # and at the first of all
        climbing = candidates
        *lower, last = self.halving.rungs
        for rung in lower:
            reached: dict[int, Evaluated] = {}
            for index, evaluated in self._measure(climbing, rung, self.halving.costs(rung), first):
                evaluated = _with_earlier(evaluated, before.get(index))
                if rung == 0:
                    evaluated = self._judged(evaluated)
                if evaluated.evaluation.measured:
                    reached[index] = evaluated
                else:
                    yield index, evaluated
            # In the order of asking, which decides between equals, not in that of finishing.
            before = {index: reached[index] for index in sorted(reached)}
            first = before if rung == self.halving.rungs[0] else first
            climbing = {n: candidates[n] for n in self._promoted(rung, before)}
            for index, evaluated in before.items():
                if index not in climbing:
                    yield index, self.halving.stopped(evaluated, rung)
        for index, evaluated in self._measure(climbing, last, self.halving.costs(last), first):
            yield index, _with_earlier(evaluated, before.get(index))
        if self.states is not None and lower:
            self.states.clear()  # the generation that they belong to is finished

    def _promoted(self, rung: int, reached: Mapping[int, Evaluated]) -> list[int]:
        """Indices of those that go on from a rung, ascending; from a rung 0 all, it only refuses.

        Args:
            rung: finished steps.
            reached: those that were measured there, by index.
        """
        self.halving.reached.setdefault(rung, []).extend(reached.values())
        indices, evaluated = list(reached), list(reached.values())
        if rung == 0:
            return indices
        values = objective_values(self.archive.objectives, evaluated)
        if self.finals is not None:
            values = self.finals.replace(values, self.archive.objectives, evaluated, rung)
        return [indices[number] for number in self.halving.promoted(rung, values)]

    def _judged(self, evaluated: Evaluated) -> Evaluated:
        """The candidate, infeasible where what is known of it breaks a constraint."""
        return replace(evaluated, evaluation=self.budget.judge(evaluated.evaluation))

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


def _with_first(evaluation: Evaluation, first: Evaluated | None) -> Evaluation:
    """A result with what only the first rung measured."""
    if first is None:
        return evaluation
    return replace(evaluation, metrics={**first.evaluation.metrics, **evaluation.metrics})


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
