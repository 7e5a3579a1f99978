"""The tokenised corpus on disk: two files of tokens, a description, the tokenizer beside them.

Its folder is begun with the tokenizer and the shards (`star.data.shards`); the description,
`corpus.json`, comes last and says that it is whole. What is whole is never written again: where it
is damaged, an error says so.
"""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from star.base.errors import UserError, shown
from star.base.files import remove_leftovers, write_text
from star.base.locks import LockedError, locked
from star.base.reading import (
    expanded,
    is_file,
    is_folder,
    kind_of,
    named,
    read_bytes,
    read_text,
    reason,
)
from star.data.config import BYTE_LEVEL, HUB, TRAINED, USUAL_VOCABULARY, DataConfig
from star.data.progress import shown_progress
from star.data.shards import PARTS, Amount, Limits, joined_file, write_shards
from star.data.store import cache_root
from star.data.streams import Stream
from star.data.subwords import (
    FILES,
    KEY,
    SETTINGS,
    TOKENIZER,
    SubwordTokenizer,
    read_tokenizer,
    train_bpe,
)
from star.data.tokenizers import ByteTokenizer, Tokenizer, token_type

FORMAT = 1
DESCRIPTION, SHARDS, LOCK = "corpus.json", "shards", "lock"
TRAINED_ON = 10**8  # bytes of training text that a BPE is trained on: the first ones
WAIT_SECONDS = 0.5
# What reading a damaged description may raise.
DAMAGED = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError),
    *(ZeroDivisionError, RecursionError),
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tokenised:
    """A whole entry."""

    folder: Path
    fingerprint: str
    vocabulary: int
    bytes_per_token: float  # of the held-out text; the end of a document counts as one byte
    tokenizer: Path | None  # the folder with its files; None where tokens are bytes

    @property
    def kind(self) -> Any:
        """The type of its tokens."""
        return token_type(self.vocabulary)


def check_vocabulary(needed: int, vocabulary: int | None) -> None:
    """Raise `UserError` for a model with fewer tokens than the data have; None is any."""
    if vocabulary is not None and vocabulary < needed:
        raise UserError(
            f"model.vocabulary={vocabulary}: expected at least the data's {needed}; set "
            f"model.vocabulary={needed}"
        )


def open_tokenised(stream: Stream, config: DataConfig, vocabulary: int | None = None) -> Tokenised:
    """The tokenised text of a stream, made or finished where it is not whole.

    Args:
        stream: the documents.
        config: names the tokenizer and the limits.
        vocabulary: of the model; None is any.

    Raises:
        UserError: for what cannot be read, written or tokenised so, for a damaged entry, and for a
            model with fewer tokens.
    """
    if config.tokenizer == TRAINED:
        check_vocabulary(config.vocabulary or USUAL_VOCABULARY, vocabulary)
    folder = cache_root().with_name("tokens") / _key(stream, config)
    whole = _read(folder)
    if whole is None:
        try:
            whole = _build(folder, stream, config, vocabulary)
        except OSError as error:
            raise UserError(
                f"the cache of tokens {named('', folder)} cannot be written ({reason(error)}); set "
                "STAR_CACHE_DIR to another, and the same command goes on from what is there"
            ) from None
    check_vocabulary(whole.vocabulary, vocabulary)
    return whole


def _key(stream: Stream, config: DataConfig) -> str:
    asked = {
        "format": FORMAT,
        "text": stream.key(),
        "tokenizer": _tokenizer_key(config),
        "documents": config.documents,
        "bytes": config.most_bytes,
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:24]


def _tokenizer_key(config: DataConfig) -> list[Any]:
    """What tells a tokenizer from others; of one on this machine its files."""
    if config.has_bytes:
        return [BYTE_LEVEL]
    if config.tokenizer == TRAINED:
        return [TRAINED, config.vocabulary or USUAL_VOCABULARY]
    path = expanded(str(config.tokenizer))
    if not kind_of(path, KEY):
        return [HUB, str(config.tokenizer)]
    path = path / TOKENIZER if is_folder(path, KEY) else path
    files = (path, path.with_name(SETTINGS))
    digests = [hashlib.sha256(read_bytes(file)).hexdigest() for file in files if is_file(file)]
    return ["files", *digests]


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read(folder: Path) -> Tokenised | None:
    """An entry; None where it is not finished. Raises `UserError` for a damaged one."""
    path = folder / DESCRIPTION
    if not is_file(path):
        return None
    remedy = "remove the folder, and the same command makes it again"
    try:
        found = json.loads(read_text(path))
        for name in {f"{part}.bin" for part in PARTS} | found["files"].keys():
            if _digest(folder / name) != found["files"][name]:
                raise UserError(f"{folder / name}: damaged since it was written; {remedy}")
        held_out = Amount(**found["validation"])
        size, has_tokenizer = int(found["vocabulary"]), TOKENIZER in found["files"]
        ratio = (held_out.bytes + held_out.documents) / held_out.tokens
        fingerprint = str(found["fingerprint"])
    except DAMAGED as error:
        problem = shown(reason(error), 80)
        raise UserError(f"{folder}: damaged tokenised text ({problem}); {remedy}") from None
    return Tokenised(folder, fingerprint, size, ratio, folder if has_tokenizer else None)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait for another process that makes the same entry."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        is_told = False
        while True:
            try:
                held.enter_context(locked(folder / LOCK))
                break
            except LockedError as error:
                if not is_told:
                    log.warning("waiting for another process that tokenises this text (%s)", error)
                is_told = True
                time.sleep(WAIT_SECONDS)
        yield


