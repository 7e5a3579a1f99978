"""Everything that wants a GPU, in one go of under nine minutes: certificates, the GPU tests,
benchmarks.

    python experiments/kernels/gpu_suite.py [--output FOLDER] [--operation NAME ...] [--dry-run]

Each operation runs in processes of its own, so that one that hangs or breaks the GPU's context
costs no other. Results are written after every step; what ran out of time is named in them.
--dry-run tries the whole on the CPU, with Triton's interpreter and tiny sizes.
"""

import argparse
import concurrent.futures
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
MINUTES = 8.5  # the machine's limit is ten for a command
ENDS = {
    "certify": 0.36,
    "tests": 0.47,
    "bench": 0.78,
    "lengths": 0.97,
}  # shares of the time, at most
JOBS = 6  # certifying is mostly compiling, on the CPU


@dataclass
class Suite:
    """What the steps share."""

    options: argparse.Namespace
    scratch: Path
    results: dict[str, Any]
    operations: Sequence[str]
    started: float = field(default_factory=time.monotonic)

    def run(self, part: str, command: Sequence[str]) -> str:
        """Standard output of a Python command; what goes wrong is noted among the results."""
        left = self.started + 60 * self.options.minutes * ENDS[part] - time.monotonic()
        name = f"{part} {' '.join(command)}"
        if left < 5:
            self.results["notes"].append(f"{name}: no time was left")
            return ""
        environment = {
            **os.environ,
            "STAR_KERNELS": "triton",
            "STAR_CACHE_DIR": str(self.scratch / "cache"),
            "PYTHONPATH": os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")]),
        }
        begin = time.monotonic()
        try:
            done = subprocess.run(
                [sys.executable, *command],
                env=environment,
                cwd=CHECKOUT,
                capture_output=True,
                text=True,
                timeout=left,
            )
        except subprocess.TimeoutExpired:
            self.results["notes"].append(f"{name}: stopped after {left:.0f} s")
            return ""
        taken = time.monotonic() - begin
        if done.returncode:
            tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
            self.results["notes"].append(
                f"{name}: exit code {done.returncode} after {taken:.0f} s\n{tail}"
            )
        print(
            f"{time.monotonic() - self.started:5.0f} s  {name}: {taken:.0f} s, exit code "
            f"{done.returncode}",
            flush=True,
        )
        return done.stdout

    def save(self) -> None:
        """Write what there is."""
        self.results["seconds"] = round(time.monotonic() - self.started)
        stem = self.options.output / f"results_{slug(self.results['device'])}"
        stem.with_suffix(".json").write_text(
            json.dumps(self.results, indent=1) + "\n", encoding="utf-8"
        )
        stem.with_suffix(".md").write_text(markdown(self.results), encoding="utf-8")


def slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")


def certify(suite: Suite) -> None:
    """Certify the operations, several at a time, and bring their certificates together."""
    from star.kernels.dispatch import certificates

    valid_for = {key: suite.results[key] for key in ("device", "triton", "torch")}
    target = suite.options.certificates / certificates.file_name(valid_for)

    def one(operation: str) -> None:
        path = suite.scratch / f"{operation}.json"
        suite.run(
            "certify",
            ["-m", "star.kernels.certify", "--operation", operation, "--output", str(path)],
        )
        if path.exists():
            certificates.write(target, valid_for, certificates.read(path, valid_for))

    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(one, suite.operations))
    if target.exists():
        suite.results["certificates"] = certificates.read(target, valid_for)


