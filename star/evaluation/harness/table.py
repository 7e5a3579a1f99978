"""Results of the harness as a table."""

from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from star.evaluation.harness.results import Measurement, MetricRow

UNKNOWN = "-"


def print_measurements(console: Console, title: str, measurements: Sequence[Measurement]) -> None:
    """Print a row a metric."""
    table = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False)
    table.add_column("task", no_wrap=True)
    table.add_column("metric", no_wrap=True)
    for heading in ("value", "stderr", "chance", "documents"):
        table.add_column(heading, justify="right", no_wrap=True)
    for measurement in measurements:
        for row in measurement.rows:
            table.add_row(*map(Text, _cells(row)))
    console.print(table)


def _cells(row: MetricRow) -> list[str]:
    numbers = (_shown(number) for number in (row.value, row.stderr, row.chance))
    return [row.task, row.metric, *numbers, UNKNOWN if row.documents is None else
            f"{row.documents:,}"]  # fmt: skip


def _shown(number: float | None) -> str:
    """Four digits behind the point, or fewer of what is large."""
    if number is None:
        return UNKNOWN
    return f"{number:.4f}" if abs(number) < 1000 else f"{number:,.4g}"
