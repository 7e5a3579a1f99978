"""A validation from its settings: which trainings there are, and their place beside the run.

    validation = Validation.from_config(compose_config("validate", ["run=runs/mine", ...]))
    results = validation.run()

A ledger in `<run>/validation` keeps every finished training, so that the same settings go on.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from star.base.errors import UserError
from star.base.files import write_text, writing
from star.base.interrupts import deferred_interrupt
from star.base.settings import differences, expect
from star.data import load_corpus
from star.evaluation import Evaluation, Measured, Recipe
from star.evaluation.constraints import Budget, read_limits
from star.evaluation.executors import Executor, Setup, TableConfig, Task
from star.evaluation.executors.base import never
from star.evaluation.recipe import DataConfig, EvaluationConfig, TrainingConfig
from star.genomes import GenomeError
from star.runs.claim import claimed_folder, locked_folder
from star.runs.extensions import use_extensions
from star.runs.folder import LEDGER
from star.runs.provenance import CONFIGURATION, read_configuration, write_provenance
from star.runs.run import Run
from star.runs.validated import VALIDATED, mark_front
from star.search import EvolveConfig
from star.search.candidates import Candidate, Evaluated
from star.search.memory import RUN, SearchMemory, open_memory
from star.search.recipe import make_recipe, read_fingerprint
from star.search.space.baselines import read_baselines
from star.validating.config import TRAINED, ValidateConfig, fresh_seeds, search_config
from star.validating.designs import Design, choose_designs
from star.validating.progress import ValidationProgress
from star.validating.results import Results

FOLDER = "validation"  # within the run's
FINGERPRINT = "data_fingerprint"


@dataclass
class Validation:
    """One validation: everything it needs, checked."""

    config: ValidateConfig
    searched: Run
    search: EvolveConfig  # of the run, but with this training and this text
    recipe: Recipe  # of every training, with the first seed
    measured: Measured
    budget: Budget  # the constraints of the search
    designs: list[Design]
    seeds: list[int]
    fingerprint: str  # of the text
    notices: list[str]  # what a user should know before it begins
    executor: Executor | None = None  # None: the one of the configuration

    @classmethod
    def from_config(cls, config: ValidateConfig, executor: Executor | None = None) -> "Validation":
        """Check every setting and choose the designs; nothing is written or started.

        Args:
            config: the settings, see `star.base.command_line.compose_config`.
            executor: evaluates the candidates; None is what `config.executor` makes.

        Raises:
            UserError: for a run that cannot be validated, and for the first setting that cannot be
                used.
        """
        run = Run.open(config.run)
        search = search_config(run)
        config.check()
        _check_longer(config, search)
        use_extensions(search.plugins, search.library)
        names, notices = _baseline_names(search)
        designs = choose_designs(run, names, config.validation.sample)
        seeds = fresh_seeds(search.seed, config.validation.seeds)
        search = _longer(search, config, seeds[0])
        measured, recipe = make_recipe(search)
        fingerprint = read_fingerprint(search, recipe, executor)
        if executor is None:
            _check_room(recipe)
            before = run.settings.get(FINGERPRINT, fingerprint)
            if before != fingerprint:
                notices.append(
                    "the text is another than the search's, so that windows it was judged by may "
                    "be among these"
                )
        budget = Budget(read_limits(search.constraints, measured), measured, recipe)
        return cls(
            config, run, search, recipe, measured, budget, designs, seeds, fingerprint, notices,
            executor,
        )  # fmt: skip

    @property
    def folder(self) -> Path:
        """Where its ledger lies."""
        return self.searched.path / FOLDER

    @property
    def minimised(self) -> list[str]:
        """Names of the search's objectives."""
        return [o.name for o in self.measured.selected(self.search.search.objectives)]

    @property
    def also(self) -> list[str]:
        """Names of what it measures beside what the search measured."""
        asked = self.config.validation.also_measure
        named = self.measured.references
        return [name for name in self.measured.names if {name, named.get(name)} & {*asked}]

    def settings(self) -> dict[str, Any]:
        """What its folder keeps: the resolved configuration and the data's fingerprint."""
        return {**asdict(self.config), FINGERPRINT: self.fingerprint}

    def run(
        self, progress: ValidationProgress | None = None, arguments: Sequence[str] | None = None
    ) -> Results:
        """Train what its ledger does not know, and write `validated.csv`.

        Ctrl-C raises KeyboardInterrupt with everything kept that was finished.

        Args:
            progress: shows how far it is.
            arguments: of the command that repeats it; None where there is none.

        Raises:
            UserError: for a run or a folder that another process works in, that cannot be written,
                or that holds a validation with other settings.
        """
        with self._opened(arguments) as memory:
            trainings = self._trainings(memory, progress or ValidationProgress())
            results = Results(
                self.designs, trainings, self.measured, self.minimised, self.budget, self.seeds,
                self.also,
            )  # fmt: skip
            with writing(self.searched.path):
                write_text(self.searched.path / VALIDATED, results.csv())
                mark_front(self.searched.path)
        return results

    @contextmanager
    def _opened(self, arguments: Sequence[str] | None) -> Iterator[SearchMemory]:
        """Its ledger, while nobody else works in the run's folder."""
        path, folder = self.searched.path, self.folder
        with ExitStack() as opened:
            opened.enter_context(locked_folder(path, "run"))
            if (path / VALIDATED).exists() and not (folder / CONFIGURATION).exists():
                raise UserError(
                    f"run={path}: holds {VALIDATED} without {FOLDER}/{CONFIGURATION} of a "
                    "validation that left it, and would be overwritten; move it away"
                )
            opened.enter_context(claimed_folder(folder, (), self._check_same, (LEDGER,)))
            memory = open_memory(
                RUN, folder, self.recipe, self.measured, self.fingerprint, self.minimised
            )
            opened.callback(memory.close)
            write_provenance(folder, "validate", self.settings(), self.fingerprint, arguments)
            yield memory

    def _check_same(self) -> None:
        """Raise `UserError` where the folder holds a validation with other settings."""
        there, here = read_configuration(self.folder), self.settings()
        if FINGERPRINT not in there or not all(isinstance(there.get(n), dict) for n in TRAINED):
            raise UserError(f"run={self.searched.path}: {FOLDER} there is not of a validation")
        usual = {"training": asdict(TrainingConfig()), "data": asdict(DataConfig())}
        before = {name: {**usual[name], **there[name]} for name in TRAINED}
        before[FINGERPRINT] = there[FINGERPRINT]
        now = {name: here[name] for name in before}
        changed = list(differences({**before, **_measured(there)}, {**now, **_measured(here)}))
        if changed:
            raise UserError(
                f"run={self.searched.path}: was validated with other settings "
                f"({'; '.join(changed)}); the same settings go on from there, and moving "
                f"{self.folder} away begins anew"
            )

    def _trainings(
        self, memory: SearchMemory, progress: ValidationProgress
    ) -> list[list[Evaluation]]:
        """What each design gave with each seed, (designs, seeds)."""
        steps, designs = self.recipe.training.steps, self.designs
        memories = [memory.with_seed(seed) for seed in self.seeds]
        progress.started(len(designs), len(self.seeds), self._at_once())
        found: dict[tuple[int, int], Evaluation] = {}
        waiting: list[tuple[int, int]] = []
        # With one seed after the other, so that an early end leaves all designs with some seeds.
        for place in ((d, s) for s in range(len(self.seeds)) for d in range(len(designs))):
            known = memories[place[1]].recall(designs[place[0]].candidate.genome, steps)
            if known is None:
                waiting.append(place)
            else:
                found[place] = known
                progress.finished(known.train_seconds, False)
        tasks = [Task(designs[d].candidate.genome, steps, seed=self.seeds[s]) for d, s in waiting]
        for place, evaluation in self._evaluate(waiting, tasks):
            design, seed = place
            training = _training(designs[design], evaluation, self.seeds[seed])
            memories[seed].remember(training, steps)
            found[place] = evaluation
            progress.finished(evaluation.train_seconds, True)
        rows = range(len(designs))
        return [[found[row, number] for number in range(len(self.seeds))] for row in rows]

    def _evaluate(
        self, places: Sequence[tuple[int, int]], tasks: Sequence[Task]
    ) -> Iterator[tuple[tuple[int, int], Evaluation]]:
        if not tasks:
            return
        with deferred_interrupt() as interrupt, self._make_executor(interrupt.check) as executor:
            between = never if self.executor is None else interrupt.check
            for index, evaluation in executor.evaluate(tasks):
                yield places[index], evaluation
                between()

    def _at_once(self) -> int:
        return 1 if self.executor is not None else self.config.executor.at_once(self.recipe)

    def _make_executor(self, check: Callable[[], None]) -> Executor:
        if self.executor is not None:
            return self.executor
        setup = Setup(
            self.recipe,
            self.config.limits,
            check=check,
            plugins=self.search.plugins,
            fingerprint=self.fingerprint,
            sources=self.measured.sources(),
        )
        return self.config.executor.make(setup)


