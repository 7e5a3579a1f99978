"""python -m star.mad genome=lfm2 preset=quick: how well a genome learns the six tasks of MAD.

MAD (arXiv 2403.17844) is described in docs/mad.md. Every training is a row of `runs.csv` in the
run folder, and running the same command again goes on after the last of them.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from rich.console import Console

from star.base.command_line import run_command
from star.base.console import make_console, say
from star.base.files import writing
from star.base.reading import expanded
from star.evaluation.mad import Preset, Run, summarise, train
from star.evaluation.mad.config import MadConfig
from star.evaluation.mad.rows import Row, read_rows, write_rows
from star.evaluation.mad.table import describe, print_scores, write_scores
from star.genomes import Genome, GenomeError, ModelConfig
from star.models import decode_tried
from star.runs.claim import claimed_folder
from star.runs.extensions import use_extensions
from star.runs.origin import load_reference
from star.runs.progress import TimeLeft
from star.runs.provenance import check_same_run, new_folder, write_provenance

RUNS, SCORES = "runs.csv", "scores.csv"
# What may differ when a folder is gone on with: rows say for themselves what it was, or it changes
# no number. The others decide what a row means.
FREE = {
    *("genome", "alphabet", "depth", "tasks", "learning_rates", "weight_decays", "examples"),
    *("vocabulary", "length", "seeds", "run_dir", "plugins", "library", "width", "model.width"),
    "model.match",
}


@dataclass(frozen=True)
class Design:
    """A genome under its name, at its sizes."""

    name: str
    genome: Genome
    sizes: ModelConfig


def load_designs(config: MadConfig) -> tuple[list[Design], list[str]]:
    """The genomes, each once, and notices about them.

    Raises `GenomeError` or `UserError` for one that cannot be used.
    """
    designs, notices = dict[str, Design](), list[str]()
    for reference in config.genomes:
        genome, name, more = load_reference(reference, config.depth, config.alphabet)
        genome = genome.canonical()
        sizes = config.model.sizes(genome)
        decode_tried(genome, sizes)
        if config.model.match is not None:
            more = [*more, f"{name}: width {sizes.width} for model.match={config.model.match}"]
        name = name if name != "genome" else genome.id
        designs.setdefault(genome.id, Design(name, genome, sizes))
        notices += more
    return list(designs.values()), notices


def missing_runs(
    designs: Sequence[Design], preset: Preset, seeds: Sequence[int], done: Mapping[Any, Row]
) -> Iterator[tuple[Design, Run]]:
    """What is to be trained, a seed after the other, and with each a setting after the other for
    all designs, so that what is finished can be compared."""
    rates = (preset.learning_rates, preset.weight_decays)
    for seed, setting, design in product(dict.fromkeys(seeds), preset.settings, designs):
        for rate, decay in product(*rates):
            run = Run(setting, rate, decay, seed)
            if (design.genome.id, design.sizes.width, run) not in done:
                yield design, run


def train_missing(
    config: MadConfig, preset: Preset, designs: Sequence[Design], folder: Path, console: Console
) -> list[Row]:
    """Train what the folder does not have, and give all rows that were asked for."""
    done = {row.key: row for row in read_rows(folder / RUNS)}
    missing = list(missing_runs(designs, preset, config.seeds, done))
    time_left, total = TimeLeft(), len(missing)
    for number, (design, run) in enumerate(missing, start=1):
        start = time.monotonic()
        outcome = train(design.genome, run, preset, design.sizes, config.protocol, config.device)
        time_left.add(time.monotonic() - start)
        row = Row(design.name, design.genome.id, design.sizes.width, outcome)
        done[row.key] = row
        with writing(folder):
            write_rows(folder / RUNS, done.values())
        factors = " ".join(f"{key}={value}" for key, value in run.setting.factors.items())
        rates = f"rate {run.learning_rate:g} decay {run.weight_decay:g} seed {run.seed}"
        result = "diverged" if outcome.diverged else f"{100 * outcome.test_accuracy:.1f}%"
        left = time_left.text(total - number)
        say(console, f"{number}/{total} {design.name} {run.setting.task} {factors} {rates}: "
                     f"{result} after {outcome.steps} steps, {left}")  # fmt: skip
    wanted = {
        (design.genome.id, design.sizes.width, run)
        for design, run in missing_runs(designs, preset, config.seeds, {})
    }
    return [row for key, row in done.items() if key in wanted]


def main(config: MadConfig, arguments: list[str]) -> None:
    """Check the settings, train what is missing, write and show the scores."""
    console = make_console()
    use_extensions(config.plugins, config.library)
    config.check()
    preset = config.chosen_preset()
    designs, notices = load_designs(config)
    for notice in notices:
        say(console, f"note: {notice}")
    folder = expanded(config.run_dir) if config.run_dir else new_folder("mad")
    settings = asdict(config)
    with claimed_folder(
        folder,
        (RUNS, SCORES),
        lambda: check_same_run(folder, "runs of MAD", settings, FREE),
    ):
        write_provenance(folder, "mad", settings, "", arguments)
        rows = train_missing(config, preset, designs, folder, console)
        scores = {
            design.name: summarise(r.outcome for r in rows if r.genome_id == design.genome.id)
            for design in designs
        }
        with writing(folder):
            write_scores(folder / SCORES, scores)
    title = f"MAD, preset {config.preset}, protocol {config.protocol}: accuracy in percent"
    print_scores(console, scores, title, config.protocol != "star")
    say(
        console, f"published: all 66 settings in full; preset {config.preset} is {describe(preset)}"
    )
    say(console, f"results: {folder}")


if __name__ == "__main__":
    run_command("mad", main, (GenomeError,))
