"""Measure the kernels on this machine, beside other implementations and the machine's own ceilings.

    python -m star.kernels.bench [--quick] [--json] [--lengths] [--operation NAME] [--dtype NAME]
    [--threads N]

Ratios are the peer's time over ours, so that above 1 ours is faster. With --json a list is printed
and nothing else; times of an implementation that cannot run are null there. Exit codes: 0 done, 1
one of ours cannot run, 2 bad options.
"""

import argparse
import json
import logging
import sys
from collections.abc import Iterator, Sequence

import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from .benchmarks import LENGTHS, Row, cases, measure, measure_lengths
from .comparison import dtype_name, in_interpreter, this_device
from .dispatch import choose
from .measure import Clock
from .operation import ALL_DTYPES, Operation
from .registry import OPERATIONS

SECONDS = {True: 0.05, False: 0.2}  # per implementation and pass; keyed by --quick


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


def usual_dtype(operation: Operation, device: torch.device) -> torch.dtype:
    """bfloat16 on a GPU, float32 on the CPU, as models there do; the operation's first where it
    lacks that."""
    usual = torch.bfloat16 if device.type == "cuda" else torch.float32
    return usual if usual in operation.dtypes else operation.dtypes[0]


def rows_of(operation: Operation, options: argparse.Namespace, clock: Clock) -> Iterator[Row]:
    """Everything measured of one operation."""
    dtype = getattr(torch, options.dtype) if options.dtype else usual_dtype(operation, clock.device)
    if dtype not in operation.dtypes:
        return
    seconds = SECONDS[options.quick]
    if options.lengths:
        lengths = (64, 128) if in_interpreter() else LENGTHS[:3] if options.quick else LENGTHS
        yield from measure_lengths(operation, dtype, clock, lengths, seconds)
        return
    for sizes in cases(operation, clock.device, options.quick):
        yield from measure(operation, sizes, dtype, clock, seconds)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line. Bad ones end in SystemExit(2)."""
    parser = argparse.ArgumentParser(
        "python -m star.kernels.bench", description="Measure the kernels on this machine."
    )
    parser.add_argument("--quick", action="store_true", help="fewer sizes and repeats")
    parser.add_argument("--json", action="store_true", help="print a list of rows and nothing else")
    parser.add_argument(
        "--lengths",
        action="store_true",
        help="time and memory of the subquadratic ones over lengths",
    )
    parser.add_argument(
        "--operation",
        choices=sorted(OPERATIONS),
        metavar="NAME",
        help=", ".join(sorted(OPERATIONS)),
    )
    parser.add_argument(
        "--dtype",
        choices=[dtype_name(d) for d in ALL_DTYPES],
        metavar="NAME",
        help="bfloat16 on GPUs",
    )
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="of the CPU (default: 1)"
    )
    options = parser.parse_args(argv)
    if options.threads < 1:
        parser.error(f"--threads {options.threads}: expected at least 1")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = arguments(argv)
    logging.basicConfig(format="%(message)s")
    torch.set_num_threads(options.threads)
    device = this_device()
    operations = [OPERATIONS[options.operation]] if options.operation else list(OPERATIONS.values())
    try:
        choose(operations[0].name, torch.empty(0, device=device))
    except ValueError as problem:  # STAR_KERNELS asks for what cannot be had
        print(problem, file=sys.stderr)
        return 2
    clock = Clock(device)
    rows: list[Row] = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=len(operations))
        for operation in operations:
            progress.update(bar, description=operation.name)
            rows += rows_of(operation, options, clock)
            progress.advance(bar)
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        console, table = Console(), lengths_table(rows) if options.lengths else peers_table(rows)
        if not console.is_terminal:
            console.width = 10_000  # a file has no width to fit
        console.print(table)
    return 1 if any("reason" in row for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