def _check_longer(config: ValidateConfig, search: EvolveConfig) -> None:
    """Raise `UserError` for a validation that would not train, or no longer than the search."""
    if isinstance(config.executor, TableConfig):
        raise UserError("executor=table: trains nothing; expected processes or ray")
    before, steps = search.training.steps, config.training.steps
    expected = f"more than the {before} of the search, such as training.steps={10 * before}"
    expect("training.steps", steps, steps > before, expected)


def _training(design: Design, evaluation: Evaluation, seed: int) -> Evaluated:
    """One training of a design as ledgers keep it."""
    candidate = design.candidate
    origin = Candidate(candidate.genome, candidate.origin, candidate.generation, candidate.parents)
    return Evaluated(origin, evaluation, seed)


def _longer(search: EvolveConfig, config: ValidateConfig, seed: int) -> EvolveConfig:
    """The search's settings with the training and text of its validation.

    Held-out windows are none that the search has seen; each training is of one seed.
    """
    before = search.training
    windows = before.validation_batches * before.validation_batch_size
    seen = [windows, before.validation_length or before.length]
    seen *= 2 if before.learning_rates else 1  # which had windows to choose by, too
    return replace(
        search,
        training=config.training,
        data=replace(config.data, apart_from=[*(config.data.apart_from or []), *seen]),
        search=replace(search.search, also_measure=_also_measured(search, config)),
        objectives={**search.objectives, **config.objectives},
        seed=seed,
        evaluation=EvaluationConfig(),  # each seed is a training of its own here
        executor=config.executor,
    )


def _measured(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a validation asks to measure beside, of its settings; nothing of earlier versions."""
    also = settings.get("validation", {}).get("also_measure", [])
    return {"validation": {"also_measure": also}, "objectives": settings.get("objectives", {})}


def _also_measured(search: EvolveConfig, config: ValidateConfig) -> list[str]:
    """References to all that is measured beside the objectives."""
    return list(dict.fromkeys((*search.search.also_measure, *config.validation.also_measure)))


def _check_room(recipe: Recipe) -> None:
    """Raise `UserError` unless the held-out text has room for windows that are new."""
    training = recipe.training
    sample = training.validation_batches, training.validation_batch_size
    length = training.validation_length or training.length
    is_choosing = bool(training.learning_rates)
    next(load_corpus(recipe.data).validation_batches(*sample, length, is_choosing))


def _baseline_names(search: EvolveConfig) -> tuple[dict[str, str], list[str]]:
    """Names of the baselines by genome id, and a notice where they cannot be read any more."""
    try:
        found, _ = read_baselines(search)
    except (UserError, GenomeError) as error:
        return {}, [f"baselines are shown by their ids ({error})"]
    return {genome.id: name for name, genome in reversed(found.items())}, []
