"""Hundreds of hostile commands: does each end with one line and exit code 2, or succeed?

    python experiments/robustness/commands.py                 # all, forked; two at a time
    python experiments/robustness/commands.py --only ledger/  # those whose names hold this text

The same command goes on where it was interrupted; results of another commit are not taken.
"""

import argparse
import csv
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from pathlib import Path

import fixtures
from cases import ALL
from cases.case import Case
from judge import FAULTS, OK, SKIPPED, read
from launch import Setting, launch, load_commands, use_one_thread
from runner import CHECKOUT, Outcome, Places, run_cases

COLUMNS = ("commit", "mode", *(field.name for field in fields(Outcome)))
FOLDER = Path("/tmp/star_robustness")  # every user may pass through it


def commit() -> str:
    """The commit of the checkout; with a mark for changes that are not committed."""
    command = ["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


class Results:
    """The CSV of outcomes: the latest of each case, written as soon as it has ended."""

    def __init__(self, path: Path, commit: str, mode: str) -> None:
        """Read what is there."""
        self.path, self._key = path, {"commit": commit, "mode": mode}
        self._all: dict[str, dict[str, str]] = {}
        if path.exists():
            with path.open(newline="") as stream:
                self._all = {row["name"]: row for row in csv.DictReader(stream)}

    @property
    def rows(self) -> dict[str, dict[str, str]]:
        """Those of this commit and mode, by name."""
        return {name: row for name, row in self._all.items() if self._key.items() <= row.items()}

    def failed(self, name: str) -> bool:
        """Whether a case had a fault when it was run last, at whatever commit."""
        return name in self._all and self._all[name]["kind"] in FAULTS

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome."""
        values = {**asdict(outcome), "seconds": f"{outcome.seconds:.2f}"}
        self._all[outcome.name] = {**self._key, **values}
        with self.path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(sorted(self._all.values(), key=lambda row: row["name"]))


def prepare(places: Places, version: str, real: bool) -> None:
    """Make what the cases copy. Raises SystemExit where a command for it fails."""

    def run(command: Sequence[str], folder: Path) -> None:
        out, err = places.root / "prepare.out", places.root / "prepare.err"
        setting = Setting(folder, out, err, places.environment(), real)
        words = [word.replace("{shared}", str(places.shared)) for word in command]
        if launch(words, setting).wait(300) != 0:
            raise SystemExit(f"{' '.join(words)}: {read(err)}")

    fixtures.prepare(places.shared, version, run)


def report(rows: Sequence[dict[str, str]]) -> int:
    """Print what was found; the number of faults."""
    counts = Counter(row["kind"] for row in rows)
    for row in rows:
        if row["kind"] == SKIPPED:
            print(f"skipped     {row['name']}: {row['detail']}")
    for kind in FAULTS:
        for row in rows:
            if row["kind"] == kind:
                print(f"{kind:<11} {row['name']}: {row['detail']}")
    found = ", ".join(f"{counts[kind]} {kind}" for kind in FAULTS)
    print(f"{len(rows)} commands: {counts[OK]} as expected, {counts[SKIPPED]} skipped; {found}")
    return sum(counts[kind] for kind in FAULTS)


def run_all(cases: Sequence[Case], places: Places, jobs: int, real: bool, results: Results) -> None:
    """Run the cases and keep their outcomes, showing how far it is."""
    start = time.monotonic()
    for count, outcome in enumerate(run_cases(cases, places, jobs, real), start=1):
        results.add(outcome)
        left = (time.monotonic() - start) / count * (len(cases) - count)
        shown = timedelta(seconds=round(left))
        line = f"{count}/{len(cases)}  {shown} left  {outcome.kind:<10} {outcome.name}"
        detail = f": {outcome.detail}" if outcome.kind != OK else ""
        print(f"{line}  {outcome.seconds:.1f} s{detail}", flush=True)


def main() -> None:
    """Run what has no result yet; the exit code tells whether faults were found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", default="", help="names that hold this text")
    parser.add_argument("--jobs", type=int, default=2, help="commands at a time")
    parser.add_argument("--real", action="store_true", help="a new Python for each command")
    parser.add_argument("--failed", action="store_true", help="only what had faults before")
    parser.add_argument("--again", action="store_true", help="also what has a result")
    parser.add_argument("--list", action="store_true", help="print the commands only")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of all that is written")
    parser.add_argument("--results", type=Path, help="CSV; in the folder when not given")
    options = parser.parse_args()
    cases = [case for case in ALL if options.only in case.name]
    if options.list:
        for case in cases:
            print(f"{case.name}: star.{' '.join(case.command)}")
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    mode = "real" if options.real else "forked"
    path = options.results or options.folder / f"results_{mode}.csv"
    version = commit()
    results = Results(path, version, mode)
    if options.failed:
        cases = [case for case in cases if results.failed(case.name)]
    use_one_thread()
    if not options.real:
        load_commands()
    places = Places(options.folder)
    prepare(places, version, options.real)
    waiting = [case for case in cases if options.again or case.name not in results.rows]
    print(f"{len(waiting)} of {len(cases)} commands, {datetime.now():%H:%M}", flush=True)
    run_all(waiting, places, options.jobs, options.real, results)
    rows = [results.rows[case.name] for case in cases if case.name in results.rows]
    sys.exit(1 if report(rows) else 0)


if __name__ == "__main__":
    main()
