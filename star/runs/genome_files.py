"""The genome files of a run's front, in a folder where users may keep genome files of their own.

`SHA256SUMS` beside them, which `sha256sum --check` reads, says which ones the run wrote. Only these
are removed when their genomes leave the front, and only while they are as the run wrote them.
"""

import csv
import hashlib
import os
import re
from collections.abc import Iterable, Set
from contextlib import suppress
from pathlib import Path

from star.base import files
from star.base.errors import UserError, shown
from star.base.reading import list_folder
from star.genomes import GenomeFile, genome_file_text

SUMS = "SHA256SUMS"
_LINE = re.compile(r"(?P<digest>[0-9a-f]{64})  (?P<name>[^/]+\.yaml)")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read_sums(folder: Path) -> dict[str, str]:
    """Digests by name; a line that is no such line stands for no file."""
    path = folder / SUMS
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    matches = map(_LINE.fullmatch, text.splitlines())
    return {match["name"]: match["digest"] for match in matches if match}


def written_genomes(folder: Path) -> set[Path]:
    """The genome files in a folder that a run wrote there, as absolute paths."""
    with suppress(OSError):
        real = Path(os.path.realpath(folder))
        return {real / name for name in _read_sums(folder)}
    return set()


def genome_paths(folder: Path, key: str, left_out: Set[Path] = frozenset()) -> list[Path]:
    """The genome files in a folder (`*.yaml`), by name.

    Args:
        folder: where to look.
        key: the setting that names it, for errors.
        left_out: absolute paths of those that do not count.

    Raises:
        UserError: for a folder that cannot be read, or holds none.
    """
    real = Path(os.path.realpath(folder))
    paths = [Path(entry.path) for entry in list_folder(folder, key)]
    found = [path for path in paths if path.suffix == ".yaml" and real / path.name not in left_out]
    if not found:
        raise UserError(f"{key}: the folder {shown(str(folder))} holds no genome files (*.yaml)")
    return found


class GenomeFiles:
    """The genome files of one run."""

    def __init__(self, folder: Path, candidates: Path) -> None:
        """Make the folder, or go on in it.

        Args:
            folder: of the files.
            candidates: the run's `population.csv`. One that is there before the sums is of an
                earlier version: the files named after its candidates are the run's own then.

        Raises:
            OSError: when it cannot be written.
        """
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        files.remove_leftovers(folder, rf"[0-9a-z]+\.yaml|{SUMS}")
        self._sums = _read_sums(folder)
        if not (folder / SUMS).exists():
            self._sums = self._adopted(candidates)
            self._write_sums()

    def _adopted(self, candidates: Path) -> dict[str, str]:
        if not candidates.exists():
            return {}
        with candidates.open(encoding="utf-8", errors="replace", newline="") as stream:
            names = {f"{row.get('genome_id')}.yaml" for row in csv.DictReader(stream)}
        found = [path for path in self._folder.glob("*.yaml") if path.name in names]
        return {path.name: _digest(path.read_bytes()) for path in found}

    def _write_sums(self) -> None:
        lines = (f"{digest}  {name}\n" for name, digest in sorted(self._sums.items()))
        files.write_text(self._folder / SUMS, "".join(lines))

    def write(self, front: Iterable[GenomeFile]) -> None:
        """Write the files of the front that are missing, and remove those that have left it.

        Raises `OSError` when they cannot be written.
        """
        wanted = {f"{content.name}.yaml": content for content in front}
        missing = {
            name: genome_file_text(content).encode()
            for name, content in wanted.items()
            if not os.path.lexists(self._folder / name)
        }
        left = self._sums.keys() - wanted.keys()
        if not missing and not left:
            return
        # Noted first: a file that is not noted is not the run's, whenever the run is killed.
        self._sums.update({name: _digest(content) for name, content in missing.items()})
        self._write_sums()
        for name, content in missing.items():
            files.write_bytes(self._folder / name, content)
        for name in left:
            with suppress(FileNotFoundError):
                if _digest((self._folder / name).read_bytes()) == self._sums[name]:
                    (self._folder / name).unlink()
            del self._sums[name]
        if left:
            self._write_sums()
