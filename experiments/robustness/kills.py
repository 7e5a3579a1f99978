"""Kill a search at random moments, and disturb it in between: is the result the undisturbed one?

    python experiments/robustness/kills.py            # ten kills, in about three minutes
    python experiments/robustness/kills.py --seed 3   # other moments

The search runs on a small disk of its own, with one worker. Between the kills the disk is full, a
worker is killed, and a text changes, each while it runs. Every command that ends by itself has to
end with its results or with one line that says why not.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from fixtures import write_texts
from judge import read
from launch import Process, Setting, launch, load_commands, use_one_thread
from runner import DISK, Mount, Places

from star.runs.columns import TIMING_COLUMNS

EARLIEST, SHARE = 0.5, 1 / 6  # a search is killed so many seconds after its start at the earliest,
# and at the latest after this share of the time that it takes undisturbed
ORPHANED = 60.0  # seconds in which a worker notices: its start takes so long on a busy machine
LIMIT = 300.0  # seconds that no command of this search takes
FULL, ROOMY = "64k", "100m"  # sizes of the disk
COMMAND = (
    *("evolve", "+experiment=smoke", "search.population=8", "search.generations=4"),
    *("search.baselines=[lfm2]", "search.halving.rungs=[20]", "training.steps=60"),
    *("data=files", "data.path=texts", "executor.workers=1"),
)
CSVS = ("population.csv", "pareto.csv")


@dataclass(frozen=True)
class Row:
    """One command of the disturbed search, as the table shows it."""

    what: str
    seconds: float
    ending: str
    rows: int  # finished candidates then
    fault: str = ""  # what is wrong with the ending


class Disturbed:
    """The search that is disturbed, and how its commands end."""

    latest = 4.0  # seconds after its start

    def __init__(self, places: Places, folder: Path, seed: int, real: bool) -> None:
        """folder: of the search; it holds its texts, and its small disk."""
        self.folder, self.run = folder, folder / DISK / "run"
        self._random = random.Random(seed)
        self._setting = Setting(
            folder, folder / "out", folder / "err", places.environment(), real=real
        )

    def start(self) -> Process:
        """Start the command."""
        return launch((*COMMAND, f"run_dir={DISK}/run"), self._setting)

    def finished(self) -> int:
        """Candidates in the run's population."""
        path = self.run / CSVS[0]
        return max(0, path.read_text().count("\n") - 1) if path.exists() else 0

    def row(self, what: str, process: Process, codes: Sequence[int], word: str = "") -> Row:
        """How a command ended that was let run; `word` has to be in the line of a failure."""
        code = process.wait(LIMIT)
        lines = [line for line in read(self._setting.err).splitlines() if line.strip()]
        line = lines[-1] if lines else ""
        fault = ""
        if code is None:
            fault = "it hangs"
        elif code not in codes:
            fault = f"expected exit {' or '.join(map(str, codes))}"
        elif "Traceback" in read(self._setting.err):
            fault = "a traceback"
        elif code != 0 and (len(lines) != 1 or word not in line):
            fault = f"expected one line with {word!r}" if word else "expected one line"
        seconds = process.age
        process.kill()
        ending = f"exit {code}" + (f": {line[:120]}" if code != 0 else "")
        return Row(what, seconds, ending, self.finished(), fault)

    def killed(self, everything: bool) -> Row:
        """Kill it at a random moment, alone or with its workers."""
        moment = self._random.uniform(EARLIEST, self.latest)
        process = self.start()
        process.wait(moment)
        what = "kill -9 of all processes" if everything else "kill -9"
        if process.poll() is not None:  # it was faster
            return self.row(f"{what}, too late", process, (0,))
        if everything:
            process.kill()
            return Row(what, moment, "killed", self.finished())
        process.send(signal.SIGKILL)
        process.wait(LIMIT)
        fault = "its worker goes on without it" if process.left_behind(ORPHANED) else ""
        return Row(what, moment, "killed", self.finished(), fault)

    def full_disk(self) -> Row:
        """Run it on a disk that becomes full, and make room again."""
        self._resize(FULL)
        row = self.row("the disk is full", self.start(), (0, 2), DISK)
        self._resize(ROOMY)
        return row

    def _resize(self, size: str) -> None:
        used = shutil.disk_usage(self.folder / DISK).used // 1024 + 8
        wanted = f"{used}k" if size == FULL else size  # tmpfs cannot become smaller than its files
        command = ["mount", "-o", f"remount,size={wanted}", str(self.folder / DISK)]
        subprocess.run(command, check=True, capture_output=True)

    def _wait_for_result(self, process: Process) -> None:
        before, end = self.finished(), time.monotonic() + LIMIT
        while process.poll() is None and self.finished() <= before and time.monotonic() < end:
            time.sleep(0.05)

    def killed_worker(self) -> Row:
        """Kill the worker once it has trained something, and the search a little later."""
        process = self.start()
        self._wait_for_result(process)
        count = _kill_workers(process)
        process.wait(self._random.uniform(EARLIEST, self.latest))
        what = f"kill -9 of {count} worker{'' if count == 1 else 's'}, then of the search"
        if process.poll() is not None:
            return self.row(what, process, (0,))
        process.kill()
        return Row(what, process.age, "killed", self.finished())

    def changed_text(self, worker: bool) -> Row:
        """Change a text before it starts or while it runs and loses its worker; then undo it."""
        path = self.folder / "texts/text_03.txt"
        before = path.read_text()
        try:
            if not worker:
                path.write_text(before.upper())
                return self.row("a text changed before", self.start(), (2,), "data")
            process = self.start()
            self._wait_for_result(process)
            path.write_text(before.upper())
            _kill_workers(process)
            return self.row("a text changed, then kill -9 of the worker", process, (2,), "data")
        finally:
            path.write_text(before)

    def to_the_end(self, what: str = "to the end") -> Row:
        """Let it run."""
        return self.row(what, self.start(), (0,))


