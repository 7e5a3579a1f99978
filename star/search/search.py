"""A search from its settings: one entrance for the command, tests, studies and notebooks.

    run = Search.from_config(compose_config("evolve", ["+experiment=smoke"])).run()
    print(run.front)

`from_config` checks every setting and builds what is needed, and writes nothing. `run` leaves a run
folder and resumes one; `generations` is the same search in memory.
"""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from textwrap import shorten
from typing import Any

from star.base import files
from star.base.errors import UserError
from star.base.files import remove_leftovers, writing
from star.base.interrupts import deferred_interrupt
from star.base.loggers import EVENTS, REMEMBERED, LoggedRun, Loggers
from star.base.reading import expanded
from star.evaluation import Measured, Recipe
from star.evaluation.constraints import Budget, read_limits
from star.evaluation.executors import Executor, Setup
from star.evaluation.executors.base import never
from star.evaluation.recipe import DEVIATION, recipe_id
from star.evaluation.states import StateStore
from star.genomes import Genome
from star.runs.claim import claimed_folder
from star.runs.extensions import use_extensions
from star.runs.folder import (
    GENOMES,
    LEDGER,
    PARETO,
    POPULATION,
    PRESCREEN,
    STATES,
    RunFolder,
    Views,
)
from star.runs.genome_files import SUMS
from star.runs.names import composition
from star.runs.origin import origin_settings
from star.runs.progress import Progress
from star.runs.provenance import check_same_run, new_folder, write_provenance
from star.runs.report.live import FIGURES, REPORT, LiveReport
from star.runs.run import Run
from star.search.algorithms.build import BuiltAlgorithm, build_algorithm
from star.search.archive import Archive
from star.search.bayesian.guide import Guide, make_guide
from star.search.candidates import SEED, Evaluated, genome_file
from star.search.config import ONE_SHOT, EvolveConfig
from star.search.evaluating import EvaluationLoop, OnFinished, OnRepeated, Repeated, ignore
from star.search.halving import SuccessiveHalving
from star.search.loop import evaluate_baselines, run_generations
from star.search.memory import RUN, SearchMemory, check_ledger, open_memory
from star.search.prescreening.build import make_finals, make_prescreen
from star.search.prescreening.prescreen import Prescreen
from star.search.recipe import device_notices, make_recipe, read_fingerprint
from star.search.replication import Replication
from star.search.space.baselines import read_baselines
from star.search.space.fitting import Fitting
from star.search.space.mixing import expect_pretrained, of_hybrid
from star.search.space.problem import GenomeProblem
from star.search.space.seeds import read_first_genomes
from star.search.stopping import Stopping
from star.search.upgrade import count_as_before, upgrade_settings

# Settings that change no evaluation: they may differ when a run is resumed.
FREE = {
    *("run_dir", "experiment_name", "executor", "ledger", "limits", "report", "plugins", "library"),
    *("loggers", "search.generations", "search.stop"),
}
# What a search leaves in its folder beside its provenance, and a folder of others must not hold.
WRITTEN = (
    *(POPULATION, PARETO, PRESCREEN, STATES, f"{GENOMES}/{SUMS}", REPORT, FIGURES),
    *(EVENTS, REMEMBERED),
)


