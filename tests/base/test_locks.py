"""A lock belongs to one process, is named by it, and ends with it."""

import multiprocessing
import os
import platform
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from star.base.locks import LockedError, locked


def hold(path: Path, told: Connection) -> None:
    with locked(path):
        told.send(os.getpid())
        signal.pause()


def test_a_second_one_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "lock"),
        pytest.raises(
            LockedError, match=rf"process {os.getpid()} on {platform.node()}, since \d{{4}}-"
        ),
        locked(tmp_path / "lock"),
    ):
        pass


def test_it_is_free_and_leaves_nothing_behind_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), locked(tmp_path / "lock"):
            raise ZeroDivisionError
        assert not list(tmp_path.iterdir())


def test_that_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(
        target=hold, args=(tmp_path / "lock", there)
    )
    process.start()
    assert here.poll(30)
    with pytest.raises(LockedError, match=f"process {here.recv()} "), locked(tmp_path / "lock"):
        pass
    process.kill()
    process.join()
    assert (tmp_path / "lock").exists()
    with locked(tmp_path / "lock"):
        assert f"process {os.getpid()} " in (tmp_path / "lock").read_text()


def test_a_file_system_without_locks_hinders_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(descriptor: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("star.base.locks.fcntl.flock", unsupported)
    with locked(tmp_path / "lock"), locked(tmp_path / "lock"):
        pass


def test_nothing_that_a_link_stands_for_is_locked_or_changed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "lock").symlink_to("mine")
    with pytest.raises(OSError, match="symbolic links"), locked(tmp_path / "lock"):
        pass
    assert (tmp_path / "mine").read_text() == "mine" and (tmp_path / "lock").is_symlink()
