"""Check operations against their definitions in float64, case by case, for a certificate."""

import datetime
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from ..dispatch import certificates
from ..dispatch.sources import source_digest
from .comparison import compare, describe, dtype_name, in_interpreter
from .operation import Operation, Sizes

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
        except Exception as problem:  # whatever a kernel raises fails its case, not the whole run
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
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
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
        source = source_digest(operation.name)
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
