"""Which documents make up a corpus, in which order, and which of them are held out.

A source is a function of the settings that gives documents: files, or texts from anywhere. One of
the user's own is named by its import path, `data.kind=my_package.texts:letters`.
"""

import hashlib
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path
from typing import Protocol, runtime_checkable

from star.base.errors import UserError, plain, shown
from star.base.imports import import_object, is_import_path
from star.base.reading import expanded, kind_of, look, read_bytes
from star.data.config import DataConfig
from star.data.listing import files_below, glob_files
from star.data.tables import READERS
from star.data.tokenizers import encoded

THIRD_PARTY = {"site-packages", "dist-packages", "__pycache__"}


@runtime_checkable
class Document(Protocol):
    """A document of a corpus."""

    @property
    def name(self) -> str:
        """Its name within the corpus; it decides the order, and whether it is held out."""
        ...

    def stamp(self) -> str:
        """What tells this version of it from others, without reading much."""
        ...

    def read(self) -> bytes:
        """Its text in UTF-8. Raises `UserError` when it cannot be read."""
        ...


@dataclass(frozen=True)
class TextFile:
    """A file of the corpus."""

    path: Path  # on disk
    name: str  # within the corpus: relative, with slashes

    def stamp(self) -> str:
        """Path, name, size and times; that of the last change cannot be set, as `touch -d` does.

        Raises `UserError` for a file that has gone meanwhile.
        """
        status = look(self.path, "data.path")
        if status is None:
            raise UserError(f"data file {shown(str(self.path))} has gone while the data were read")
        times = f"{status.st_mtime_ns}\0{status.st_ctime_ns}"
        return f"{self.path}\0{self.name}\0{status.st_size}\0{times}"

    def read(self) -> bytes:
        """The whole file."""
        try:
            return read_bytes(self.path)
        except UserError as error:
            raise UserError(f"data file {error}") from None


class TableFile(TextFile):
    """A file with a document in each row; `rows` gives them."""

    def rows(self, column: str) -> Iterator[tuple[bytes, int]]:
        """The texts of a column in UTF-8, and how many bytes of the file each stands for.

        Raises `UserError` for a file that cannot be read, or without that column.
        """
        for text, size in READERS[self.path.suffix](self.path, column):
            yield encoded(text), size


@dataclass(frozen=True)
class Text:
    """A text of any origin, for sources of the user's own."""

    name: str
    text: str

    def stamp(self) -> str:
        """A digest of all of it."""
        return f"{self.name}\0{hashlib.sha256(self.read()).hexdigest()}"

    def read(self) -> bytes:
        """The text in UTF-8."""
        return encoded(self.text)


Source = Callable[[DataConfig], Iterable[Document]]


def _standard_library(config: DataConfig) -> list[TextFile]:
    if config.path is not None:
        raise UserError(
            f"data.path={config.path}: the data is the standard library; add data=files to read "
            f"your own"
        )
    root = Path(sysconfig.get_paths()["stdlib"])
    paths = (
        path for path in root.rglob("*.py") if not THIRD_PARTY & set(path.relative_to(root).parts)
    )
    return [TextFile(path, path.relative_to(root).as_posix()) for path in paths if path.is_file()]


def _given_files(config: DataConfig) -> list[TextFile]:
    if not config.path:
        raise UserError("data.path is not set: data=files expects data.path=<folder, file or glob>")
    root = expanded(config.path)
    what = kind_of(root, "data.path")
    if what == "a folder":
        paths = files_below(root)
    elif what == "" and has_magic(str(root)):
        paths, root = glob_files(root), Path(".")
    elif what == "a file":
        paths, root = [root], root.parent
    else:
        there = f"is {what}" if what else "no such file or folder"
        raise UserError(
            f"data.path={shown(config.path)}: {there}; expected a folder, file or glob of text"
        )
    suffixes = set(config.suffixes or [])
    return [
        (TableFile if path.suffix in READERS else TextFile)(
            path,
            path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix(),
        )
        for path in paths
        if not suffixes or path.suffix in suffixes
    ]


SOURCES: dict[str, Source] = {"stdlib": _standard_library, "files": _given_files}


def _source(kind: str) -> Source:
    if is_import_path(kind):
        return import_object("data.kind", kind)
    if kind not in SOURCES:
        raise UserError(
            f"data.kind={kind!r}: expected one of {', '.join(SOURCES)}, hub, or module:function of "
            "your own"
        )
    return SOURCES[kind]


def _documents(source: Source, config: DataConfig) -> list[Document]:
    """What a source gives. Raises `UserError` for what is wrong with one of a user's own."""
    if not is_import_path(config.kind):
        return list(source(config))
    try:
        documents = list(source(config))
    except Exception as error:  # whatever a user's function raises
        reason = plain(f"{type(error).__name__}: {error}")
        raise UserError(f"data.kind={config.kind}: {reason}") from error
    for document in documents:
        if not isinstance(document, Document):
            given = type(document).__name__
            raise UserError(f"data.kind={config.kind}: it gave a {given}, expected star.data.Text")
    return documents


def list_documents(config: DataConfig) -> list[Document]:
    """Every document of the corpus, sorted by name.

    Raises `UserError` when there is none, or for settings that cannot be used.
    """
    source = _source(config.kind)
    config.check()
    documents = sorted(_documents(source, config), key=lambda document: document.name)
    if not documents and is_import_path(config.kind):
        raise UserError(f"data.kind={config.kind}: it gave no document")
    if not documents:
        wanted = f" with suffix {', '.join(config.suffixes)}" if config.suffixes else ""
        raise UserError(
            f"data.path={shown(str(config.path))}: no file{wanted} found there; expected text files"
        )
    return documents


def draw(content: bytes) -> float:
    """A number in [0, 1) that is the same for the same bytes."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big") / 2**64


def _draw(document: Document) -> float:
    """That of the name alone, so that adding documents moves no other one."""
    return draw(encoded(document.name))


def split(documents: list[Document], held_out: float) -> tuple[list[Document], list[Document]]:
    """Training and held-out documents, at least one each. Raises `UserError` for a single one."""
    if len(documents) < 2:
        only = getattr(documents[0], "path", documents[0].name)
        raise UserError(
            f"data.path holds one file ({only}): expected at least two, since whole files are held "
            "out; split it into several"
        )
    ordered = sorted(documents, key=_draw)
    drawn = sum(_draw(document) < held_out for document in documents)
    held = {id(document) for document in ordered[: min(max(1, drawn), len(documents) - 1)]}
    train = [document for document in documents if id(document) not in held]
    return train, [document for document in documents if id(document) in held]
