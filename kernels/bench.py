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
from rich.progress import Progress

from .dispatch import choose
from .harness.benchmarks import LENGTHS, Row, cases, measure, measure_lengths, usual_dtype
from .harness.comparison import dtype_name, in_interpreter, this_device
from .harness.measure import Clock
from .harness.operation import ALL_DTYPES, Operation
from .harness.registry import OPERATIONS
from .harness.tables import lengths_table, peers_table

SECONDS = {True: 0.05, False: 0.2}  # per implementation and pass; keyed by --quick


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