def tests(suite: Suite) -> None:
    folder = CHECKOUT / "tests" / "kernels"
    files = [
        str(path)
        for path in sorted(folder.glob("test_*.py"))
        if "pytest.mark.gpu" in path.read_text()
    ]
    command = ["-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "--tb=short", *files]
    if suite.options.operation:
        command += ["-k", " or ".join(suite.operations)]
    suite.results["tests"] = suite.run("tests", command).strip().splitlines()[-30:]


def bench(suite: Suite, part: str) -> None:
    """Benchmarks, one operation at a time, since they must have the GPU for themselves."""
    for operation in suite.operations:
        command = ["-m", "star.kernels.bench", "--json", "--operation", operation]
        output = suite.run(part, command + (["--lengths"] if part == "lengths" else []))
        if output.lstrip().startswith("["):
            suite.results[part] += json.loads(output)
        suite.save()


def markdown(results: dict[str, Any]) -> str:
    """The results as a page."""
    lines = [
        f"# {results['device']}, torch {results['torch']}, Triton {results['triton']}, "
        f"{results['date']}",
        "",
    ]
    lines += ["## Certificates", ""]
    entries = [
        [
            name,
            dtype,
            entry["cases"],
            number(entry["worst_error"]),
            number(entry["tolerance"]),
            entry["passed"],
        ]
        for name, by_dtype in results["certificates"].items()
        for dtype, entry in by_dtype.items()
    ]
    lines += rows_of(["operation", "dtype", "cases", "worst error", "tolerance", "passed"], entries)
    lines += ["", "## Benchmarks", "", "A ratio above 1 means that ours is faster.", ""]
    keys = [
        "ours_ms",
        "gigabytes_per_second",
        "teraflops_per_second",
        "share_of_ceiling",
        "peak_mib",
    ]
    rows = [
        [
            *(
                row["case"],
                row["implementation"],
                *(number(row[key]) for key in keys),
                row["peer"] or "",
            ),
            *(
                row.get("peer_reason") or number(row["peer_ms"]),
                number(row["ratio"]),
                row.get("reason", ""),
            ),
        ]
        for row in results["bench"]
    ]
    headings = [
        "case",
        "by",
        "ms",
        "GB/s",
        "TFLOP/s",
        "of ceiling",
        "peak MiB",
        "peer",
        "peer ms",
        "ratio",
        "",
    ]
    lines += rows_of(headings, rows)
    lines += ["", "## Lengths", ""]
    keys = ["forward_ms", "both_ms", "peak_mib"]
    rows = [
        [r["case"], *(number(r[key]) for key in keys), r.get("reason", "")]
        for r in results["lengths"]
    ]
    lines += rows_of(["case", "forward ms", "with backward ms", "peak MiB", ""], rows)
    lines += ["", "## Tests", "", "```", *results["tests"], "```", "", "## Notes", ""]
    lines += [f"```\n{note}\n```" for note in results["notes"]] or ["None."]
    return "\n".join(lines) + "\n"


def rows_of(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    return [
        "| " + " | ".join(str(cell) for cell in row) + " |"
        for row in [headings, ["---"] * len(headings), *rows]
    ]


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Certify, test and measure the kernels on a GPU.")
    parser.add_argument(
        "--output", type=Path, help="for everything (default: where the repository keeps each)"
    )
    parser.add_argument(
        "--operation", action="append", metavar="NAME", help="only this one; may be repeated"
    )
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help=f"for all (default: {MINUTES})"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="on the CPU, in Triton's interpreter"
    )
    options = parser.parse_args(argv)
    if options.dry_run and options.output is None:
        parser.error("--dry-run needs --output, to leave the repository's results alone")
    options.certificates = options.output or CHECKOUT / "kernels" / "certified"
    options.output = options.output or CHECKOUT / "experiments" / "kernels"
    return options


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments(argv)
    if options.dry_run:
        os.environ["TRITON_INTERPRET"] = (
            "1"  # before Triton is imported, here and in the processes started
        )
    sys.path.insert(0, str(CHECKOUT))
    from star.kernels.dispatch import certificates
    from star.kernels.harness.comparison import this_device
    from star.kernels.harness.registry import OPERATIONS

    device = this_device()
    if device.type != "cuda" and not options.dry_run:
        print("no CUDA device here; --dry-run tries the suite on the CPU", file=sys.stderr)
        return 2
    unknown = set(options.operation or ()) - set(OPERATIONS)
    if unknown:
        print(
            f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(OPERATIONS)}",
            file=sys.stderr,
        )
        return 2
    options.output.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {
        **certificates.environment(device),
        "date": datetime.date.today().isoformat(),
    }
    results |= {"certificates": {}, "tests": [], "bench": [], "lengths": [], "notes": []}
    with tempfile.TemporaryDirectory() as scratch:
        suite = Suite(options, Path(scratch), results, options.operation or list(OPERATIONS))
        for step in (certify, tests, lambda s: bench(s, "bench"), lambda s: bench(s, "lengths")):
            step(suite)
            suite.save()
    print(markdown(results))
    return 1 if results["notes"] else 0


if __name__ == "__main__":
    sys.exit(main())
