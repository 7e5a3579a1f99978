"""The tokenised corpus on disk: two byte files and a description, verified whenever they are
opened.

A cache entry is written to a temporary folder and moved into place, so that readers never see half
of one. Anything wrong with an entry only means that it is built again.
"""

import hashlib
import json
import logging
import os
import shutil
from pathlib import Path

import platformdirs

from star.base.errors import UserError
from star.base.files import temporary_folder
from star.base.reading import named, read_bytes, read_text, reason
from star.data.sources import Document
from star.data.tokenizers import SEPARATOR, encoded

FORMAT = 1
PARTS = ("train", "validation")

log = logging.getLogger(__name__)


def cache_root() -> Path:
    """The folder of all cached corpora: `STAR_CACHE_DIR` or the user's cache directory."""
    return Path(os.environ.get("STAR_CACHE_DIR") or platformdirs.user_cache_dir("star")) / "corpora"


def listing_key(parts: dict[str, list[Document]]) -> str:
    """Key of a cache entry: changes when any file's name, size or times, or the split, changes."""
    digest = hashlib.sha256(f"format {FORMAT}".encode())
    for part in PARTS:
        for file in parts[part]:
            digest.update(encoded(f"{part}\0{file.stamp()}\n"))
    return digest.hexdigest()[:24]


def _sha256(path: Path) -> str:
    return hashlib.sha256(read_bytes(path)).hexdigest()


def verified(entry: Path) -> dict[str, str] | None:
    """The description of a whole entry, or None when it is missing, incomplete or corrupt."""
    try:
        description = json.loads(read_text(entry / "corpus.json"))
        whole = all(_sha256(entry / f"{part}.bin") == description[part] for part in PARTS)
    except (UserError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return description if whole and isinstance(description.get("fingerprint"), str) else None


def _read(document: Document) -> bytes:
    content = document.read()
    return b"" if SEPARATOR in content else content  # a NUL byte tells a binary file


def build(entry: Path, parts: dict[str, list[Document]]) -> dict[str, str]:
    """Write a cache entry and return its description.

    Raises `UserError` for files that cannot be read, change meanwhile, or are empty.
    """
    entry.parent.mkdir(parents=True, exist_ok=True)
    work = temporary_folder(entry.parent, "building")
    try:
        fingerprint = hashlib.sha256(f"format {FORMAT}".encode())
        description: dict[str, str] = {}
        for part in PARTS:
            with (work / f"{part}.bin").open("wb") as stream:
                for file in parts[part]:
                    content = _read(file)
                    if content:
                        stream.write(content + SEPARATOR)
                        digest = hashlib.sha256(content).hexdigest()
                        fingerprint.update(encoded(f"{part}\0{file.name}\0{digest}\n"))
            if not (work / f"{part}.bin").stat().st_size:
                raise UserError(
                    f"the corpus has no text for {part}: all its files are empty or binary; set "
                    f"data.path"
                )
            description[part] = _sha256(work / f"{part}.bin")
        description["fingerprint"] = fingerprint.hexdigest()
        if listing_key(parts) != entry.name:
            raise UserError("data: a file changed while it was read; run the same command again")
        (work / "corpus.json").write_text(json.dumps(description, indent=1), encoding="utf-8")
        _move(work, entry)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return description


def _move(work: Path, entry: Path) -> None:
    """Put a finished folder into place; another process may have been faster with the same
    content."""
    if os.path.islink(entry) or os.path.isfile(entry):
        entry.unlink()
    elif os.path.lexists(entry):
        shutil.rmtree(entry, ignore_errors=True)
    try:
        os.rename(work, entry)
    except OSError:
        if verified(entry) is None:
            raise


def open_entry(parts: dict[str, list[Document]]) -> tuple[Path, dict[str, str]]:
    """The folder and description of the cached corpus of these files, built when it is missing or
    corrupt."""
    entry = cache_root() / listing_key(parts)
    description = verified(entry)
    if description is None:
        if os.path.lexists(entry):
            log.warning("the cached corpus in %s is corrupt and is built again", entry)
        try:
            description = build(entry, parts)
        except OSError as error:
            raise UserError(
                f"the corpus cache {named('', entry)} cannot be written ({reason(error)}); set "
                "STAR_CACHE_DIR to another"
            ) from None
    return entry, description
