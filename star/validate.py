"""python -m star.validate run=<folder> training.steps=<longer>: how far to believe a search.

Trains the front, the baselines and a sample of the rest longer, with seeds and held-out text that
the search never used; leaves `validated.csv` in the run folder. The same command again goes on.
"""

from star.base.command_line import fail, run_command
from star.base.console import make_console, say
from star.base.interrupts import exit_code
from star.genomes import GenomeError
from star.runs.report.live import refresh
from star.runs.tables import WIDTH
from star.runs.validated import VALIDATED
from star.validating import ValidateConfig, Validation
from star.validating.progress import ValidationProgress
from star.validating.table import ValidationTable


def main(config: ValidateConfig, arguments: list[str]) -> None:
    """Check the settings, train, say what it means."""
    console = make_console(WIDTH)
    validation = Validation.from_config(config)
    for notice in validation.notices:
        say(console, f"note: {notice}")
    designs, seeds = len(validation.designs), len(validation.seeds)
    say(
        console,
        f"{designs} designs x {seeds} seeds x {validation.recipe.training.steps:,} steps; "
        f"trainings are kept in {validation.folder}",
    )
    try:
        with ValidationProgress(console) as progress:
            results = validation.run(progress, arguments)
    except KeyboardInterrupt as error:
        say(console, f"interrupted; finished trainings are in {validation.folder}")
        raise SystemExit(exit_code(error)) from None
    if not results.complete:
        reason = results.trainings[0][0].reason
        fail(f"no design could be trained with every seed ({reason})")
    ValidationTable(results).print(console)
    refresh(validation.searched.path)
    say(console, f"results: {validation.searched.path / VALIDATED}")


if __name__ == "__main__":
    run_command("validate", main, (GenomeError,))