@dataclass
class Search:
    """One search: everything it needs, checked and built, and what it has found so far."""

    config: EvolveConfig
    recipe: Recipe  # of every evaluation
    measured: Measured  # the objectives that are measured
    budget: Budget  # the constraints
    baselines: dict[str, Genome]
    problem: GenomeProblem
    seeds: list[Genome]
    built: BuiltAlgorithm
    fingerprint: str  # of the data
    notices: list[str]  # what a user should know before it begins
    executor: Executor | None  # None: the one of the configuration
    archive: Archive
    prescreen: Prescreen | None = None  # ranks a surplus of children before they are trained
    guide: Guide | None = None  # what a Bayesian algorithm asks
    ended_by: str = ""  # why it ended before its last generation

    @classmethod
    def from_config(cls, config: EvolveConfig, executor: Executor | None = None) -> "Search":
        """Check every setting and build the search; nothing is written or started.

        Args:
            config: the settings, see `star.base.command_line.compose_config`.
            executor: evaluates the candidates; None is what `config.executor` makes.

        Raises:
            UserError: for the first setting that cannot be used.
            GenomeError: for sizes that a design cannot have.
        """
        use_extensions(config.plugins, config.library)
        config, kept = count_as_before(config)
        config, follows = of_hybrid(config)
        config.check()
        measured, recipe = make_recipe(config)
        expect_pretrained(measured, config.search.space.alphabet, recipe)
        objectives = measured.selected(config.search.objectives)
        sizes = [] if config.model.match else [config.model, config.model.when_trained()]
        problem = GenomeProblem.from_config(
            config.search, config.depth, len(objectives), sizes, config.model
        )
        budget = Budget(read_limits(config.constraints, measured), measured, recipe)
        is_whole = config.search.space.mode == ONE_SHOT  # else it grows, from genomes of its own
        fitting = Fitting(problem, budget) if budget.static and is_whole else None
        seeds, changed = read_first_genomes(config, problem, fitting)
        baselines, fitted = read_baselines(config)
        notices = [
            *kept,
            *follows,
            *problem.notices(config.model.width),
            *config.search.halving.notices(measured),
            *changed,
            *fitted,
        ]
        built = build_algorithm(config.search, problem, seeds, config.seed, fitting)
        prescreen, why_not = make_prescreen(config.search, problem, objectives, budget, built)
        notices += why_not
        notices += built.growing.notices(config.search) if built.growing else []
        guide = make_guide(problem, objectives, budget, built)
        search = cls(
            config=config,
            recipe=recipe,
            measured=measured,
            budget=budget,
            baselines=baselines,
            problem=problem,
            seeds=seeds,
            built=built,
            fingerprint=read_fingerprint(config, recipe, executor),
            notices=notices,
            executor=executor,
            archive=Archive(objectives),
            prescreen=prescreen,
            guide=guide,
        )
        if executor is None:  # whose settings are checked with the fingerprint
            search.notices += device_notices(config, measured, recipe)
        return search

    def generations(
        self,
        memory: SearchMemory | None = None,
        on_finished: OnFinished = ignore,
        check: Callable[[], None] | None = None,
        states: StateStore | None = None,
        on_repeated: OnRepeated = ignore,
    ) -> Generator[int, None, None]:
        """Evaluate the baselines, then the generations; the archive fills as candidates finish.

        Yields -1 after the baselines, then the number of each finished generation, from 0.

        Args:
            memory: answers what was evaluated before; None remembers nothing.
            on_finished: called for each candidate as it finishes.
            check: called while candidates train; may raise to end the search.
            states: keeps trainings between the rungs of successive halving.
            on_repeated: called as a round of further seeds begins, and for each of its trainings.
        """
        config, training = self.config, self.config.training
        halving = SuccessiveHalving(config.search.halving, training.steps, training.tokens_per_step)
        if sum(rung > 0 for rung in halving.rungs) == 1:  # nothing goes on from where it was
            states = None
        with self._make_executor(check, states) as executor:
            wanted = config.search.replication
            replication = Replication(wanted, config.seed)
            evaluation = EvaluationLoop(
                self.archive, executor, halving, self.budget, config.seed, on_finished,
                memory, states, self._between(check), replication if wanted.most else None,
                make_finals(config.search, self.problem, self.recipe, self.archive, halving),
                on_repeated,
            )  # fmt: skip
            evaluate_baselines(self.baselines, evaluation)
            yield -1
            seeds = {self.problem.architecture(seed).id for seed in self.seeds}
            if self.guide is not None:
                self.guide.memory, self.guide.settings = memory, self._deciding()
            parts = (self.built.growing, self.prescreen, self.guide)
            learners = [part for part in parts if part is not None]
            stopping, finished = Stopping(config.search.stop), 0
            for generation in run_generations(
                self.built, config.search.generations, evaluation, seeds, learners
            ):
                yield generation
                finished += 1
                self.ended_by = stopping.reason(self.archive)
                if self.ended_by:
                    return
            if finished < (planned := config.search.generations):
                self.ended_by = (
                    f"lack of new designs: none was found after generation {finished} of {planned}"
                )

    def _deciding(self) -> dict[str, Any]:
        """Everything that decides what is proposed, ready for JSON."""
        settings = {**self.settings(), "search": {**asdict(self.config.search)}}
        for key in FREE:
            section, _, name = key.partition(".")
            (settings[section] if name else settings).pop(name or section, None)
        if not self.config.search.space.backbone_genes:  # as before there were any
            del settings["search"]["space"]["backbone_genes"]
        designs = [*self.seeds, *self.baselines.values()]
        return {**settings, "designs": [genome.id for genome in designs]}

    def _between(self, check: Callable[[], None] | None) -> Callable[[], None]:
        """What is called between results: a given executor is not told of the check, ours call it
        while candidates train."""
        return never if check is None or self.executor is None else check

    def _make_executor(
        self, check: Callable[[], None] | None, states: StateStore | None
    ) -> Executor:
        if self.executor is not None:
            return self.executor
        setup = Setup(
            self.recipe,
            self.config.limits,
            states,
            plugins=self.config.plugins,
            fingerprint=self.fingerprint,
            sources=self.measured.sources(),
        )
        return self.config.executor.make(setup if check is None else replace(setup, check=check))

    def open(self, arguments: Sequence[str] | None = None) -> "SearchInFolder":
        """This search in its run folder: a new one, or one of the same settings to go on in.

        Args:
            arguments: of the command that repeats the run; None where there is none.

        Raises:
            UserError: for a folder or a ledger that cannot be used; nothing is written then.
        """
        return SearchInFolder(self, arguments)

    def run(self, progress: Progress | None = None) -> Run:
        """Search in the run folder; a candidate that its ledger knows is not evaluated again.

        Ctrl-C raises KeyboardInterrupt with everything written that was finished.

        Args:
            progress: shows how far it is.

        Raises:
            UserError: as `open`.
        """
        return self.open().run(progress)

    def settings(self) -> dict[str, Any]:
        """What a run folder keeps: the resolved configuration and the data's fingerprint."""
        return {**asdict(self.config), "data_fingerprint": self.fingerprint}

    def views(self) -> Views:
        """Rows of all candidates with their ranks, and those of the front with genome files."""
        ranks = self.archive.ranks()
        rows = [e.row(ranks.get(e.genome_id)) for e in self.archive.all]
        origin = origin_settings(self.settings())
        return rows, [(e.row(0), genome_file(e, origin)) for e in self.archive.front()]

    @property
    def reported(self) -> list[str]:
        """Names of what is measured for the record beside the objectives (`also_measure`)."""
        own = self.measured.references
        also = {*own, *self.config.search.also_measure}
        return [name for name in self.measured.names if name in also]

    def lost_seeds(self) -> list[str]:
        """A line for each seed that could not be measured, with its reason."""
        seeds = (e for e in self.archive.all if e.candidate.origin == SEED)
        return [
            f"seed {shorten(composition(e.candidate.genome), 80)}: "
            f"{shorten(e.evaluation.reason, 160)}"
            for e in seeds
            if not e.evaluation.measured
        ]

    def failures(self) -> str:
        """How many candidates were not measured, by kind: `2 diverged, 1 out_of_memory`."""
        counts = sorted(self.archive.failures().items())
        return ", ".join(f"{count} {kind}" for kind, count in counts) or "none"


