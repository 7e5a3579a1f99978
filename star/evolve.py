"""python -m star.evolve +experiment=cache_frontier: evolve architectures, leave a Pareto front.

The way of a genome: `search/variation/` proposes it, `search/evaluating.py` hands it to an
executor, `evaluation/evaluate.py` decodes and trains it, `search/archive.py` ranks it,
`runs/folder.py` writes its row.
"""

from textwrap import shorten

from rich.console import Console

from star.base.command_line import fail, run_command
from star.base.console import make_console, say
from star.base.interrupts import exit_code
from star.genomes import GenomeError
from star.runs.progress import SearchProgress
from star.runs.tables import WIDTH, ClosingTable
from star.search import EvolveConfig, Search


def print_counts(console: Console, search: Search) -> None:
    """How many were evaluated, infeasible by reason, and repaired; what halving saved."""
    archive, repair = search.archive, search.built.repair
    fitted = repair.fitted_genomes
    say(
        console,
        f"evaluated {len(archive)} architectures; infeasible: {search.failures()}; "
        f"repaired {repair.repaired_genes} genes in {repair.repaired_genomes} of {repair.seen} "
        "proposals" + (f", changed {fitted} to keep the constraints" if fitted else ""),
    )
    proposed = len(search.built.duplicates.proposed)
    planned = search.config.search.generations * search.config.search.population
    if proposed < planned and not search.ended_by:
        say(console, f"proposed {proposed} of {planned} designs: no other new ones were found")
    trained = [evaluated for evaluated in archive.all if evaluated.train_tokens]
    stopped = [evaluated for evaluated in trained if evaluated.is_stopped]
    if stopped:
        tokens, whole = archive.train_tokens(), search.config.training.tokens
        saved = sum(whole - evaluated.train_tokens for evaluated in stopped)
        say(
            console,
            f"successive halving stopped {len(stopped)} of them early: {tokens:,} training tokens, "
            f"{(tokens + saved) / tokens:.2f}x fewer than training all {len(trained)} to the end",
        )


def main(config: EvolveConfig, arguments: list[str]) -> None:
    """Check the settings, search, show the front beside the baselines."""
    console = make_console(WIDTH)
    search = Search.from_config(config)
    opened = search.open(arguments)
    for notice in search.notices:
        say(console, f"note: {notice}")
    say(console, f"{config.experiment_name}: results go to {opened.path}")
    if opened.report_path is not None:
        say(console, f"watch it in a browser: {opened.report_path}")
    if len(opened.memory.ledger):
        say(console, f"{len(opened.memory.ledger)} evaluations are in {opened.memory.ledger.path}")
    try:
        with SearchProgress(console) as progress:
            run = opened.run(progress)
    except KeyboardInterrupt as error:
        count = len(search.archive)
        say(console, f"interrupted; {count} finished candidates are in {opened.path}")
        raise SystemExit(exit_code(error)) from None
    if search.ended_by:
        say(console, f"ended by {search.ended_by}")
    if not search.archive.feasible:
        where = f"{run.path}/population.csv says why"
        everyone = search.archive.all
        first = next((e for e in everyone if not e.is_baseline), everyone[0])
        why = f"{search.failures()}; {shorten(first.evaluation.reason, 160)}"
        fail(f"no candidate could be measured ({why}); {where}")
    baselines = {name: genome.id for name, genome in search.baselines.items()}
    minimised = [objective.name for objective in search.archive.objectives]
    also = search.reported
    ClosingTable(run, search.measured.objectives, minimised, baselines, also).print(console)
    for line in search.lost_seeds():
        say(console, line)
    print_counts(console, search)
    note = search.recipe.length_note()
    if note:
        say(console, f"note: {note}")
    say(console, f"results: {run.path}")


if __name__ == "__main__":
    run_command("evolve", main, (GenomeError,))