def _build(folder: Path, stream: Stream, config: DataConfig, vocabulary: int | None) -> Tokenised:
    tokenizer = None
    if not config.has_bytes and config.tokenizer != TRAINED:  # refused before a folder is made
        tokenizer = read_tokenizer(str(config.tokenizer))
        check_vocabulary(tokenizer.vocabulary, vocabulary)
    key = stream.key()
    with _alone(folder):
        whole = _read(folder)  # made by the process that was waited for
        if whole is not None:
            return whole
        remove_leftovers(folder, r"[a-z_]+\.(?:bin|json)")
        tokenizer = _kept_tokenizer(folder, stream, config, tokenizer)
        limits = Limits(config.documents, config.most_bytes)
        shards = write_shards(folder / SHARDS, stream, tokenizer, limits)
        if stream.key() != key:
            shutil.rmtree(folder, ignore_errors=True)  # nobody would ask for it again
            raise UserError("data: a file changed while it was read; run the same command again")
        totals = {part: sum((getattr(shard, part) for shard in shards), Amount()) for part in PARTS}
        _check_parts(totals, config)
        kind, files = token_type(tokenizer.vocabulary), {}
        for part in PARTS:
            name = f"{part}.bin"
            files[name] = joined_file(folder / SHARDS, shards, part, folder / name, kind)
        _describe(folder, files, totals, tokenizer)
        shutil.rmtree(folder / SHARDS, ignore_errors=True)
    return _found(folder)


def _found(folder: Path) -> Tokenised:
    whole = _read(folder)
    assert whole is not None  # just written
    return whole


def _check_parts(totals: dict[str, Amount], config: DataConfig) -> None:
    count = sum(amount.documents for amount in totals.values())
    if not count:
        key, value = ("name", config.name) if config.kind == HUB else ("path", config.path)
        raise UserError(f"data.{key}={value}: no document there has text; expected some")
    for part, words in zip(PARTS, ("training", "validation"), strict=True):
        if not totals[part].documents:
            raise UserError(
                f"data.held_out={config.held_out}: none of the {count} documents with text is for "
                f"{words}; expected more documents, or another share"
            )


def _describe(
    folder: Path, files: dict[str, str], totals: dict[str, Amount], tokenizer: Tokenizer
) -> None:
    """Write the description, which makes the entry whole."""
    result = {
        "vocabulary": tokenizer.vocabulary,
        "end": tokenizer.end,
        **{part: asdict(totals[part]) for part in PARTS},
    }
    # Of what decides a number that is measured on it, wherever and whenever it was made.
    decisive = json.dumps({"format": FORMAT, **result, "tokens": files}, sort_keys=True)
    fingerprint = hashlib.sha256(decisive.encode()).hexdigest()
    beside = {name: _digest(folder / name) for name in FILES if is_file(folder / name)}
    content = {"fingerprint": fingerprint, "files": {**files, **beside}, **result}
    write_text(folder / DESCRIPTION, json.dumps(content, indent=1) + "\n")


def _kept_tokenizer(
    folder: Path, stream: Stream, config: DataConfig, given: SubwordTokenizer | None
) -> Tokenizer:
    """The tokenizer of an entry: the one that it was begun with, else a new one, kept there."""
    if config.has_bytes:
        return ByteTokenizer()
    if is_file(folder / TOKENIZER):
        return read_tokenizer(str(folder), "the cache of tokens")
    tokenizer = given or _trained(stream, config)
    tokenizer.save(folder)
    return tokenizer


def _trained(stream: Stream, config: DataConfig) -> SubwordTokenizer:
    """A BPE of the first training documents."""
    size = min(TRAINED_ON, stream.size or TRAINED_ON)
    limits = Limits(config.documents, min(TRAINED_ON, config.most_bytes or TRAINED_ON))
    with shown_progress("training the tokenizer", size) as advance:

        def contents() -> Iterator[bytes]:
            total = Amount()
            for piece in stream.pieces():
                total += Amount(1 if piece.content else 0, len(piece.content))
                advance(piece.size, 0)
                if not piece.is_held_out:
                    yield piece.content
                if limits.reached(total):
                    return

        return train_bpe(contents(), config.vocabulary or USUAL_VOCABULARY)
