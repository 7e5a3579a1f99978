"""python -m star.mad genome=lfm2 preset=quick: how well a genome learns the six tasks of MAD.

MAD (arXiv 2403.17844) is described in docs/mad.md. Every training is a row of `runs.csv` in the
run folder, and running the same command again goes on after the last of them.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from star.base import files
from star.base.command_line import run_command
from star.base.console import make_console, say
from star.base.csv_files import csv_text
from star.base.devices import check_device
from star.base.files import writing
from star.base.ranges import Range, expect_ranges
from star.base.reading import expanded
from star.base.settings import expect, expect_one_of, expect_seed, expect_utf8
from star.data.mad.instances import TRAIN
from star.evaluation.mad import (
    PROTOCOLS,
    TASKS,
    Preset,
    Run,
    Scores,
    TaskScore,
    choose_preset,
    summarise,
    train,
)
from star.evaluation.mad.published import PUBLISHED
from star.evaluation.mad.rows import Row, read_rows, write_rows
from star.evaluation.mad.training import training_config
from star.genomes import (
    Genome,
    GenomeError,
    ModelConfig,
    check_depth,
    check_fits,
    matched_width,
    read_match,
)
from star.models import decode_tried
from star.runs.claim import claimed_folder
from star.runs.extensions import use_extensions
from star.runs.origin import load_reference
from star.runs.progress import TimeLeft
from star.runs.provenance import check_same_run, new_folder, write_provenance
from star.training.config import OPTIMIZERS
from star.training.config import RANGES as TRAINING

RUNS, SCORES = "runs.csv", "scores.csv"
RANGES = {
    "steps": Range(1, 10**9),
    "epochs": Range(1, 10**6),
    "batch_size": Range(1, 10**5),
    "examples": Range(1, 10**7),
    "vocabulary": Range(2, 10**6),
    "length": Range(2, 10**6),
}
EACH = {"learning_rates": TRAINING["learning_rate"], "weight_decays": TRAINING["weight_decay"]}
STATE_POSITIONS = 128  # that growing caches are counted for by model.match, as in MAD's baselines


@dataclass
class MadModelConfig:
    """Sizes of the models."""

    width: int = 128  # of the model, d
    match: str | None = None  # state:4096 or parameters:350k: each genome's width is the nearest
    window: int = 64  # positions that banded operators see

    def sizes(self, genome: Genome) -> ModelConfig:
        """The sizes of a genome. Raises `GenomeError` for ones that it cannot have."""
        sizes = ModelConfig(width=self.width, window=self.window)
        if self.match is not None:
            width = matched_width(genome, sizes, self.match, STATE_POSITIONS)
            sizes = replace(sizes, width=width)
        check_fits(genome, sizes)
        return sizes

    def check(self) -> None:
        """Raise `GenomeError` for a size that no model has."""
        ModelConfig(width=self.width, window=self.window).check()
        if self.match is not None:
            read_match(self.match)


@dataclass
class MadConfig:
    """Measure how well genomes learn the six tasks of MAD."""

    genome: str = "???"  # a design, a genome file, its text, or several: [lfm2,mamba]
    alphabet: str = "star"  # of a text
    preset: str = "quick"  # how much of MAD: quick, baseline (6 settings) or full (66)
    tasks: list[str] = field(default_factory=list)  # some of them; all when empty
    protocol: str = "star"  # or paper, code: what those do otherwise (docs/mad.md)
    depth: int | None = 4  # number of LIVs; null: the genome's own
    width: int = 128  # of the model: model.width
    epochs: int | None = None  # over the training examples; null: the preset's
    steps: int | None = None  # optimiser steps, instead of epochs; null: the preset's
    batch_size: int | None = None  # sequences a step; null: the preset's
    optimizer: str | None = None  # adamw or muon; null: the preset's
    learning_rates: list[float] = field(default_factory=list)  # to choose from; []: the preset's
    weight_decays: list[float] = field(default_factory=list)  # to choose from; []: the preset's
    examples: int | None = None  # training instances of all settings; null: their own
    vocabulary: int | None = None  # tokens of all settings; null: their own
    length: int | None = None  # positions of all settings; null: their own
    seeds: list[int] = field(default_factory=lambda: [0])  # of instances, weights and batches
    device: str = "auto"  # cpu or cuda; auto: cuda where there is a GPU
    run_dir: str | None = None  # the folder; null: runs/mad/<date_time>
    plugins: list[str] = field(default_factory=list)  # modules or .py files that add operators
    library: list[str] = field(default_factory=list)  # folders of designs, known by file name
    model: MadModelConfig = field(default_factory=MadModelConfig)

    def check(self) -> None:
        """Raise `UserError` or `GenomeError` for the first setting that cannot be used."""
        if self.depth is not None:
            check_depth(self.depth)
        self.model.check()
        expect_ranges("", self, RANGES)
        expect_one_of("protocol", self.protocol, PROTOCOLS)
        if self.optimizer is not None:
            expect_one_of("optimizer", self.optimizer, OPTIMIZERS)
        for name, allowed in EACH.items():
            values = getattr(self, name)
            expected = next(filter(None, map(allowed.expected, values)), "")
            expect(name, values, not expected, f"numbers, each {expected}")
        expect("seeds", self.seeds, len(self.seeds) > 0, "one seed or more")
        for seed in self.seeds:
            expect_seed(seed, "seeds")
        check_device("device", self.device)
        expect_utf8("run_dir", self.run_dir)

    @property
    def genomes(self) -> list[str]:
        """The references, one or more."""
        text = self.genome.strip()
        listed = text[1:-1].split(",") if text.startswith("[") and text.endswith("]") else [text]
        return [reference.strip() for reference in listed]

    def chosen_preset(self) -> Preset:
        """The preset with what was asked for otherwise.

        Raises `UserError` for an unknown preset or task, and a setting that no sequence has.
        """
        preset = choose_preset(self.preset, self.tasks)
        names = ("epochs", "steps", "batch_size", "optimizer", "learning_rates", "weight_decays")
        given = {name: getattr(self, name) for name in names}
        given = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items() if v}
        if "epochs" in given:
            given = {"steps": None, **given}
        sizes = {name: getattr(self, name) for name in ("examples", "vocabulary", "length")}
        sizes = {name: value for name, value in sizes.items() if value is not None}
        settings = dict.fromkeys(replace(setting, **sizes) for setting in preset.settings)
        preset = replace(preset, settings=tuple(settings), **given)
        for setting in settings:
            setting.instances(1, self.seeds[0], TRAIN)
            run = Run(setting, preset.learning_rates[0], preset.weight_decays[0], self.seeds[0])
            training_config(run, preset, self.protocol, self.device).check()
        return preset


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


def write_scores(path: Path, scores: Mapping[str, Scores]) -> None:
    """Write a row for each genome and task. Raises OSError as the system does."""
    rows = (
        {"name": name, "task": task, **vars(score)}
        for name, of_genome in scores.items()
        for task, score in of_genome.tasks.items()
    )
    columns = ("name", "task", *(one.name for one in fields(TaskScore)))
    files.write_text(path, csv_text(columns, rows))


def print_scores(
    console: Console, scores: Mapping[str, Scores], title: str, as_mad_lab: bool
) -> None:
    """Print accuracies in percent by task beside the published ones.

    as_mad_lab: with a further row of what mad-lab would report of the same runs.
    """
    tasks = [task for task in TASKS if any(task in one.tasks for one in scores.values())]
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for task in (*tasks, "mean"):
        table.add_column(task.replace("_", " "), justify="right")
    for name, one in scores.items():
        cells = [_percent(one.tasks[t].accuracy, one.tasks[t].spread) for t in tasks]
        table.add_row(name, *cells, _percent(one.mean))
        if as_mad_lab:
            cells = [_percent(one.tasks[task].mad_lab_accuracy) for task in tasks]
            table.add_row("  as mad-lab counts", *cells, _percent(one.mad_lab_mean))
    table.add_section()
    table.add_row("published:")
    for name, row in PUBLISHED.items():
        values = [row[task] for task in tasks]
        cells = (f"{value:.1f}" for value in (*values, sum(values) / len(values)))
        table.add_row(name, *cells)
    console.print(table, highlight=False)


def _percent(share: float, spread: float = 0.0) -> str:
    return f"{100 * share:.1f}" + (f" ±{100 * spread:.1f}" if spread else "")


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


def describe(preset: Preset) -> str:
    """In words, how much of MAD a preset is."""
    count, steps = len(preset.settings), sorted({preset.steps_of(s) for s in preset.settings})
    rates = len(preset.learning_rates) * len(preset.weight_decays)
    shown = f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}"
    words = f"{count} settings, {shown} steps of {preset.batch_size} sequences"
    return f"{words}, {rates} choices of learning rate and weight decay"


if __name__ == "__main__":
    run_command("mad", main, (GenomeError,))
