"""python -m star.evaluate checkpoint=<folder> tasks=[arc_easy]: tasks of lm-evaluation-harness.

The harness runs in a process of its own, a task at a time; what is finished is kept in
`harness.json` beside the checkpoint, and the same command goes on from there.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from types import ModuleType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from star.base.command_line import fail, run_command
from star.base.console import make_console, say
from star.base.devices import check_device
from star.base.imports import expect_installed, import_plugins
from star.base.interrupts import deferred_interrupt, exit_code
from star.base.reading import expanded
from star.base.settings import expect
from star.evaluation.harness import PACKAGE, HarnessSetting
from star.evaluation.harness.results import RESULTS, Measurement, ResultsFile, opened_results
from star.evaluation.harness.table import print_measurements
from star.evaluation.harness.vocabulary import checkpoint_vocabulary
from star.evaluation.harness.worker import Answered, Job, Message, Started, run_job
from star.genomes import GenomeError
from star.models.checkpoint import load_checkpoint, weights_digest


@dataclass
class EvaluateConfig(HarnessSetting):
    """Measure a checkpoint by tasks of lm-evaluation-harness."""

    checkpoint: str = "???"  # folder that star.train left
    context: int | None = None  # the most positions it sees; null: those of the checkpoint
    device: str = "auto"  # cpu or cuda
    to: str | None = None  # file of the results; null: harness.json beside the checkpoint
    plugins: list[str] = field(default_factory=list)  # modules or .py files that add operators

    def check(self, prefix: str = "") -> None:
        """Raise `UserError` for the first setting that cannot be used."""
        super().check(prefix)
        fits = self.context is None or self.context >= 1
        expect("context", self.context, fits, "at least 1 position")
        check_device("device", self.device)
        expect_installed("star.evaluate", PACKAGE)

    def setting(self) -> HarnessSetting:
        """What the harness is asked."""
        names = (one.name for one in fields(HarnessSetting))
        return HarnessSetting(**{name: getattr(self, name) for name in names})


def make_job(config: EvaluateConfig) -> tuple[Job, str]:
    """What the harness's process is made for, knowing nothing yet, and the name of the design.

    Raises `UserError` or `GenomeError` for a checkpoint that cannot be used.
    """
    folder = expanded(config.checkpoint)
    checkpoint = load_checkpoint(folder)
    checkpoint_vocabulary(folder, checkpoint)
    job = Job(
        folder,
        config.setting(),
        config.context or checkpoint.context,
        weights_digest(folder),
        config.device,
        config.plugins,
        known=(),
    )
    return job, checkpoint.genome.name


def measure(
    messages: Iterable[Message], results: ResultsFile, console: Console
) -> tuple[list[Measurement], int]:
    """Keep what is measured as it comes; returns all that was asked for, and how many of it had
    been measured before."""
    found: list[Measurement] = []
    before = 0
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    is_shown = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not is_shown) as progress:
        bar = progress.add_task("loading", total=None)
        for message in messages:
            if isinstance(message, Started):
                progress.reset(bar, total=None, description=message.name)
            elif isinstance(message, Answered):
                progress.update(bar, total=message.total, completed=message.done)
            elif isinstance(message, Measurement):
                results.add(message)
                found.append(message)
                if not is_shown:
                    say(console, f"{message.identity.task}: took {message.seconds:,.0f} seconds")
            else:
                known = results.find(message)
                assert known is not None
                found.append(known)
                before += 1
    return found, before


def notices(measurements: Sequence[Measurement]) -> list[str]:
    """What was cut of prompts, in words."""
    return [
        f"{one.identity.task}: {one.cut:,} prompts are longer than the context of "
        f"{one.identity.context:,} and were cut on the left"
        for one in measurements
        if one.cut
    ]


def main(config: EvaluateConfig, arguments: list[str]) -> None:
    """Check, measure what is not known, show it."""
    config.check()
    console = make_console()
    import_plugins(config.plugins)
    job, name = make_job(config)
    path = job.checkpoint / RESULTS if config.to is None else expanded(config.to)
    with opened_results(path) as results:
        job = replace(job, known=[one.identity for one in results.measurements])
        try:
            with deferred_interrupt() as interrupt:
                found, before = measure(run_job(job, interrupt.check), results, console)
        except KeyboardInterrupt as error:
            say(console, f"interrupted; the same command goes on from what is in {path}")
            raise SystemExit(exit_code(error)) from None
        except RuntimeError as error:
            fail(f"{error}; finished tasks are in {path}")
    print_measurements(console, f"{name}, lm-eval {found[0].identity.harness}", found)
    for notice in notices(found):
        say(console, f"note: {notice}")
    if before:
        say(console, f"{before} of {len(found)} were measured before and are as they were")
    say(console, f"results: {path}")


class _CallableModule(ModuleType):
    """`star.evaluate` is this module, and the function of the Python face too: importing one binds
    the same name."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Train and measure a genome, see `star.face.evaluate`."""
        from star.face import evaluate

        return evaluate(*arguments, **options)


sys.modules[__name__].__class__ = _CallableModule

if __name__ == "__main__":
    run_command("evaluate", main, (GenomeError,))
