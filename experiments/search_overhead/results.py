"""What the studies of this folder print and keep: one number with its unit a row."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """A quantity that a study measured. study: what was run."""

    study: str
    quantity: str
    value: float
    unit: str


def show(results: Iterable[Result]) -> list[Result]:
    """Print a Markdown table for each study, row by row as they come."""
    shown: list[Result] = []
    for result in results:
        if not shown or shown[-1].study != result.study:
            print(f"\n| {result.study} | |\n|---|---|")
        digits = ",.0f" if abs(result.value) >= 1000 else ".4g"
        print(f"| {result.quantity} | {result.value:{digits}} {result.unit} |", flush=True)
        shown.append(result)
    return shown


def keep(path: Path, results: Iterable[Result]) -> None:
    """Write the results as CSV; studies of the file that were not run now stay."""
    results = list(results)
    studies = {result.study for result in results}
    with path.open(newline="") if path.exists() else open("/dev/null") as stream:
        earlier = [row for row in csv.reader(stream) if row[0] not in {"study", *studies}]
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("study", "quantity", "value", "unit"))
        writer.writerows(earlier)
        writer.writerows((r.study, r.quantity, f"{r.value:.6g}", r.unit) for r in results)
