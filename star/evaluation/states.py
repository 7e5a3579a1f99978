"""Training states between the rungs of successive halving, where every worker can reach them.

A store is a folder, or a URL that fsspec knows, such as `s3://bucket/states` or `memory://states`.
What it loses, or cannot reach, only costs time: a training without a state begins anew.
"""

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from star.base.errors import UserError

SUFFIX = ".safetensors"


class StateStore:
    """One file a genome, under its id."""

    def __init__(self, url: str) -> None:
        """url: a folder or an fsspec URL. Raises `UserError` for one that fsspec does not know."""
        self.url = url
        try:
            self._files, self._root = fsspec.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise UserError(
                f"executor.states={url}: {' '.join(str(error).split())}; expected a folder or an "
                "fsspec URL"
            ) from None

    def __reduce__(self) -> tuple[type["StateStore"], tuple[str]]:
        return StateStore, (self.url,)  # file systems hold locks, which cannot be sent

    @contextmanager
    def opened(self, name: str) -> Iterator[Path]:
        """A local path to read a state from and write it to; what was written is kept."""
        place = f"{self._root}/{name}{SUFFIX}"
        if isinstance(self._files, LocalFileSystem):
            yield Path(place)
            return
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / f"{name}{SUFFIX}"
            self._get(place, local)
            before = local.stat().st_mtime_ns if local.exists() else None
            yield local
            if local.exists() and local.stat().st_mtime_ns != before:
                with suppress(OSError):
                    self._put(local, place)

    def _get(self, place: str, local: Path) -> None:
        """Download a file; nothing of one that is not there or does not come whole."""
        try:
            self._files.get_file(place, str(local))
        except OSError:
            local.unlink(missing_ok=True)

    def _put(self, local: Path, place: str) -> None:
        """Upload a file under a name of its own, then move it, so that nobody reads half of it."""
        self._files.makedirs(self._root, exist_ok=True)
        unfinished = f"{place}.{uuid.uuid4().hex}"
        self._files.put_file(str(local), unfinished)
        self._files.mv(unfinished, place)

    def clear(self) -> None:
        """Remove all states, and their folder unless somebody keeps other files there."""
        with suppress(OSError):
            self._files.invalidate_cache()
            found = self._files.ls(self._root, detail=False)
            states = [path for path in found if SUFFIX in path.rpartition("/")[2]]
            if states:
                self._files.rm(states)
            self._files.rmdir(self._root)