class SearchInFolder:
    """A search in its run folder."""

    def __init__(self, search: Search, arguments: Sequence[str] | None) -> None:
        """Open or make the folder and the ledger; see `Search.open`."""
        self.search = search
        self._progress: Progress = Progress()
        config = search.config
        settings = search.settings()
        check_ledger(config.ledger)
        path = expanded(config.run_dir) if config.run_dir else new_folder(config.experiment_name)
        url = getattr(config.executor, "states", None)
        # In a store that other runs share, none goes on from a training of another recipe or seed.
        recipe = recipe_id(search.recipe.content(search.fingerprint, search.measured.content()))
        name = f"{Path(os.path.realpath(path)).name}-{recipe}-{config.seed}"
        self._states = StateStore(f"{url.rstrip('/')}/{name}" if url else str(path / STATES))
        with ExitStack() as opened:
            opened.enter_context(
                claimed_folder(
                    path,
                    WRITTEN,
                    lambda: check_same_run(path, "a search", settings, FREE, upgrade_settings),
                    (LEDGER,) if config.ledger == RUN else (),
                )
            )
            minimised = [objective.name for objective in search.archive.objectives]
            needed = {*minimised, *search.budget.limits, *search.reported}
            self.memory = open_memory(
                config.ledger, path, search.recipe, search.measured, search.fingerprint, needed
            )
            opened.callback(self.memory.close)
            self._ledger_file = _identity(self.memory.ledger.path)
            write_provenance(path, "evolve", settings, search.fingerprint, arguments)
            deviation = (DEVIATION,) if config.search.replication.most else ()
            metrics = (*search.measured.names, *search.recipe.further_metrics, *deviation)
            self._folder = RunFolder(path, metrics)
            remove_leftovers(path / STATES, r"\w+\.safetensors")
            self._report = LiveReport(path) if config.report else None
            self._opened = opened.pop_all()  # nothing was raised: `run` closes them

    def _candidate_finished(self, evaluated: Evaluated) -> None:
        self._folder.append(evaluated.row())
        is_new = evaluated.genome_id not in self.memory.recalled
        self._progress.candidate_trained(evaluated.evaluation.train_seconds, is_new)
        self._progress.candidate_finished()
        self._check_ledger_is_there()

    def _repeated(self, repeated: Repeated) -> None:
        self._progress.candidate_trained(repeated.seconds, repeated.is_new)
        self._progress.further_seeds(repeated.finished, repeated.total)

    def _check_ledger_is_there(self) -> None:
        """Raise `UserError` where its file is gone, which SQLite would go on writing."""
        path = self.memory.ledger.path
        if _identity(path) != self._ledger_file:
            raise UserError(
                f"ledger {path}: was moved, deleted or replaced while the search ran; what was "
                f"finished is in {self.path / POPULATION}"
            )

    def _state(self) -> str:
        archive = self.search.archive
        front = f"front {len(archive.front())}  hypervolume {archive.hypervolume():.4f}"
        failed = sum(archive.failures().values())
        front += f"  infeasible {failed}" if failed else ""
        said = self.search.prescreen.state if self.search.prescreen else ""
        return f"{front}  {said}" if said else front

    @property
    def path(self) -> Path:
        """The folder."""
        return self._folder.path

    @property
    def report_path(self) -> Path | None:
        """The page that it keeps up to date; None where none is wanted."""
        return self.path / REPORT if self._report is not None else None

    def run(self, progress: Progress | None = None) -> Run:
        """Search to the end; the folder is whole whenever this returns or raises."""
        self._progress = progress or Progress()
        search = self.search
        run = LoggedRun(self.path, settings=search.settings())
        with self._opened, Loggers(search.config.loggers, run) as loggers:
            try:
                self._run_generations(loggers)
            except BaseException:
                with suppress(UserError):  # the first error says more than a second one
                    self._folder.write_views(*self.search.views())
                    self._finish_report(is_whole=False)
                raise
            self._folder.write_views(*self.search.views(), is_whole=True)
            self._check_ledger_is_there()
            self._finish_report(is_whole=True)
        return Run.open(self.path)

    def _run_generations(self, loggers: Loggers) -> None:
        search, config = self.search, self.search.config.search
        baselines, population = len(search.baselines), config.population
        total = baselines + config.generations * population
        self._progress.started(total, config.generations, self._state)
        self._progress.trained_at_once(search.config.executor.at_once(search.recipe))
        with deferred_interrupt() as interrupt:
            for generation in search.generations(
                self.memory,
                self._candidate_finished,
                interrupt.check,
                self._states,
                self._repeated,
            ):
                self._folder.update_views(search.views)
                self._write_prescreen()
                if self._report is not None:
                    self._report.update()
                if generation < 0:
                    self._progress.generation_started(0)
                    continue
                loggers.log(generation, search.archive.summary())
                proposed = baselines + len(search.built.duplicates.proposed)
                self._progress.generation_finished(generation, proposed)

    def _finish_report(self, is_whole: bool) -> None:
        if self._report is not None:
            self._report.finish(is_whole)

    def _write_prescreen(self) -> None:
        prescreen = self.search.prescreen
        if prescreen is not None and prescreen.rounds:
            with writing(self.path):
                files.write_text(self.path / PRESCREEN, prescreen.csv())


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another of its name; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
