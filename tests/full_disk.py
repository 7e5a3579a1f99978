"""A disk that is full for some files, without one."""

import errno
import os

import pytest


class FullDisk:
    """A disk that is full for every file whose temporary path has a part; `os.fsync` says so.

    Args:
        monkeypatch: of the test.
        part: of the path.
        after: how many such files are still written.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, part: str, after: int = 0) -> None:
        self.is_full, self._part, self._left, self._fsync = True, part, after, os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, descriptor: int) -> None:
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        if self.is_full and self._part in name:
            self._left -= 1
            if self._left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._fsync(descriptor)