def _kill_workers(process: Process) -> int:
    """Kill the Python processes that a search started to train in; how many."""
    count = 0
    for path in Path("/proc").iterdir():
        if not path.name.isdecimal() or int(path.name) == process.pid:
            continue
        try:
            in_session = os.getsid(int(path.name)) == process.pid
            if in_session and b"spawn_main" in (path / "cmdline").read_bytes():
                os.kill(int(path.name), signal.SIGKILL)
                count += 1
        except (ProcessLookupError, FileNotFoundError):
            continue
    return count


def same(one: Path, other: Path) -> list[str]:
    """Where the results of two runs differ, in words."""
    wrong = []
    for name in CSVS:
        tables = [pd.read_csv(run / name, dtype=str) for run in (one, other)]
        kept = [table.drop(columns=list(TIMING_COLUMNS)) for table in tables]
        if not kept[0].equals(kept[1]):
            counts = " and ".join(str(len(table)) for table in tables)
            wrong.append(f"{name} differs ({counts} rows)")
    genomes = [sorted(path.name for path in (run / "genomes").iterdir()) for run in (one, other)]
    if genomes[0] != genomes[1]:
        wrong.append("genomes/ differs")
    for path in other.rglob(".*"):
        wrong.append(f"{path.relative_to(other)} was left")
    return wrong


def disturb(search: Disturbed) -> list[Callable[[], Row]]:
    """What happens to the search, in order: ten kills of it, and the others in between."""
    kill, kill_all = lambda: search.killed(False), lambda: search.killed(True)
    return [
        *(kill, kill_all, kill),
        search.full_disk,
        *(kill_all, kill),
        search.killed_worker,
        kill_all,
        lambda: search.changed_text(worker=False),
        kill,
        lambda: search.changed_text(worker=True),
        *(kill_all, kill),
        search.to_the_end,
        lambda: search.to_the_end("once more"),
    ]


def main() -> None:
    """Run both searches and compare them; the exit code tells whether anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--real", action="store_true", help="a new Python for each command")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/star_kills"))
    options = parser.parse_args()
    use_one_thread()
    if not options.real:
        load_commands()
    places = Places(options.folder)
    folders = [options.folder / name for name in ("undisturbed", f"seed_{options.seed}")]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    # One folder of texts for both, since a run remembers the path and nothing else does.
    for folder in folders:
        write_texts(folder / "texts")
    faults = run_both(places, folders, options.seed, options.real)
    for fault in faults:
        print(f"fault: {fault}")
    print(f"{len(faults)} faults" if faults else "the same result as undisturbed, without a fault")
    sys.exit(1 if faults else 0)


def run_both(places: Places, folders: Sequence[Path], seed: int, real: bool) -> list[str]:
    """Run the search undisturbed and disturbed, printing a table; what is wrong, in words."""
    plain, search = (Disturbed(places, folder, seed, real) for folder in folders)
    mounts = []
    faults = []
    try:
        mounts += [Mount(folder / DISK, ROOMY) for folder in folders]
        print("| what | seconds | ending | candidates |\n|---|---|---|---|")
        first = show(plain.to_the_end("undisturbed"))
        faults += [first.fault] if first.fault else []
        search.latest = max(search.latest, SHARE * first.seconds)
        for act in disturb(search):
            row = show(act())
            faults += [f"{row.what}: {row.fault}; {row.ending}"] if row.fault else []
        faults += same(plain.run, search.run)
    finally:
        for mount in mounts:
            mount.close()
    return faults


def show(row: Row) -> Row:
    """Print a line of the table."""
    fault = f" **{row.fault}**" if row.fault else ""
    print(f"| {row.what} | {row.seconds:.1f} | {row.ending}{fault} | {row.rows} |", flush=True)
    return row


if __name__ == "__main__":
    main()
