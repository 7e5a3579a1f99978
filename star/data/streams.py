"""The documents of a corpus one after the other, so that no corpus has to fit into memory.

Whole files are held out by their names, rows of tables and of the hub by their text: the same text
is never on both sides, and rows that are added move no other one.
"""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, Protocol

from star.base.reading import expanded, is_folder, look
from star.data.config import DataConfig
from star.data.hub import HubRows
from star.data.listing import files_below
from star.data.sources import Document, TableFile, TextFile, draw, split
from star.data.tokenizers import SEPARATOR, encoded


class Piece(NamedTuple):
    """One document; nothing for a binary file, and for a row without text."""

    content: bytes  # UTF-8
    is_held_out: bool
    size: int  # bytes of the source that it stands for


class Stream(Protocol):
    """Documents in an order that is always the same."""

    size: int | None  # of all pieces together; None where nobody knows

    def key(self) -> str:
        """What tells this text from others, as far as that is known without reading it."""
        ...

    def pieces(self, position: Any = None) -> Iterator[Piece]:
        """The documents behind a position, which is None at the beginning.

        Raises `UserError` for what cannot be read.
        """
        ...

    def position(self) -> Any:
        """The position behind the piece that was given last, as JSON has it."""
        ...


def _text(content: bytes) -> bytes:
    return b"" if SEPARATOR in content else content  # a NUL byte tells a binary file


class DocumentStream:
    """A `Stream` of files and other documents; its positions are numbers of pieces."""

    def __init__(self, documents: Sequence[Document], config: DataConfig) -> None:
        """documents: in their order; tables are opened when their turn comes."""
        self._documents, self._column, self._share = documents, config.column, config.held_out
        has_tables = any(isinstance(document, TableFile) for document in documents)
        held = [] if has_tables else split(list(documents), config.held_out)[1]
        self._held = None if has_tables else {id(document) for document in held}
        self._given = 0
        sizes = [_size(document) for document in documents]
        self.size = None if None in sizes else sum(size or 0 for size in sizes)

    def key(self) -> str:
        """Digest of the documents' stamps, and of what decides the split."""
        settings = f"{self._column}\0{self._share}\n"
        digest = hashlib.sha256(encoded(settings))
        for document in self._documents:
            digest.update(encoded(document.stamp() + "\n"))
        return digest.hexdigest()

    def pieces(self, position: Any = None) -> Iterator[Piece]:
        """The documents behind so many; those before are read again."""
        self._given = position or 0
        for piece in islice(self._all(), self._given, None):
            self._given += 1
            yield piece

    def position(self) -> int:
        """How many were given, with those before the first."""
        return self._given

    def _all(self) -> Iterator[Piece]:
        for document in self._documents:
            if isinstance(document, TableFile):
                for content, size in document.rows(self._column):
                    yield Piece(_text(content), draw(content) < self._share, size)
            else:
                content = document.read()
                yield Piece(_text(content), self._is_held_out(document), len(content))

    def _is_held_out(self, document: Document) -> bool:
        if self._held is None:
            return draw(encoded(document.name)) < self._share
        return id(document) in self._held


def _size(document: Document) -> int | None:
    path = getattr(document, "path", None)
    status = None if path is None else look(path, "data.path")
    return None if status is None else status.st_size


class HubStream:
    """A `Stream` of a data set on the hub, which is opened when the first document is read."""

    size: int | None = None

    def __init__(self, config: DataConfig) -> None:
        """config: names the data set."""
        self._config = config
        self._rows: HubRows | None = None

    def key(self) -> str:
        """What is asked for, and the files of a folder on this machine: what the hub has is not
        known before it is read."""
        config = self._config
        asked = (config.name, config.subset, config.split, config.column, config.held_out)
        digest = hashlib.sha256(encoded(repr(asked)))
        folder = expanded(str(config.name))
        for path in sorted(files_below(folder)) if is_folder(folder, "data.name") else ():
            digest.update(encoded(TextFile(path, path.name).stamp() + "\n"))
        return digest.hexdigest()

    def pieces(self, position: Any = None) -> Iterator[Piece]:
        """The documents behind a position; what lies before is not downloaded again."""
        self._rows = HubRows(self._config)
        for text in self._rows.texts(position):
            content = _text(encoded(text))
            yield Piece(content, draw(content) < self._config.held_out, len(content))

    def position(self) -> Any:
        """The library's own position."""
        return None if self._rows is None else self._rows.position()
