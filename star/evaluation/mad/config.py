"""Settings of a measurement of MAD, as `star.mad` takes them, and the preset they come to."""

from dataclasses import dataclass, field, replace

from star.base.devices import check_device
from star.base.ranges import Range, expect_each, expect_ranges
from star.base.settings import expect, expect_one_of, expect_seed, expect_utf8
from star.data.mad.instances import TRAIN
from star.evaluation.mad.presets import Preset, choose_preset
from star.evaluation.mad.protocols import PROTOCOLS
from star.evaluation.mad.training import Run, training_config
from star.genomes import (
    Genome,
    ModelConfig,
    check_depth,
    check_fits,
    matched_width,
    read_match,
)
from star.training.config import OPTIMIZERS
from star.training.config import RANGES as TRAINING

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
            expect_each(name, getattr(self, name), allowed)
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
