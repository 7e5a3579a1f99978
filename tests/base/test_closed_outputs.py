"""Readers that go away, outputs that cannot be written, and Ctrl-C while a command is imported."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from star.base import interrupts
from star.base.console import make_console
from star.base.interrupts import exit_at_once, raised_interrupts
from star.base.outputs import checked_output


def leave_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let standard output be a pipe whose reader has gone."""
    read, write = os.pipe()
    os.close(read)
    monkeypatch.setattr(sys, "stdout", open(write, "w"))  # noqa: SIM115


def ended_by(act: Callable[[], None]) -> int:
    with pytest.raises(SystemExit) as ended, checked_output():
        act()
    return ended.value.code  # type: ignore[return-value]


def test_a_pipe_without_a_reader_ends_a_command_silently(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_unread(monkeypatch)
    assert ended_by(lambda: print("more")) == 141  # noticed when the buffer is flushed
    assert capsys.readouterr().err == ""


def test_and_so_does_one_that_is_flushed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_unread(monkeypatch)
    assert ended_by(lambda: print("more", flush=True)) == 141


def test_a_console_leaves_the_pipe_to_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_unread(monkeypatch)
    console = make_console()
    thread = threading.Thread(target=console.print, args=["of a progress bar"])
    thread.start()
    thread.join()
    assert ended_by(lambda: console.print("more")) == 141


def test_another_broken_pipe_is_no_reader_that_has_gone() -> None:
    def of_a_worker() -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with pytest.raises(BrokenPipeError), checked_output():
        of_a_worker()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has such a device")
def test_a_full_disk_behind_the_output_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert ended_by(lambda: print("much")) == 2
    expected = "error: the output cannot be written (No space left on device)\n"
    assert capsys.readouterr().err == expected


def test_a_closed_output_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with checked_output():
        assert not sys.stdout.isatty()
        print("to nobody")


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """What the process would have exited with."""
    codes: list[int] = []
    monkeypatch.setattr(interrupts.os, "_exit", codes.append)
    before = signal.getsignal(signal.SIGINT)
    yield codes
    signal.signal(signal.SIGINT, before)


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)


def test_ctrl_c_ends_at_once_but_within_a_task(
    exits: list[int], capfd: pytest.CaptureFixture[str]
) -> None:
    exit_at_once()
    press()
    assert exits == [130] and capfd.readouterr().err == "interrupted\n"
    with pytest.raises(KeyboardInterrupt), raised_interrupts():
        press()
    press()
    assert exits == [130, 130]


def test_who_ignores_ctrl_c_goes_on_ignoring_it(exits: list[int]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a script
    exit_at_once()
    with raised_interrupts():
        press()
    press()
    assert exits == [] and signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["describe", "train", "evolve", "generate"])
def test_ctrl_c_while_a_command_is_imported(verb: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", f"star.{verb}", "genome=lfm2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while "torch" not in Path(f"/proc/{process.pid}/maps").read_text():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    assert process.communicate() == ("", "interrupted\n")
    assert process.returncode == 130


@pytest.mark.slow
def test_a_pipe_that_closes_early() -> None:
    command = f"{sys.executable} -m star.describe genome=lfm2 | true"
    result = subprocess.run(
        ["bash", "-c", f'{command}; exit "${{PIPESTATUS[0]}}"'], capture_output=True, text=True
    )
    assert (result.returncode, result.stdout, result.stderr) == (141, "", "")
