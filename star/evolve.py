"""python -m star.evolve +experiment=cache_frontier: evolve architectures, leave a Pareto front in a
run folder.

The way of a genome: `search/variation.py` proposes it, `search/loop.py` sends it to a worker,
`evaluation/evaluate.py` decodes and trains it, `search/archive.py` ranks it,
`search/run_folder.py` writes its row.
"""

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from pymoo.core.algorithm import Algorithm
from rich.console import Console

from star.base.command_line import EXIT_INTERRUPTED, check_seed, fail, register, run_command
from star.base.errors import UserError
from star.base.interrupts import deferred_interrupt
from star.configuration import EvolveConfig
from star.data import open_corpus
from star.evaluation import (
    Objective,
    Recipe,
    Workers,
    WorkerSetting,
    plan_workers,
    select_objectives,
)
from star.evaluation.executors.table import Table, TabularEvaluator, open_table, recipe_settings
from star.genomes import Genome, GenomeError, check_fits, fit_depth, read_library
from star.runs.folder import RunFolder
from star.runs.progress import SearchProgress
from star.runs.provenance import CONFIGURATION, check_same_run, run_path, write_provenance
from star.runs.tables import WIDTH, print_closing_table
from star.search.algorithms.build import build_algorithm, check_search
from star.search.archive import Archive
from star.search.budget import Budget
from star.search.candidates import Evaluated
from star.search.halving import SuccessiveHalving
from star.search.loop import EvaluationLoop, evaluate_baselines, run_generations
from star.search.memory import SearchMemory, open_memory
from star.search.space.alphabet import base_alphabet, search_alphabet
from star.search.space.problem import GenomeProblem, check_modes
from star.search.space.seeds import read_seeds
from star.search.stopping import Stopping
from star.search.variation.sampling import CanonicalDuplicates, GenomeRepair

STATES = (
    "states"  # folder of training states in a run folder, there while a generation climbs its rungs
)
# Settings that change no evaluation: they may differ when a run is resumed.
FREE = {"run_dir", "experiment_name", "workers", "workers_per_gpu", "ledger", "limits"} | {
    f"search.{key}" for key in ("generations", "stop")
}


def make_recipe(config: EvolveConfig) -> Recipe:
    """Everything but the genome that decides an evaluation. Raises `UserError` or `GenomeError` for
    bad values."""
    config.model.check()
    config.cache.check()
    config.training.check()
    if config.depth < 1:
        raise UserError(f"depth={config.depth}: expected at least 1 LIV")
    check_seed(config.seed)
    return Recipe(config.model, config.cache, config.training, config.data, config.seed)


def read_baselines(config: EvolveConfig) -> dict[str, Genome]:
    """The named library designs at the search's depth, checked against the model's sizes."""
    baselines = {}
    for name in config.search.baselines:
        try:
            design = read_library(name).genome
        except GenomeError as error:
            raise UserError(f"search.baselines: {error}") from None
        baselines[name] = fit_depth(design, config.depth).canonical()
        check_fits(baselines[name], config.model)
        check_fits(baselines[name], config.model.when_trained())
    return baselines


@dataclass(frozen=True)
class Plan:
    """Everything a search needs, checked and built before anything is written."""

    objectives: list[Objective]
    workers: list[WorkerSetting]
    recipe: Recipe
    table: Table | None
    data_fingerprint: str
    baselines: dict[str, Genome]
    problem: GenomeProblem
    seeds: list[Genome]
    notices: list[str]
    algorithm: Algorithm
    duplicates: CanonicalDuplicates
    repair: GenomeRepair


def open_data(config: EvolveConfig, recipe: Recipe) -> tuple[Table | None, str]:
    """The table that answers the search, if it does not train, and the fingerprint of its losses or
    of the text."""
    settings = recipe_settings(recipe, config.depth, config.search.alphabet, config.search.classes)
    rungs = config.search.halving.steps(config.training.steps)
    table = open_table(config.search.evaluator, config.search.table, settings, rungs)
    if table is not None:
        return table, table.fingerprint
    return None, open_corpus(
        config.data, config.training.length, config.model.vocabulary
    ).fingerprint


def open_evaluator(
    config: EvolveConfig, plan: Plan, check: Callable[[], None]
) -> Workers | TabularEvaluator:
    """What evaluates candidates: worker processes, or a table."""
    if plan.table is not None:
        return TabularEvaluator(plan.table, plan.recipe, check)
    return Workers(plan.workers, plan.recipe, check=check, limits=config.limits)


def make_plan(config: EvolveConfig) -> Plan:
    """Check every setting. Raises `UserError` or `GenomeError` for the first that cannot be
    used."""
    check_search(config.search)
    config.search.stop.check()
    config.search.halving.check(config.training.steps)
    config.constraints.largest()
    config.limits.check()
    objectives = select_objectives(config.search.objectives)
    workers = plan_workers(
        config.workers, config.workers_per_gpu, config.threads_per_worker, config.training.device
    )
    recipe = make_recipe(config)
    baselines = read_baselines(config)
    alphabet = search_alphabet(config.search)
    check_modes(config.search, config.depth)
    problem = GenomeProblem(
        config.depth,
        len(objectives),
        alphabet,
        config.search.motif,
        config.search.depths,
        base_alphabet(config.search),
    )
    seeds, notices = read_seeds(config.search.seeds, problem.least_depth, alphabet, problem.depth)
    used = config.search.population
    if len(seeds) > used:
        notices.append(
            f"search.population={used}: only the first {used} of {len(seeds)} seeds are used"
        )
    algorithm, duplicates, repair = build_algorithm(config.search, problem, seeds, config.seed)
    table, fingerprint = open_data(config, recipe)
    return Plan(
        objectives,
        workers,
        recipe,
        table,
        fingerprint,
        baselines,
        problem,
        seeds,
        notices,
        algorithm,
        duplicates,
        repair,
    )


