"""Runs cases, several at a time, each in a scratch folder of its own."""

import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cases.case import SHARED, Case, Scratch
from judge import DAMAGE, OK, SKIPPED, Verdict, judge, read
from launch import Process, Setting, launch

CHECKOUT = Path(__file__).resolve().parents[2]
KEPT = ("PATH", "LANG", "VIRTUAL_ENV", "SYSTEMROOT", "LD_LIBRARY_PATH")
DISK = "disk"


@dataclass(frozen=True)
class Outcome:
    """How a case ended."""

    name: str
    kind: str
    seconds: float
    detail: str


@dataclass
class Places:
    """The folders of a run of cases."""

    root: Path
    shared: Path = field(init=False)

    def __post_init__(self) -> None:
        self.shared = self.root / "shared"
        for name in ("scratch", "output", "home", "cache"):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    def environment(self, extra: Iterable[tuple[str, str]] = ()) -> dict[str, str]:
        """What a command sees: this checkout, and home and cache folders of its own."""
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        own = {
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            "HOME": str(self.root / "home"),
            "STAR_CACHE_DIR": str(self.root / "cache"),
        }
        return {**kept, **own, **dict(extra)}


class Mount:
    """A small disk in memory, for as long as a case runs."""

    def __init__(self, folder: Path, size: str) -> None:
        """Mount it. Raises OSError where this user or system cannot."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))

    def close(self) -> None:
        """Take it away."""
        self._run("umount", "-l", str(self.folder))

    @staticmethod
    def _run(*command: str) -> None:
        try:
            subprocess.run(command, check=True, capture_output=True)
        except subprocess.CalledProcessError as error:
            raise OSError(error.stderr.decode().strip()) from None


class Running:
    """A case that was started."""

    def __init__(self, case: Case, places: Places, real: bool) -> None:
        """Prepare the folder and start the command. Raises OSError where no disk can be mounted."""
        self.first, self.case, self.places, self._real = case, case, places, real
        safe = case.name.replace("/", "__")
        folder = places.root / "scratch" / safe
        remove(folder)
        folder.mkdir(parents=True)
        self._output = places.root / "output" / safe
        self._mount = Mount(folder / DISK, case.disk) if case.disk else None
        self.scratch = Scratch(folder, places.shared, self._start_beside)
        self._began = time.monotonic()
        self._broken = ""  # what went wrong with the case itself
        self._begin(case)

    def _setting(self, case: Case, suffix: str) -> Setting:
        return Setting(
            folder=self.scratch.folder,
            out=self._output.with_name(f"{self._output.name}{suffix}.out"),
            err=self._output.with_name(f"{self._output.name}{suffix}.err"),
            environment=self.places.environment(case.environment),
            real=self._real or case.real,
            plain_user=case.plain_user,
            output=case.output,
            file_size=case.file_size,
        )

    def _words(self, command: Sequence[str]) -> list[str]:
        return [word.replace(SHARED, str(self.places.shared)) for word in command]

    def _start_beside(self, command: Sequence[str]) -> Process:
        name = f".beside{len(self.scratch.started)}"
        return launch(self._words(command), self._setting(self.case, name))

    def _begin(self, case: Case) -> None:
        self.case = case
        try:
            case.prepare(self.scratch)
        except Exception as error:  # of a command beside it, or of what it left
            self._broken = f"it could not be prepared: {error!r}"
        self._setting_now = self._setting(case, "")
        self.process = launch(self._words(case.command), self._setting_now)
        self._acting = case.meanwhile is not None

    def poll(self) -> Outcome | None:
        """The outcome when the case is over, else None."""
        self._act()
        if self.process.poll() is None and self.process.age < self.case.limit:
            return None
        verdict = self._verdict()
        if verdict[0] == OK and self.case.again is not None:
            self._begin(self.case.again)
            return None
        self.end()
        if verdict[0] == OK:
            remove(self.scratch.folder)
        return Outcome(self.first.name, verdict[0], time.monotonic() - self._began, verdict[1])

    def _act(self) -> None:
        """Disturb the command, where the case does and has not done so yet."""
        if not self._acting or self.case.meanwhile is None or self._broken:
            return
        try:
            self._acting = not self.case.meanwhile(self.scratch, self.process)
        except Exception as error:  # of what the command does at the same time
            self._broken = f"it could not be disturbed: {error!r}"

    def _verdict(self) -> Verdict:
        if self._broken:
            self.process.kill()
            return DAMAGE, self._broken
        code, setting = self.process.code, self._setting_now
        if code is None:
            self.process.kill()
        kind, detail = judge(self.case.expected, code, read(setting.out), read(setting.err))
        if kind != OK:
            return kind, detail
        if self._acting:
            return DAMAGE, f"it ended before it could be disturbed; {detail}"
        if self.process.left_behind():
            return DAMAGE, "processes that it started were still there"
        try:
            wrong = self.case.check(self.scratch)
        except Exception as error:  # a file that is missing or cannot be read any more
            wrong = repr(error)
        return (DAMAGE, wrong) if wrong else (OK, detail)

    def end(self) -> None:
        """End what it started beside, and take its disk away."""
        for process in self.scratch.started:
            process.kill()
        if self._mount is not None:
            self._mount.close()


def remove(folder: Path) -> None:
    """Remove a folder whatever its modes are."""
    if not folder.exists():
        return
    for path, _, _ in os.walk(folder):
        os.chmod(path, stat.S_IRWXU)
    shutil.rmtree(os.fsencode(folder))


def run_cases(cases: Sequence[Case], places: Places, jobs: int, real: bool) -> Iterator[Outcome]:
    """Run cases, so many at a time; outcomes come as they end."""
    waiting, running = list(reversed(cases)), []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                case = waiting.pop()
                try:
                    running.append(Running(case, places, real))
                except OSError as error:
                    yield Outcome(case.name, SKIPPED, 0.0, str(error))
            for one in list(running):
                outcome = one.poll()
                if outcome is not None:
                    running.remove(one)
                    yield outcome
            time.sleep(0.01)
    finally:
        for one in running:
            one.process.kill()
            one.end()
