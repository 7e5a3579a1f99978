"""The files of a folder or a glob: each once, however many links lead to it, in any circle.

A file is known by its device and inode. Of its paths the one without links counts, since its name
decides on which side of the held-out split the file is: a link that is added moves no other file.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from glob import has_magic
from pathlib import Path

from star.base.reading import is_folder, list_folder, look

KEY = "data.path"
ANY_DEPTH = "**"  # a part of a glob: this folder and all below it


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def files_below(root: Path) -> list[Path]:
    """Every regular file below a folder, each once; linked folders and files count too.

    Raises `UserError` for a folder that cannot be read.
    """
    return files_once(
        Path(entry.path) for folder in folders_below(root) for entry in list_folder(folder, KEY)
    )


def folders_below(root: Path, hidden: bool = True) -> Iterator[Path]:
    """A folder and every folder below it, each once; those that links lead to last.

    A link to a folder that holds this one is a circle, and is not followed.

    Raises `UserError` for a folder that cannot be read.
    """
    above = (look(folder, KEY) for folder in Path(os.path.realpath(root)).parents)
    seen = {_identity(status) for status in above if status is not None}
    found, linked = [root], []
    while found or linked:
        folder = found.pop() if found else linked.pop(0)
        status = look(folder, KEY)
        if status is None or _identity(status) in seen:
            continue
        seen.add(_identity(status))
        yield folder
        for entry in list_folder(folder, KEY):
            if (hidden or not entry.name.startswith(".")) and _leads_to_folder(entry):
                (linked if entry.is_symlink() else found).append(Path(entry.path))


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    return is_folder(entry.path, KEY) if entry.is_symlink() else entry.is_dir()


def files_once(paths: Iterable[Path]) -> list[Path]:
    """The regular files among paths, each under one of its paths. Raises `UserError` as `look`."""
    found: dict[tuple[int, int], list[Path]] = {}
    for path in paths:
        status = look(path, KEY)
        if status is not None and stat.S_ISREG(status.st_mode):
            found.setdefault(_identity(status), []).append(path)
    return [min(same, key=_by_links) if len(same) > 1 else same[0] for same in found.values()]


def _by_links(path: Path) -> tuple[bool, str]:
    return os.path.realpath(path) != os.path.abspath(path), str(path)


def glob_files(pattern: Path) -> list[Path]:
    """The regular files that match a glob, each once; `**` is any depth.

    As in a shell, names that begin with a dot match only a part that does.

    Raises:
        UserError: for a folder that cannot be read.
    """
    parts = list(pattern.parts[1:] if pattern.anchor else pattern.parts)
    found = [Path(pattern.anchor)]
    for index, part in enumerate(parts):
        is_last = index == len(parts) - 1
        found = list(dict.fromkeys(p for path in found for p in _matching(path, part, is_last)))
    return files_once(found)


def _matching(folder: Path, part: str, is_last: bool) -> Iterator[Path]:
    """Paths that one part of a glob leads to from a folder."""
    if not has_magic(part):
        yield folder / part
        return
    if not is_folder(folder, KEY):
        return
    if part == ANY_DEPTH:
        for below in folders_below(folder, hidden=False):
            yield from _matching(below, "*", True) if is_last else (below,)
        return
    hidden = part.startswith(".")
    for entry in list_folder(folder, KEY):
        if fnmatchcase(entry.name, part) and (hidden or not entry.name.startswith(".")):
            yield folder / entry.name
