"""Locks on files: one process at a time. The kernel frees them, however their process ends."""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where nothing is locked
    fcntl = None

MOST_BYTES = 500  # of a file that names who holds it
ATTEMPTS, PAUSE_SECONDS = 3, 0.02  # `is_locked` holds a lock for an instant


class LockedError(Exception):
    """Another process, or another place in this one, holds the lock; the message names it."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock on a file, which is there meanwhile and names the process.

    A file that a dead process left is not locked and is taken over. Where the file system knows no
    locks, nothing is locked.

    Args:
        path: of the file, in a folder that exists.

    Raises:
        LockedError: while somebody else holds it.
        OSError: where the file cannot be made.
    """
    descriptor = _acquire(path)
    try:
        with suppress(OSError):  # a full disk hinders no lock
            os.truncate(descriptor, 0)
            os.write(descriptor, _name_of_this_process().encode())
        yield
    finally:
        # Removed while it is held: whoever opened it meanwhile finds that it is gone, see below.
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock on a file now."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return False
    try:
        _lock(descriptor)
    except LockedError:
        return True
    finally:
        os.close(descriptor)
    return False


def _acquire(path: Path) -> int:
    """A descriptor of the locked file; who only asks whether it is locked is waited for."""
    for _ in range(ATTEMPTS - 1):
        with suppress(LockedError):
            return _acquire_now(path)
        time.sleep(PAUSE_SECONDS)
    return _acquire_now(path)


def _acquire_now(path: Path) -> int:
    """Raises `LockedError` while somebody else holds it."""
    while True:
        # It is emptied and removed: nothing that a link stands for.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            _lock(descriptor)
            if _is_file_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder removed it before it was locked here: another try


def _lock(descriptor: int) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, MOST_BYTES, 0).decode("utf-8", "replace")
        raise LockedError(" ".join(holder.split()) or "a process that just begins") from None
    except OSError:  # a file system without locks
        return


def _is_file_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _name_of_this_process() -> str:
    since = datetime.now().isoformat(sep=" ", timespec="seconds")
    return f"process {os.getpid()} on {platform.node()}, since {since}\n"
