"""One command as a process: forked from this one, which has everything imported, or a new Python.

A forked command runs the same module as `python -m star.<verb>`, in a folder, environment and
session of its own, and starts in a tenth of a second instead of three. Linux only.
"""

import atexit
import ctypes
import os
import resource
import runpy
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from io import BufferedReader, BufferedWriter, FileIO, TextIOWrapper
from pathlib import Path
from typing import NoReturn

import torch

VERBS = ("evolve", "train", "describe", "generate")
_CAPABILITIES = 64  # numbers that there can be
_DROP_FROM_BOUNDING_SET = 24  # of prctl(2)
_CAPSET, _CAPABILITY_VERSION = 126, 0x20080522  # of capset(2) on x86-64, see capabilities(7)
_MEMORY = 4 * 10**9  # bytes that a command may hold: one that reads without end ends by itself
_GRACE = 5.0  # seconds in which processes that a command started may end behind it


def load_commands() -> None:
    """Import the commands, so that forked ones find them, and what the first optimiser imports.

    Raises RuntimeError where that starts a thread, which a forked process would not have.
    """
    for verb in VERBS:
        import_module(f"star.{verb}")
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])
    if len(os.listdir("/proc/self/task")) > 1:
        raise RuntimeError("importing the commands started threads; --real does without forking")


def use_one_thread() -> None:
    """Start this program again with libraries told to use one thread, unless they are."""
    if os.environ.get("OMP_NUM_THREADS") != "1":
        os.environ["OMP_NUM_THREADS"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.argv])


@dataclass(frozen=True)
class Setting:
    """Where and how a command runs.

    output: `file` keeps standard output, `closed` is a pipe that nobody reads, `full` a device
    without space.
    """

    folder: Path
    out: Path  # where standard output goes
    err: Path  # where standard error goes
    environment: Mapping[str, str]
    real: bool = False
    plain_user: bool = False  # without the capabilities that let root into every file
    output: str = "file"
    file_size: int | None = None  # bytes that a file may have


@dataclass
class Process:
    """A command that runs."""

    pid: int
    started: float = field(default_factory=time.monotonic)
    code: int | None = None  # negative: the signal that ended it

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.started

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def wait(self, seconds: float) -> int | None:
        """Its exit code, or None after so many seconds."""
        end = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        return self.code

    def send(self, number: int) -> None:
        """Send a signal to the command alone."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def left_behind(self, grace: float = _GRACE) -> bool:
        """Whether processes that it started outlive it by `grace` seconds; they are ended then."""
        end = time.monotonic() + grace
        while self._group_is_there():
            if time.monotonic() > end:
                self.kill()
                return True
            time.sleep(0.02)
        return False

    def _group_is_there(self) -> bool:
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def kill(self) -> None:
        """End it and everything that it started."""
        if self._group_is_there():
            os.killpg(self.pid, signal.SIGKILL)
        self.wait(_GRACE)


def launch(command: Sequence[str], setting: Setting) -> Process:
    """Start `star.<command[0]>` with the rest as its arguments."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return Process(pid)
    _become(command, setting)


def _become(command: Sequence[str], setting: Setting) -> NoReturn:
    """What the forked process does."""
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _redirect(setting)
        os.chdir(setting.folder)
        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
        if setting.file_size is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (setting.file_size, setting.file_size))
        if setting.plain_user:
            drop_capabilities()
        verb, *arguments = command
        if setting.real:
            words = [sys.executable, "-m", f"star.{verb}", *arguments]
            os.execve(sys.executable, words, dict(setting.environment))
        os.environ.clear()
        os.environ.update(setting.environment)
        code = _run_here(verb, arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code & 0xFF)


def _redirect(setting: Setting) -> None:
    """Bring the standard streams to where the setting says, for this process and Python's own."""
    if setting.output == "file":
        out = os.open(setting.out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    elif setting.output == "full":
        out = os.open("/dev/full", os.O_WRONLY)
    else:
        unread, out = os.pipe()
        os.close(unread)
    err = os.open(setting.err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number, stream in ((os.open("/dev/null", os.O_RDONLY), 0), (out, 1), (err, 2)):
        os.dup2(number, stream)
        os.close(number)
    sys.stdin = TextIOWrapper(BufferedReader(FileIO(0, closefd=False)), "utf-8")
    sys.stdout = TextIOWrapper(BufferedWriter(FileIO(1, "w", closefd=False)), "utf-8")
    raw = BufferedWriter(FileIO(2, "w", closefd=False))
    sys.stderr = TextIOWrapper(raw, "utf-8", "backslashreplace", line_buffering=True)


def _run_here(verb: str, arguments: list[str]) -> int:
    """Run the module as `python -m` does, to the end of the interpreter; its exit code."""
    sys.argv = [f"star/{verb}.py", *arguments]
    sys.path.insert(0, os.getcwd())
    del sys.modules[f"star.{verb}"]
    try:
        runpy.run_module(f"star.{verb}", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except KeyboardInterrupt:
        traceback.print_exc()
        code = 130
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except OSError:
        sys.stderr.write("Exception ignored in: <stdout>\n")
        code = 120  # Python's own for it
    return code


def drop_capabilities() -> None:
    """Give up all capabilities, for this process and those it starts: root is then an owner like
    any other."""
    library = ctypes.CDLL(None, use_errno=True)
    for number in range(_CAPABILITIES):
        library.prctl(_DROP_FROM_BOUNDING_SET, number, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    library.syscall(_CAPSET, header, (ctypes.c_uint32 * 6)())
