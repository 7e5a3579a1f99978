"""Check every kernel on this machine against its definition in float64, and certify what passes.

    python -m star.kernels.certify [--quick] [--operation NAME] [--seed N] [--output PATH]

What is checked is Triton on a GPU, or on the CPU under TRITON_INTERPRET=1, and the PyTorch path on
a plain CPU. Each run draws new numbers; --seed repeats one. Exit codes: 0 all cases passed, 1 one
failed, 2 bad arguments.
"""

import argparse
import datetime
import functools
import logging
import math
import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from . import certificates
from .comparison import compare, describe, dtype_name, in_interpreter, this_device
from .operation import Operation, Sizes
from .registry import OPERATIONS

SHOWN = 3  # failures told of one operation in one dtype; the certificate has all
Entries = dict[str, dict[str, certificates.Entry]]


@dataclass
class Outcome:
    """What the cases of one operation in one dtype gave; `failures` says what went wrong, a line
    each."""

    tolerance: float
    cases: int = 0
    worst: float = 0.0
    failures: list[str] = field(default_factory=list)
    lost: bool = False


def cases(operation: Operation, quick: bool) -> tuple[str, Sequence[Sizes]]:
    """The name of the set of sizes to check here, and the sizes."""
    if in_interpreter():
        return "interpreter", operation.interpreter
    return ("quick", operation.quick) if quick else ("full", operation.full)


def lost(device: torch.device) -> bool:
    """Whether a kernel broke the GPU's context, after which nothing runs in this process."""
    try:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    except RuntimeError:
        return True
    return False


def check(
    operation: Operation,
    dtype: torch.dtype,
    device: torch.device,
    sizes_list: Sequence[Sizes],
    seed: int,
    advance: Callable[[], object] = lambda: None,
) -> Outcome:
    """Compare every case with its reference; calls `advance` after each."""
    outcome = Outcome(operation.tolerance[dtype])
    for sizes in sizes_list:
        case = describe(operation.name, dtype, sizes)
        outcome.cases += 1
        try:
            errors = compare(operation, sizes, dtype, device, seed)
        except (
            Exception
        ) as problem:  # whatever a kernel does is its own failure, not the end of the run
            text = " ".join(str(problem).split())[:300]
            outcome.failures.append(f"{case}: {type(problem).__name__}{': ' if text else ''}{text}")
            outcome.worst = math.inf
            if lost(device):
                outcome.failures.append(
                    "the GPU no longer answers this process; certify what follows with --operation"
                )
                outcome.lost = True
                break
        else:
            outcome.worst = max(outcome.worst, *errors.values())
            for name, error in errors.items():
                if error > outcome.tolerance:
                    outcome.failures.append(f"{case}: {name} is off by {error:.2g}")
        advance()
    return outcome


def entry(outcome: Outcome, sizes_name: str, seed: int, source: str) -> certificates.Entry:
    """The outcome as the certificate holds it."""
    return {
        "passed": not outcome.failures,
        "worst_error": outcome.worst if math.isfinite(outcome.worst) else None,
        "tolerance": outcome.tolerance,
        "cases": outcome.cases,
        "sizes": sizes_name,
        "seed": seed,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "source": source,
        "failures": outcome.failures,
    }


def run(
    operations: Sequence[Operation],
    quick: bool,
    seed: int,
    device: torch.device,
    progress: Progress,
    save: Callable[[Entries], None],
) -> Entries:
    """Entries by operation and dtype; each is saved as soon as it is known."""
    total = sum(len(operation.dtypes) * len(cases(operation, quick)[1]) for operation in operations)
    bar = progress.add_task("", total=total)
    entries: Entries = {}
    for operation in operations:
        sizes_name, sizes_list = cases(operation, quick)
        source = certificates.source_digest(operation.name)
        for dtype in operation.dtypes:
            progress.update(bar, description=f"{operation.name} {dtype_name(dtype)}")
            outcome = check(
                operation, dtype, device, sizes_list, seed, lambda: progress.advance(bar)
            )
            found = entry(outcome, sizes_name, seed, source)
            save({operation.name: {dtype_name(dtype): found}})
            entries.setdefault(operation.name, {})[dtype_name(dtype)] = found
            if outcome.lost:
                return entries
    return entries


def show(entries: Entries, console: Console) -> None:
    """The table, and below it what went wrong."""
    table = Table("operation", "dtype")
    for heading in ("cases", "worst error", "tolerance"):
        table.add_column(heading, justify="right")
    table.add_column("result")
    for operation, by_dtype in entries.items():
        for dtype, found in by_dtype.items():
            worst = "-" if found["worst_error"] is None else f"{found['worst_error']:.1e}"
            result = "[green]passed[/]" if found["passed"] else "[red]FAILED[/]"
            table.add_row(
                operation, dtype, str(found["cases"]), worst, f"{found['tolerance']:.1e}", result
            )
    console.print(table)
    for by_dtype in entries.values():
        for found in by_dtype.values():
            more = len(found["failures"]) - SHOWN
            for failure in found["failures"][:SHOWN] + ([f"and {more} more"] if more > 0 else []):
                console.print(escape(failure), soft_wrap=True, highlight=False)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line. Bad ones end in SystemExit(2)."""
    parser = argparse.ArgumentParser(
        "python -m star.kernels.certify", description="Certify the kernels on this machine."
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small sizes only; a full run's verdict outranks a pass",
    )
    parser.add_argument(
        "--operation",
        choices=sorted(OPERATIONS),
        metavar="NAME",
        help=", ".join(sorted(OPERATIONS)),
    )
    parser.add_argument(
        "--seed", type=int, help="repeat the run with this seed (default: a new one)"
    )
    parser.add_argument(
        "--output", type=Path, metavar="PATH", help="the certificate (default: in the user's cache)"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = arguments(argv)
    logging.basicConfig(format="%(message)s")
    device = this_device()
    valid_for = certificates.environment(device)
    path = options.output or certificates.user_folder() / certificates.file_name(valid_for)
    try:
        certificates.write(
            path, valid_for, {}
        )  # tells at once, not after minutes, whether it can be written
    except OSError as problem:
        print(f"the certificate {path} cannot be written: {problem.strerror}", file=sys.stderr)
        return 2
    seed = secrets.randbelow(2**31) if options.seed is None else options.seed
    console = Console()
    if not console.is_terminal:
        console.width = 120  # a file has no width to fit
    console.print(
        ", ".join(f"{key} {value}" for key, value in {**valid_for, "seed": seed}.items()),
        soft_wrap=True,
    )
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    operations = [OPERATIONS[options.operation]] if options.operation else list(OPERATIONS.values())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        save = functools.partial(certificates.write, path, valid_for)
        entries = run(operations, options.quick, seed, device, progress, save)
    show(entries, console)
    console.print(f"certificate: {path}", soft_wrap=True, highlight=False)
    return (
        0
        if all(found["passed"] for by_dtype in entries.values() for found in by_dtype.values())
        else 1
    )


if __name__ == "__main__":
    sys.exit(main())
