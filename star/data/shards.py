"""Text tokenised once, into shards that survive whatever ends the process.

A shard holds the tokens of some documents, those of the training part first. Which documents is
decided by the text alone, so that any number of threads and interruptions gives the same shards.
Each is written whole or not at all, its description last; the same command goes on behind them.
"""

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from star.base.errors import UserError
from star.base.files import remove_leftovers, write_bytes, write_text
from star.base.reading import read_bytes, read_text
from star.data.progress import Advance, shown_progress
from star.data.streams import Piece, Stream
from star.data.tokenizers import Tokenizer, Tokens, token_type

SHARD_BYTES = 2**23  # of text in a shard, with the document that reaches it
PARTS = ("train", "validation")
MOST_THREADS = 16  # each holds a shard's text and tokens


@dataclass(frozen=True)
class Amount:
    """How much of a part of the text is in a shard, or in all."""

    documents: int = 0
    bytes: int = 0  # of their text
    tokens: int = 0  # with an end behind each

    def __add__(self, other: "Amount") -> "Amount":
        """The sum."""
        documents, size = self.documents + other.documents, self.bytes + other.bytes
        return Amount(documents, size, self.tokens + other.tokens)


@dataclass(frozen=True)
class Shard:
    """What is known of a finished shard."""

    text: str  # sha256 of its documents
    content: str  # sha256 of its file
    train: Amount
    validation: Amount
    size: int  # bytes of the source that it stands for
    position: Any  # of the stream, behind it

    @classmethod
    def read(cls, folder: Path, number: int) -> "Shard | None":
        """A shard that is there and whole; None where it is missing or damaged."""
        try:
            found: dict[str, Any] = json.loads(read_text(_description(folder, number)))
            shard = cls(**{**found, **{part: Amount(**found[part]) for part in PARTS}})
            content = read_bytes(_content(folder, number))
        except (UserError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
        return shard if hashlib.sha256(content).hexdigest() == shard.content else None


def _content(folder: Path, number: int) -> Path:
    return folder / f"{number:06}.bin"


def _description(folder: Path, number: int) -> Path:
    return folder / f"{number:06}.json"


@dataclass(frozen=True)
class _Group:
    """Documents of one shard."""

    number: int
    pieces: list[Piece]
    size: int
    position: Any


@dataclass(frozen=True)
class Limits:
    """How much of a stream is taken."""

    documents: int | None = None
    bytes: int | None = None

    def reached(self, amount: Amount) -> bool:
        """Whether that is enough."""
        most, size = self.documents, self.bytes
        return (most is not None and amount.documents >= most) or (
            size is not None and amount.bytes >= size
        )


def finished_shards(folder: Path) -> list[Shard]:
    """The whole shards at the beginning of the text, up to the first that is not there."""
    found: list[Shard] = []
    while (shard := Shard.read(folder, len(found))) is not None:
        found.append(shard)
    return found


def write_shards(
    folder: Path,
    stream: Stream,
    tokenizer: Tokenizer,
    limits: Limits,
    threads: int | None = None,
) -> list[Shard]:
    """Tokenise a stream into a folder, going on behind what is there.

    Args:
        folder: of these shards only.
        stream: the documents.
        tokenizer: turns them into tokens, and releases the interpreter meanwhile.
        limits: how much of the stream.
        threads: that work at the same time; None is one for each processor.

    Returns:
        all shards in their order.

    Raises:
        UserError: for what cannot be read.
        OSError: for what cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder, r"\d{6}\.(?:bin|json)")
    found = finished_shards(folder)
    threads = threads or min(MOST_THREADS, _processors())
    done = sum(shard.size for shard in found)
    sizes = [size for size in (stream.size, limits.bytes) if size is not None]
    with shown_progress("tokenising", min(sizes, default=None), done) as advance:
        pool = ThreadPoolExecutor(threads, "tokenising")
        try:
            groups = _groups(stream, found, limits)
            found += _written(pool, groups, folder, tokenizer, threads, advance)
        finally:
            pool.shutdown(cancel_futures=True)
    return found


def _processors() -> int:
    """How many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _written(
    pool: ThreadPoolExecutor,
    groups: Iterator[_Group],
    folder: Path,
    tokenizer: Tokenizer,
    threads: int,
    advance: Advance,
) -> Iterator[Shard]:
    """Shards in their order; of documents only as many groups are in memory as there are threads,
    and one."""
    pending: deque[Future[Shard]] = deque()

    def finished() -> Shard:
        shard = pending.popleft().result()
        advance(shard.size, shard.train.tokens + shard.validation.tokens)
        return shard

    for group in groups:
        pending.append(pool.submit(_write_shard, folder, group, tokenizer))
        if len(pending) > threads:
            yield finished()
    while pending:
        yield finished()


def _groups(stream: Stream, before: Sequence[Shard], limits: Limits) -> Iterator[_Group]:
    """The documents behind the shards that are there, a shard each."""
    total = sum((shard.train + shard.validation for shard in before), Amount())
    number, pieces, size, filled = len(before), [], 0, 0
    if limits.reached(total):
        return
    for piece in stream.pieces(before[-1].position if before else None):
        size += piece.size
        if not piece.content:
            continue
        pieces.append(piece)
        filled += len(piece.content)
        total += Amount(1, len(piece.content))
        is_last = limits.reached(total)
        if filled >= SHARD_BYTES or is_last:
            yield _Group(number, pieces, size, stream.position())
            number, pieces, size, filled = number + 1, [], 0, 0
        if is_last:
            return
    if pieces:
        yield _Group(number, pieces, size, stream.position())


def _write_shard(folder: Path, group: _Group, tokenizer: Tokenizer) -> Shard:
    """Tokenise a group and write its shard; one that is there already is left as it is."""
    text = _digest(group.pieces)
    there = Shard.read(folder, group.number)
    if there is not None and there.text == text:
        return there
    amounts, contents = {}, []
    for part, is_held_out in zip(PARTS, (False, True), strict=True):
        own = [piece.content for piece in group.pieces if piece.is_held_out == is_held_out]
        tokens = _joined(tokenizer, own)
        amounts[part] = Amount(len(own), sum(map(len, own)), len(tokens))
        contents.append(tokens.tobytes())
    content = b"".join(contents)
    digest = hashlib.sha256(content).hexdigest()
    shard = Shard(text, digest, size=group.size, position=group.position, **amounts)
    write_bytes(_content(folder, group.number), content)
    write_text(_description(folder, group.number), json.dumps(asdict(shard)))
    return shard


def _digest(pieces: Sequence[Piece]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(f"{len(piece.content)} {piece.is_held_out}\n".encode() + piece.content)
    return digest.hexdigest()


def _joined(tokenizer: Tokenizer, contents: Sequence[bytes]) -> Tokens:
    """Tokens of documents in a row, with an end behind each."""
    kind = token_type(tokenizer.vocabulary)
    end = np.array([tokenizer.end], kind)
    encoded = tokenizer.encode(contents)
    return np.concatenate([np.zeros(0, kind), *(part for one in encoded for part in (one, end))])


def joined_file(folder: Path, shards: Sequence[Shard], part: str, path: Path, kind: Any) -> str:
    """Copy the tokens of one part, of all shards, into a file; returns its sha256.

    Args:
        folder: of the shards.
        shards: in their order.
        part: `train` or `validation`.
        path: of the file, which is there only once it is whole.
        kind: of the tokens.

    Raises:
        UserError: for a shard that was damaged meanwhile.
    """
    digest, width = hashlib.sha256(), np.dtype(kind).itemsize
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as stream:
        for number, shard in enumerate(shards):
            content = read_bytes(_content(folder, number))
            if hashlib.sha256(content).hexdigest() != shard.content:
                raise UserError(
                    f"{_content(folder, number)}: damaged since it was written; remove it, and the "
                    "same command writes it again"
                )
            split = shard.train.tokens * width
            own = content[:split] if part == PARTS[0] else content[split:]
            stream.write(own)
            digest.update(own)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
    return digest.hexdigest()
