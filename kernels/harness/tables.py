"""Benchmarks as tables for a terminal."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from .benchmarks import Row


def number(value: float | None, digits: str = ".3g") -> str:
    """A table's cell."""
    return "-" if value is None else format(value, digits)


def size_words(row: Row) -> str:
    """`batch 2, length 257, width 96`."""
    return ", ".join(f"{name} {value}" for name, value in row["sizes"].items())


def peers_table(rows: Sequence[Row]) -> Table:
    """One line per case, pass and peer."""
    table = Table("operation", "sizes", "pass", "by")
    for heading in ("ms", "GB/s", "TFLOP/s", "of ceiling", "peak MiB"):
        table.add_column(heading, justify="right")
    table.add_column("peer")
    for heading in ("peer ms", "ratio"):
        table.add_column(heading, justify="right")
    last = None
    for row in rows:
        ours = [row["operation"], size_words(row), row["pass"], row["implementation"]]
        ours += [row.get("reason") or number(row["ours_ms"]), number(row["gigabytes_per_second"])]
        ours += [
            number(row["teraflops_per_second"]),
            number(row["share_of_ceiling"], ".0%"),
            number(row["peak_mib"]),
        ]
        theirs = [
            row["peer"] or "-",
            row.get("peer_reason") or number(row["peer_ms"]),
            number(row["ratio"], ".2f"),
        ]
        if row.get("difference", 0.0) is None or row.get("difference", 0.0) > 0.05:
            theirs[0] += " (computes something else)"
        cells = [""] * len(ours) if row["case"] == last else ours
        table.add_row(*map(escape, cells + theirs))
        last = row["case"]
    return table


def lengths_table(rows: Sequence[Row]) -> Table:
    """One line per operation and length, with the growth from the length before."""
    table = Table("operation")
    for heading in ("length", "forward ms", "with backward ms", "growth", "peak MiB", "growth"):
        table.add_column(heading, justify="right")
    before: Row = {}
    for row in rows:
        if row["operation"] != before.get("operation"):
            before = {}

        def growth(key: str, row: Row = row, before: Row = before) -> str:
            return f"x{row[key] / before[key]:.2f}" if row[key] and before.get(key) else ""

        cells = [
            row["operation"] if not before else "",
            str(row["length"]),
            number(row["forward_ms"]),
        ]
        cells += [row.get("reason") or number(row["both_ms"]), growth("both_ms")]
        cells += [number(row["peak_mib"]), growth("peak_mib")]
        table.add_row(*map(escape, cells))
        before = row
    return table
