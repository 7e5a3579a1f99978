"""Scores of MAD as a table beside the published ones, and as a CSV file."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from rich.console import Console
from rich.table import Table

from star.base import files
from star.base.csv_files import csv_text
from star.evaluation.mad.presets import Preset
from star.evaluation.mad.published import PUBLISHED
from star.evaluation.mad.scores import Scores, TaskScore
from star.evaluation.mad.settings import TASKS


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


def describe(preset: Preset) -> str:
    """In words, how much of MAD a preset is."""
    count, steps = len(preset.settings), sorted({preset.steps_of(s) for s in preset.settings})
    rates = len(preset.learning_rates) * len(preset.weight_decays)
    shown = f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}"
    words = f"{count} settings, {shown} steps of {preset.batch_size} sequences"
    return f"{words}, {rates} choices of learning rate and weight decay"
