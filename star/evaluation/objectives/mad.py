"""MAD's score as an objective: what a design learns in a few seconds a task."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product

from star.base.ranges import Range, expect_each, expect_ranges
from star.base.settings import expect, expect_seed
from star.evaluation.mad import Preset, Run, choose_preset, summarise, train
from star.evaluation.objectives.base import OWN, Context, Objective
from star.training.config import RANGES as TRAINING

PREFIX = "objectives.mad_score."
RANGES, RATES = {"steps": Range(1, 10**9)}, TRAINING["learning_rate"]


@dataclass
class MadScore(Objective):
    """Mean accuracy over the tasks of MAD, from 0 to 1 (arXiv 2403.17844), at the width that
    candidates are trained at."""

    preset: str = "quick"  # how much of MAD: star/evaluation/mad/presets.py
    tasks: list[str] = field(default_factory=list)  # some of it; all when empty
    steps: int | None = None  # optimiser steps a training; null: the preset's
    learning_rates: list[float] = field(default_factory=list)  # to choose from; empty: the preset's
    seeds: list[int] = field(default_factory=lambda: [0])  # of instances, weights and batches

    name, unit, label, cost, maximised = "mad_score", "", "MAD", OWN, True
    bounds, from_nothing = (0.0, 1.0), True

    def __post_init__(self) -> None:
        """Raise `UserError` for a setting that cannot be used."""
        choose_preset(self.preset, self.tasks, PREFIX)
        expect_ranges(PREFIX, self, RANGES)
        expect_each(f"{PREFIX}learning_rates", self.learning_rates, RATES)
        expect(f"{PREFIX}seeds", self.seeds, len(self.seeds) > 0, "one seed or more")
        for seed in self.seeds:
            expect_seed(seed, f"{PREFIX}seeds")

    @property
    def _preset(self) -> Preset:
        chosen = choose_preset(self.preset, self.tasks, PREFIX)
        rates = tuple(self.learning_rates) or chosen.learning_rates
        return replace(chosen, steps=self.steps or chosen.steps, learning_rates=rates)

    def measure(self, context: Context) -> Mapping[str, float]:
        """With the accuracy of every task. A training that diverges has none right."""
        preset, recipe = self._preset, context.recipe
        grid = product(
            preset.settings, preset.learning_rates, preset.weight_decays, dict.fromkeys(self.seeds)
        )
        device = recipe.training.device
        sizes = recipe.trained_model
        outcomes = [train(context.genome, Run(*run), preset, sizes, device=device) for run in grid]
        scores = summarise(outcomes)
        tasks = {f"mad_{task}": score.accuracy for task, score in scores.tasks.items()}
        return {self.name: scores.mean, **tasks}

    def format(self, value: float) -> str:
        """In percent."""
        return f"{100 * value:.1f}%"