def open_folder(config: EvolveConfig, plan: Plan) -> RunFolder:
    """Create the run folder with its provenance, or go on in it. Raises `UserError` when it holds
    something else."""
    path = run_path(config.run_dir, config.experiment_name)
    settings = {**asdict(config), "data_fingerprint": plan.data_fingerprint}
    if (path / CONFIGURATION).exists():
        check_same_run(path, "a search", settings, FREE)
    folder = RunFolder(path)
    arguments = sys.argv[1:]
    if not any(argument.startswith("scale=") for argument in arguments):
        arguments.append(
            f"scale={HydraConfig.get().runtime.choices['scale']}"
        )  # its default depends on the machine
    write_provenance(folder.path, "evolve", settings, plan.data_fingerprint, arguments)
    return folder


def make_halving(config: EvolveConfig, states: Path | None) -> SuccessiveHalving | None:
    """Successive halving as configured; None trains every candidate to the end. states: folder of
    training states."""
    if not config.search.halving.rungs:
        return None
    training = config.training
    return SuccessiveHalving(
        config.search.halving, training.steps, training.tokens_per_step, states
    )


def search(
    config: EvolveConfig,
    plan: Plan,
    folder: RunFolder,
    memory: SearchMemory,
    archive: Archive,
    console: Console,
) -> str:
    """Train the baselines, then run the generations; the archive and the run folder fill as
    candidates finish.

    Returns why the search ended early, or nothing.
    """
    generations, population, baselines = (
        config.search.generations,
        config.search.population,
        len(plan.baselines),
    )
    progress = SearchProgress(console, baselines + generations * population, archive)

    def record(evaluated: Evaluated) -> None:
        folder.append(evaluated)
        progress.candidate_finished()

    with (
        deferred_interrupt() as interrupt,
        open_evaluator(config, plan, interrupt.check) as evaluator,
        progress,
    ):
        budget = Budget(config.constraints, config.model, config.cache)
        halving = make_halving(config, folder.path / STATES)
        evaluation = EvaluationLoop(
            archive,
            evaluator.evaluate,
            config.seed,
            record,
            memory,
            budget,
            config.training.tokens,
            halving,
        )
        evaluate_baselines(plan.baselines, evaluation)
        folder.update_views(archive)
        progress.generation_started(0, generations)
        seeds = {plan.problem.architecture(seed).id for seed in plan.seeds}
        stopping = Stopping(config.search.stop)
        for generation in run_generations(
            plan.algorithm, generations, evaluation, seeds, plan.duplicates
        ):
            folder.update_views(archive)
            progress.generation_finished(
                generation, generations, baselines + (generation + 1) * population
            )
            reason = stopping.reason(archive)
            if reason:
                return reason
    return ""


def count_failures(archive: Archive) -> str:
    """How many candidates could not be measured, by kind of failure: `2 diverged, 1
    out_of_memory`."""
    return (
        ", ".join(f"{count} {kind}" for kind, count in sorted(archive.failures().items())) or "none"
    )


def print_counts(
    console: Console, archive: Archive, repair: GenomeRepair, whole_tokens: int
) -> None:
    """How many were evaluated, infeasible by reason, and repaired; what successive halving
    saved."""
    console.print(
        f"evaluated {len(archive)} architectures; infeasible: {count_failures(archive)}; "
        f"repaired {repair.repaired_genes} genes in {repair.repaired_genomes} of {repair.seen} "
        f"proposals",
        highlight=False,
        soft_wrap=True,
    )
    stopped = archive.stopped()
    if stopped:
        tokens, measured = archive.train_tokens(), len(archive.feasible) + stopped
        console.print(
            f"successive halving stopped {stopped} of them early: {tokens:,} training tokens, "
            f"{measured * whole_tokens / tokens:.2f}x fewer than training all {measured} to the "
            f"end",
            highlight=False,
            soft_wrap=True,
        )


def main(config: EvolveConfig) -> None:
    """Check the settings, search, show the front beside the baselines."""
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    plan = make_plan(config)
    folder = open_folder(config, plan)
    for notice in plan.notices:
        console.print(f"note: {notice}", highlight=False, soft_wrap=True)
    console.print(
        f"{config.experiment_name}: results go to {folder.path}", highlight=False, soft_wrap=True
    )
    archive = Archive(plan.objectives)
    memory = open_memory(config.ledger, folder.path, plan.recipe, plan.data_fingerprint)
    if len(memory.ledger):
        console.print(
            f"{len(memory.ledger)} evaluations are in {memory.ledger.path}",
            highlight=False,
            soft_wrap=True,
        )
    try:
        ended = search(config, plan, folder, memory, archive, console)
    except KeyboardInterrupt:
        folder.write_views(archive)
        console.print(
            f"interrupted; {len(archive)} finished candidates are in {folder.path}", soft_wrap=True
        )
        raise SystemExit(EXIT_INTERRUPTED) from None
    finally:
        memory.close()
    folder.write_views(archive)
    if ended:
        console.print(f"ended by {ended}", highlight=False, soft_wrap=True)
    if not archive.feasible:
        fail(
            f"no candidate could be measured ({count_failures(archive)}); "
            f"{folder.path}/population.csv says why"
        )
    print_closing_table(
        console, archive, {name: genome.id for name, genome in plan.baselines.items()}
    )
    print_counts(console, archive, plan.repair, config.training.tokens)
    console.print(f"results: {folder.path}", highlight=False, soft_wrap=True)


register("evolve_schema", EvolveConfig)

if __name__ == "__main__":
    run_command("evolve", main)
