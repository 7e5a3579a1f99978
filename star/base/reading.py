"""Paths that others give, and what may lie there: looked at and read without waiting or surprise.

A path may name a pipe that never ends, a folder one may not enter, or nothing that a file system
could hold. Each function here either answers or raises `UserError` with one line.
"""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from star.base.errors import UserError, shown

LARGEST_TEXT = 10**7  # bytes; files of settings and genomes are far smaller
NOTHING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # a path that leads nowhere
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def named(key: str, path: str | Path) -> str:
    """A path as errors name it: `data.path=texts`, or alone where no key holds it."""
    return f"{key}={shown(str(path))}" if key else shown(str(path))


def reason(error: Exception) -> str:
    """What the system said, without the path that it repeats."""
    return getattr(error, "strerror", None) or shown(str(error))


def expanded(path: str | Path) -> Path:
    """A path with `~` and `~name` written out, where there is such a home."""
    return Path(os.path.expanduser(path))


def look(path: str | Path, key: str = "") -> os.stat_result | None:
    """What lies at a path, links followed; None when nothing does.

    Args:
        path: where to look.
        key: the setting that holds the path, for errors.

    Raises:
        UserError: when the system does not say, as behind a folder that may not be entered.
    """
    try:
        return os.stat(path)
    except (OSError, ValueError) as error:  # the latter for a null character
        if getattr(error, "errno", None) in NOTHING:
            return None
        raise UserError(f"{named(key, path)}: cannot be read ({reason(error)})") from None


def is_folder(path: str | Path, key: str = "") -> bool:
    """Whether a folder lies there. Raises `UserError` as `look`."""
    found = look(path, key)
    return found is not None and stat.S_ISDIR(found.st_mode)


def is_file(path: str | Path, key: str = "") -> bool:
    """Whether a regular file lies there. Raises `UserError` as `look`."""
    found = look(path, key)
    return found is not None and stat.S_ISREG(found.st_mode)


def kind_of(path: str | Path, key: str = "") -> str:
    """What lies there in words: `a folder`, `a named pipe`, ...; `a file` for a regular one, and
    nothing where nothing does. Raises `UserError` as `look`."""
    found = look(path, key)
    return "" if found is None else _KINDS.get(stat.S_IFMT(found.st_mode), "a file")


def list_folder(path: str | Path, key: str = "") -> list[os.DirEntry[str]]:
    """The entries of a folder by name. Raises `UserError` for one that cannot be read."""
    try:
        with os.scandir(path) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (OSError, ValueError) as error:
        message = f"the folder {shown(str(path))} cannot be read ({reason(error)})"
        raise UserError(f"{key}: {message}" if key else message) from None


def checked(path: Path, read: Callable[[Path], bytes]) -> bytes:
    """What `read` finds in a regular file. Raises `UserError` when it is none or cannot be read."""
    what = kind_of(path)
    if what not in ("", "a file"):
        raise UserError(f"{named('', path)}: is {what}, expected a file")
    try:
        return read(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{named('', path)}: cannot be read ({reason(error)})") from None


def read_bytes(path: Path) -> bytes:
    """A whole file. Raises `UserError` for one that is no regular file or cannot be read."""
    return checked(path, Path.read_bytes)


def read_text(path: Path, errors: str = "strict") -> str:
    """A file of settings, in UTF-8.

    Args:
        path: of the file.
        errors: what becomes of other bytes, as `bytes.decode` has it.

    Raises:
        UserError: as `read_bytes`, and for a file that is too large or not UTF-8.
    """
    found = look(path)
    if found is not None and found.st_size > LARGEST_TEXT:
        size = f"{found.st_size:,} bytes, expected at most {LARGEST_TEXT:,}"
        raise UserError(f"{named('', path)}: cannot be read (it has {size})")
    try:
        return read_bytes(path).decode("utf-8", errors)
    except UnicodeDecodeError as error:
        at = f"byte {error.start} is not UTF-8"
        raise UserError(f"{named('', path)}: cannot be read ({at})") from None
