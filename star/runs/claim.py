"""The folder of a run is its own: files of others are not overwritten, and one process works in it.

A run leaves its configuration first. So a folder that has one is known by it, and one that has none
must not hold any file that the run would write.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from star.base.errors import UserError
from star.base.files import remove_leftovers, writing
from star.base.locks import LockedError, locked
from star.base.reading import kind_of
from star.runs.provenance import COMMAND, CONFIGURATION, ENVIRONMENT

LOCK = ".star.lock"


@contextmanager
def claimed_folder(
    path: Path,
    written: Sequence[str],
    check_configuration: Callable[[], None],
    own: Sequence[str] = (),
) -> Iterator[None]:
    """Make a run folder, or go on in it, and keep other processes away meanwhile.

    Half-written files of processes that were killed in it are removed.

    Args:
        path: of the folder.
        written: names of what such a run writes there, beside the files of its provenance.
        check_configuration: raises `UserError` unless the configuration there is this run's.
        own: names of what it may leave there before its configuration.

    Raises:
        UserError: while another process works in it, where it cannot be written, or for a folder
            with something else; nothing in it is changed then.
    """
    names = (ENVIRONMENT, COMMAND, *written)
    with ExitStack() as held:
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked_folder(path))
            _check_kinds(path, (CONFIGURATION, *own, *names))
            if (path / CONFIGURATION).exists():
                check_configuration()
            else:
                _check_free(path, names)
            remove_leftovers(path, "|".join(map(re.escape, (CONFIGURATION, *names))))
        yield


@contextmanager
def locked_folder(path: Path, key: str = "run_dir") -> Iterator[None]:
    """Keep other processes away from a run folder that is there.

    Args:
        path: of the folder.
        key: the setting that names it, for errors.

    Raises:
        UserError: while another process works in it, or where it cannot be written.
    """
    with ExitStack() as held:
        try:
            with writing(path):
                held.enter_context(locked(path / LOCK))
        except LockedError as error:
            raise UserError(
                f"{key}={path}: another process works in it ({error}); wait for its end, or choose "
                "another folder"
            ) from None
        yield


def _check_kinds(path: Path, names: Sequence[str]) -> None:
    """Raise `UserError` for a pipe or a device in place of a file: reading it might never end."""
    for name in names:
        if kind_of(path / name, "run_dir") not in ("", "a file", "a folder"):
            raise UserError(
                f"run_dir={path}: {name} there is no regular file; choose another folder"
            )


def _check_free(path: Path, names: Sequence[str]) -> None:
    """Raise `UserError` where a file would be overwritten that no run of this program left."""
    for name in names:
        if os.path.lexists(path / name):
            raise UserError(
                f"run_dir={path}: holds {name} without {CONFIGURATION} of a run that left it, and "
                "would be overwritten; choose another folder"
            )
