"""python -m star.linearise checkpoint=<folder> budget=0.5 to=<folder>: less attention, less cache.

The attention that matters least for recall is replaced by a recurrence until the cache is within
the budget, and the new model is distilled from the old one (`star/hybrids/linearise`). Running the
same command again, with a run_dir, resumes an interrupted one.
"""

import json
from dataclasses import asdict, replace
from typing import Any

from rich.console import Console
from rich.table import Table

from star.base import files
from star.base.command_line import fail, run_command
from star.base.console import make_console, say
from star.base.files import writing
from star.base.reading import expanded
from star.data.subwords import copy_tokenizer
from star.exporting import new_folder, refuse_existing
from star.genomes import GenomeError, liv_cache_bytes
from star.hybrids.linearise import LineariseConfig
from star.hybrids.linearise.linearisation import (
    RECALL,
    Linearisation,
    Result,
    genome_file,
    opened_linearisation,
)
from star.models import save_checkpoint
from star.models.checkpoint import EVALUATION
from star.runs.extensions import use_extensions
from star.runs.origin import origin_settings
from star.training import Diverged

REPORT = "linearisation.json"  # in the new checkpoint's folder
SHOWN = ("validation_loss", "repeat_loss", RECALL)  # of the metrics, with four decimals


def write_checkpoint(work: Linearisation, result: Result) -> None:
    """Write the new checkpoint, whole or not at all.

    Raises `UserError` where it cannot be written.
    """
    settings = {
        **asdict(work.config),
        "model": asdict(work.plan.model),
        "data_fingerprint": work.corpus.fingerprint,
    }
    genome = replace(genome_file(work, result), settings=origin_settings(settings))
    folder = expanded(work.config.to)
    with new_folder(folder) as unfinished, writing(folder):
        save_checkpoint(unfinished, result.model, genome, work.plan.model)
        copy_tokenizer(work.corpus.tokenizer, unfinished)
        content = {EVALUATION: result.metrics["distilled"], REPORT: report(work, result)}
        for name, values in content.items():
            files.write_text(unfinished / name, json.dumps(values, indent=2) + "\n")


def report(work: Linearisation, result: Result) -> dict[str, Any]:
    """What was made of which checkpoint: each unit's gate and fate, and all that was measured."""
    units = zip(work.plan.units, result.gates, result.kept, strict=True)
    return {
        "checkpoint": str(expanded(work.config.checkpoint).absolute()),
        "genome_id": work.plan.genome.id,
        "budget": work.config.budget,
        "replacement": work.plan.replacement.name,
        "units": [{"livs": u.livs, "gate": gate, "kept": is_kept} for u, gate, is_kept in units],
        **result.metrics,
    }


def livs_table(work: Linearisation, result: Result) -> Table:
    """A row for each LIV that could be replaced: its gate, and what became of it."""
    plan = work.plan
    before = liv_cache_bytes(plan.genome, plan.model, plan.cache)
    after = liv_cache_bytes(result.genome, plan.model, plan.cache)
    table = Table("LIV", "class", title="attention", title_justify="left")
    table.add_column("gate", justify="right")
    table.add_column("is")
    for name in ("cache bytes", "before"):
        table.add_column(name, justify="right")
    for unit, gate, is_kept in zip(plan.units, result.gates, result.kept, strict=True):
        for n in unit.livs:
            name, what = plan.genome.classes()[n].name, f"replaced by {plan.replacement.name}"
            numbers = (f"{after[n]:,}", f"{before[n]:,}")
            table.add_row(str(n), name, f"{gate:.3f}", "kept" if is_kept else what, *numbers)
    return table


def quality_table(result: Result) -> Table:
    """Loss, recall and cache before and after."""
    table = Table("model", title="held-out quality", title_justify="left")
    for name in (*SHOWN, "cache bytes"):
        table.add_column(name.replace("_", " "), justify="right")
    for name, metrics in result.metrics.items():
        shown = (f"{metrics[key]:.4f}" if key in metrics else "-" for key in SHOWN)
        table.add_row(name, *shown, f"{metrics['cache_bytes']:,}")
    return table


def show(console: Console, work: Linearisation, result: Result) -> None:
    """Print both tables and the genome."""
    console.print(livs_table(work, result))
    console.print(quality_table(result))
    share = result.metrics["distilled"]["cache_bytes"] / work.plan.original_bytes
    say(console, f"cache: {share:.1%} of the original's at context {work.plan.cache.context}")
    more = work.plan.next_budget([1 - gate for gate in result.gates], result.kept)
    if more is not None and more < 1:
        say(console, f"budget={more:g} would keep one attention more")
    say(console, f"genome: {result.genome.to_text()} ({result.genome.id})")


def main(config: LineariseConfig, arguments: list[str]) -> None:
    """Check the settings, linearise or go on with it, show the result, leave the checkpoint."""
    use_extensions(config.plugins, [])
    config.check()
    refuse_existing(config.to)
    console = make_console()
    with opened_linearisation(config, arguments, console) as (work, notices):
        for notice in notices:
            say(console, f"note: {notice}")
        name, genome = work.checkpoint.genome.name, work.plan.genome
        say(console, f"linearising {name} ({genome.id}) in {work.folder}")
        try:
            result = work.run()
        except Diverged as error:
            rates = "align.learning_rate, gates.learning_rate or training.learning_rate"
            fail(f"training diverged: {error}; try a smaller {rates} in a new run_dir")
        show(console, work, result)
        write_checkpoint(work, result)
        say(console, f"checkpoint: {expanded(config.to)}")


if __name__ == "__main__":
    run_command("linearise", main, (GenomeError,))
