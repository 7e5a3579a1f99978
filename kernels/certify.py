"""Check every kernel on this machine against its definition in float64, and certify what passes.

    python -m star.kernels.certify [--quick] [--operation NAME] [--seed N] [--output PATH]

What is checked is Triton on a GPU, or on the CPU under TRITON_INTERPRET=1, and the PyTorch path on
a plain CPU. Each run draws new numbers; --seed repeats one. Exit codes: 0 all cases passed, 1 one
failed, 2 bad arguments.
"""

import argparse
import functools
import logging
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .dispatch import certificates
from .harness.certification import run, show
from .harness.comparison import this_device
from .harness.registry import OPERATIONS


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
        certificates.write(path, valid_for, {})  # tells now, not after minutes, if it cannot be
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
