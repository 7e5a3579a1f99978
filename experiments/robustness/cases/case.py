"""A hostile command and what is expected of it, and the scratch folder that it runs in."""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from launch import Process

SHARED = "{shared}"  # in an argument: the folder of what was prepared for all cases
LONGEST_LINE = 2100  # characters of an error that a reader still reads


@dataclass
class Scratch:
    """The folder of one case, which is also where its command runs."""

    folder: Path
    shared: Path  # what was prepared for all cases, see fixtures.py
    start: Callable[[Sequence[str]], Process]  # another command in the same folder
    started: list[Process] = field(default_factory=list)  # ended behind the case

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def text(self, name: str, content: str | bytes) -> Path:
        """Write a file, with the folders above it."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def copy(self, prepared: str, name: str | None = None) -> Path:
        """A copy of a folder that was prepared for all cases."""
        return shutil.copytree(self.shared / prepared, self.folder / (name or prepared))

    def run_beside(self, command: Sequence[str], until: Callable[[], bool]) -> Process:
        """Start another command, and wait until something is so; it is ended behind the case.

        Raises TimeoutError when it does not come to be so within half a minute.
        """
        process = self.start(command)
        self.started.append(process)
        end = time.monotonic() + 30
        while not until():
            if time.monotonic() > end or process.poll() is not None:
                raise TimeoutError(f"{' '.join(command)}: ended with {process.code}, or waited for")
            time.sleep(0.05)
        return process


@dataclass(frozen=True)
class Expected:
    """What a command has to do.

    A refusal is one line on standard error that begins with `error:`.
    """

    codes: tuple[int, ...]
    words: tuple[str, ...] = ()  # on standard error or, of a success, anywhere
    silent: tuple[str, ...] = ()  # what must not be printed


def refused(*words: str) -> Expected:
    """Exit code 2 and one line, which holds these words."""
    return Expected((2,), words)


def failed(*words: str) -> Expected:
    """Exit code 1 or 2 and one line: what was begun could not be ended."""
    return Expected((1, 2), words)


def done(*words: str, silent: tuple[str, ...] = ()) -> Expected:
    """Exit code 0, with these words printed."""
    return Expected((0,), words, silent)


def either(*words: str) -> Expected:
    """Either of both, the words in the refusal: the issue leaves it open."""
    return Expected((0, 2), words)


def nothing(scratch: Scratch) -> None:
    """The preparation of a case that needs none."""


def fine(scratch: Scratch) -> str:
    """The check of a case that has none."""
    return ""


@dataclass(frozen=True)
class Case:
    """One command and its end."""

    name: str  # <subject>/<what>
    command: tuple[str, ...]  # the verb and its arguments
    expected: Expected
    prepare: Callable[[Scratch], object] = nothing
    # What is wrong with the folder behind the command; empty when nothing is.
    check: Callable[[Scratch], str] = fine
    # Called again and again while it runs, until it returns True.
    meanwhile: Callable[[Scratch, Process], bool] | None = None
    again: "Case | None" = None  # a further command in the same folder
    environment: tuple[tuple[str, str], ...] = ()
    real: bool = False  # always in a Python of its own: imports or encodings are the point
    plain_user: bool = False
    output: str = "file"  # see launch.Setting
    disk: str | None = None  # size of a small disk mounted at `disk/`
    file_size: int | None = None
    limit: float = 60.0  # seconds


def tabular(*arguments: str) -> tuple[str, ...]:
    """The smallest search: from a table, without training."""
    small = ("search.population=4", "search.generations=1", "search.baselines=[]")
    return ("evolve", "+experiment=tabular", *small, *arguments)


def prepared_search(*arguments: str) -> tuple[str, ...]:
    """The search that `fixtures.py` prepared in `tabular/`."""
    return tabular("search.population=6", "search.generations=3", *arguments)


def smoke(*arguments: str) -> tuple[str, ...]:
    """The smallest search that trains."""
    small = ("search.population=4", "search.generations=1", "search.baselines=[]")
    text = ("data=files", f"data.path={SHARED}/texts", "executor.workers=1")
    return ("evolve", "+experiment=smoke", *small, *text, *arguments)


def train(*arguments: str, steps: int = 12) -> tuple[str, ...]:
    """The smallest training, of which `fixtures.py` prepared one in `training/`."""
    sizes = ("genome=lfm2", "depth=3", "width=32", "training.length=64", "training.batch_size=2")
    rest = ("training.validation_batches=1", "tensorboard=never", "checkpoint_every=5")
    text = ("data=files", f"data.path={SHARED}/texts")
    return ("train", *sizes, *rest, f"steps={steps}", *text, *arguments)


def describe(*arguments: str) -> tuple[str, ...]:
    """Describe a small genome."""
    return ("describe", "width=32", *arguments)


def generate(*arguments: str) -> tuple[str, ...]:
    """Generate a little from a checkpoint."""
    return ("generate", "tokens=5", *arguments)
