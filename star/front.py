"""python -m star.front run=<folder> constraints.cache_bytes=64kB cache.context=32768: the front of
a finished search under another budget, without training.

Parameters, cache and other static costs are counted anew at the sizes that are asked for; losses
are those of the run. In Python, `star.search.recount.Recounted` gives the same.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from star.base.command_line import run_command
from star.base.console import make_console, say
from star.base.files import free_path, write_named
from star.genomes import CacheSetting, GenomeError, ModelConfig
from star.runs.extensions import use_extensions
from star.runs.origin import read_run_origin
from star.runs.run import Run
from star.runs.tables import WIDTH, ClosingTable
from star.runs.validated import VALIDATED
from star.search.recount import Question, Recounted


@dataclass
class FrontConfig:
    """The front of a finished search under another budget, without training."""

    run: str = "???"  # folder of a search
    objectives: list[str] = field(default_factory=list)  # to minimise; empty: those of the search
    # over those of the search: 64kB; null lifts one
    constraints: dict[str, Any] = field(default_factory=dict)
    validated: bool = True  # by validated.csv, where the run has one; false: by the search alone
    to: str | None = None  # a CSV to write the front to; null: none
    width: int = 64  # of the model: model.width
    context: int = 4096  # positions the cache holds: cache.context
    plugins: list[str] = field(default_factory=list)  # modules or .py files that add operators
    library: list[str] = field(default_factory=list)  # folders of designs, known by file name
    model: ModelConfig = field(default_factory=ModelConfig)
    cache: CacheSetting = field(default_factory=CacheSetting)

    ORIGIN_KEYS: ClassVar[tuple[str, ...]] = ("run",)
    origin = staticmethod(read_run_origin)  # what is taken from there unless it is given


def main(config: FrontConfig, arguments: list[str]) -> None:
    """Count the costs, print the front beside the baselines, write it."""
    config.model.check()
    config.cache.check()
    use_extensions(config.plugins, config.library)
    console, run = make_console(WIDTH), Run.open(config.run)
    if config.to is not None:
        free_path("to", config.to)
    question = Question(
        config.model, config.cache, config.objectives, config.constraints, config.validated
    )
    recounted = Recounted(run, question)
    recounted.check_answer()
    to = write_named("to", config.to, recounted.csv()) if config.to is not None else None
    for notice in read_run_origin(config.run).notices(config):
        say(console, f"note: {notice}")
    objectives, minimised = recounted.measured.objectives, recounted.minimised
    also = [name for name in recounted.measured.references if name in recounted.metrics]
    baselines = recounted.baseline_ids()
    ClosingTable(recounted, objectives, minimised, baselines, also).print(console)
    kept = sum(c.status == "ok" for c in recounted.candidates.values())
    whose, where = f"that {run.path} trained to the end", "the search alone"
    if recounted.is_validated:
        whose, where = f"of {run.path} that were validated", VALIDATED
    say(
        console,
        f"{kept} of {len(recounted.candidates)} candidates {whose} keep the constraints; what took "
        f"training is from {where}, only costs are counted anew",
    )
    if to is not None:
        say(console, f"the front is in {to}")


if __name__ == "__main__":
    run_command("front", main, (GenomeError,))
