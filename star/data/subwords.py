"""Tokenizers with larger vocabularies, of Hugging Face's library `tokenizers`.

Documents are separated by the tokenizer's end token, which no text contains: where the letters of
a special token stand in a text, they are text. Where the vocabulary has a token for every byte, as
with `data.tokenizer=bpe`, GPT-2 or Llama 3, any bytes come back as they were.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from star.base.errors import UserError, plain, shown
from star.base.files import write_bytes, write_text
from star.base.imports import import_optional
from star.base.reading import expanded, is_file, is_folder, kind_of, read_bytes
from star.data.config import BYTE_LEVEL
from star.data.tokenizers import (
    VOCABULARY,
    ByteDecoder,
    ByteTokenizer,
    Decoder,
    Tokenizer,
    Tokens,
    token_type,
)

TOKENIZER, SETTINGS = FILES = ("tokenizer.json", "tokenizer_config.json")
END = "<|endoftext|>"
# End tokens of known tokenizers, looked for where no `tokenizer_config.json` names one.
KNOWN_ENDS = (END, "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>", "[EOS]")
LONGEST_PART = 2**20  # characters encoded at once: the library takes 100 bytes a token
AT_ONCE = 2**18  # characters of texts, about, that it gets together
_SURROGATES = re.compile("([\udc80-\udcff]+)")  # what stands for bytes that are no UTF-8
KEY = "data.tokenizer"


class SubwordTokenizer:
    """A tokenizer of `tokenizers` with an end token."""

    def __init__(self, content: str, end: str | None, source: str) -> None:
        """Read it.

        Args:
            content: of a `tokenizer.json`.
            end: its end token; None takes the first of `KNOWN_ENDS` that it has.
            source: where it is from, for errors.

        Raises:
            UserError: for a content that cannot be read, or without an end token.
        """
        library = import_optional(KEY, "tokenizers")
        try:
            self._tokenizer = library.Tokenizer.from_str(content)
        except Exception as error:  # the library has no class of its own for it
            raise UserError(f"{source}: cannot be read as a tokenizer ({plain(error)})") from None
        self._names: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
        end = next((name for name in ([end] if end else KNOWN_ENDS) if name in self._names), None)
        if end is None:
            raise UserError(
                f"{source}: has no end token, which separates documents; expected the eos_token of "
                f"a {SETTINGS} beside it, or one of {', '.join(KNOWN_ENDS)}, in its vocabulary"
            )
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True  # in a text they are text
        self.content, self.end_token, self.end = content, end, self._names[end]
        self.vocabulary = max(self._names.values()) + 1
        decisive = hashlib.sha256(f"{end}\0{content}".encode())
        self.digest = decisive.hexdigest()[:16]
        self._bytes = self._tokens_of_bytes()

    def _tokens_of_bytes(self) -> list[int] | None:
        """The token of each byte; None unless its tokens are made of bytes."""
        decoder = json.loads(self.content).get("decoder") or {}
        kinds = [decoder.get("type"), *(d.get("type") for d in decoder.get("decoders", ()))]
        tokens = [self._names.get(letter) for letter in _letters()]
        whole = [token for token in tokens if token is not None]
        return whole if "ByteLevel" in kinds and len(whole) == len(tokens) else None

    def encode(self, contents: Sequence[bytes]) -> list[Tokens]:
        """The tokens of each text, without an end; bytes that are no UTF-8 are tokens of their own,
        or the replacement character where the vocabulary has no bytes."""
        pieces = [list(self._pieces(content)) for content in contents]
        texts = [piece for own in pieces for piece in own if isinstance(piece, str)]
        encoded = iter(self._encode_texts(texts))
        kind = token_type(self.vocabulary)
        return [
            np.concatenate(
                [np.zeros(0, kind)]
                + [next(encoded) if isinstance(piece, str) else piece for piece in own]
            )
            for own in pieces
        ]

    def _pieces(self, content: bytes) -> Iterator[str | Tokens]:
        """Texts to encode, and tokens of what is no text, in their order."""
        if self._bytes is None:
            yield from parts(content.decode("utf-8", "replace"))
            return
        kind = token_type(self.vocabulary)
        for number, piece in enumerate(
            _SURROGATES.split(content.decode("utf-8", "surrogateescape"))
        ):
            if number % 2:
                raw = piece.encode("utf-8", "surrogateescape")
                yield np.array([self._bytes[byte] for byte in raw], kind)
            elif piece:
                yield from parts(piece)

    def _encode_texts(self, texts: Sequence[str]) -> Iterator[Tokens]:
        kind = token_type(self.vocabulary)
        for some in _batches(texts):
            for found in self._tokenizer.encode_batch_fast(some, add_special_tokens=False):
                yield np.array(found.ids, kind)

    def decoder(self) -> Decoder:
        """A decoder at the beginning of a text; special tokens are shown as they are called."""
        if self._bytes is None:
            return _LibraryDecoder(self._tokenizer)
        return ByteDecoder(self._bytes_of_tokens)

    @cached_property
    def _bytes_of_tokens(self) -> list[bytes]:
        """What each token stands for; nothing for a number that no token has."""
        values = {letter: bytes([value]) for value, letter in enumerate(_letters())}
        added = {token.content for token in self._tokenizer.get_added_tokens_decoder().values()}
        pieces = [b""] * self.vocabulary
        for name, token in self._names.items():
            is_text = name in added or not all(letter in values for letter in name)
            pieces[token] = name.encode() if is_text else b"".join(values[c] for c in name)
        return pieces

    @property
    def settings(self) -> str:
        """What stands beside it in `tokenizer_config.json`."""
        kept = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": self.end_token}
        return json.dumps(kept, indent=1) + "\n"

    def save(self, folder: Path) -> None:
        """Write its two files into a folder; where the first is there, so is the second."""
        write_text(folder / SETTINGS, self.settings)
        write_text(folder / TOKENIZER, self.content)


class _LibraryDecoder:
    """The library's own decoding, for vocabularies that are not made of bytes."""

    def __init__(self, tokenizer: Any) -> None:
        from tokenizers.decoders import DecodeStream

        self._tokenizer, self._stream = tokenizer, DecodeStream(skip_special_tokens=False)
        self._tokens: list[int] = []
        self._shown = 0

    def decode(self, token: int) -> str:
        """What one more token makes certain."""
        self._tokens.append(token)
        text = self._stream.step(self._tokenizer, token) or ""
        self._shown += len(text)
        return text

    def finish(self) -> str:
        """What the stream held back."""
        return self._tokenizer.decode(self._tokens, skip_special_tokens=False)[self._shown :]


def _letters() -> list[str]:
    """The letters that stand for the 256 bytes in byte-level vocabularies: the printable ones of
    Latin-1 for themselves, the others from U+0100 on (Radford et al. 2019, GPT-2)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def parts(text: str) -> Iterator[str]:
    """A long text in parts, cut behind ends of lines where there are any."""
    begin = 0
    while len(text) - begin > LONGEST_PART:
        end = text.rfind("\n", begin, begin + LONGEST_PART) + 1 or begin + LONGEST_PART
        yield text[begin:end]
        begin = end
    if begin < len(text):
        yield text[begin:]


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    some, size = [], 0
    for text in texts:
        some.append(text)
        size += len(text)
        if size >= AT_ONCE:
            yield some
            some, size = [], 0
    if some:
        yield some


def train_bpe(contents: Iterable[bytes], vocabulary: int) -> SubwordTokenizer:
    """A byte-level BPE of these texts (Sennrich et al. 2016; Radford et al. 2019).

    Args:
        contents: texts in UTF-8.
        vocabulary: the most tokens, the 256 bytes and the end among them; fewer where the texts
            have no more pairs.

    Raises:
        UserError: where `tokenizers` is not installed.
    """
    library = import_optional("data.tokenizer=bpe", "tokenizers")
    tokenizer = library.Tokenizer(library.models.BPE())
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[END], initial_alphabet=sorted(_letters()),
        show_progress=False,
    )  # fmt: skip
    texts = (part for content in contents for part in parts(content.decode("utf-8", "replace")))
    tokenizer.train_from_iterator(texts, trainer)
    return SubwordTokenizer(tokenizer.to_str(), END, "the trained tokenizer")


def read_tokenizer(reference: str, key: str = KEY) -> SubwordTokenizer:
    """The tokenizer that a setting names.

    Args:
        reference: a `tokenizer.json`, a folder with one, or a name on the hub.
        key: the setting, for errors.

    Raises:
        UserError: where there is none, for one that cannot be read, and for one without an end.
    """
    path = expanded(reference)
    named = f"{key}={shown(reference)}"
    if is_folder(path, key):
        path = path / TOKENIZER
    elif not kind_of(path, key):
        path = _from_hub(reference, named)
    if not is_file(path, key):
        raise UserError(f"{named}: {TOKENIZER} is missing; expected one of Hugging Face's there")
    try:
        content = read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{named}: cannot be read as a tokenizer ({plain(error)})") from None
    return SubwordTokenizer(content, _named_end(path.with_name(SETTINGS)), named)


def kept_content(folder: Path | None) -> bytes:
    """The `tokenizer.json` of a folder; nothing where there is none, or no folder."""
    has_one = folder is not None and is_file(folder / TOKENIZER)
    return read_bytes(folder / TOKENIZER) if folder is not None and has_one else b""


def copy_tokenizer(source: Path | None, folder: Path) -> None:
    """Keep the tokenizer of a corpus with what is trained on it; none where tokens are bytes."""
    if source is not None:
        for name in FILES:
            write_bytes(folder / name, read_bytes(source / name))


def read_kept_tokenizer(
    folder: Path, settings: Mapping[str, Any], vocabulary: int
) -> SubwordTokenizer | None:
    """The tokenizer that a checkpoint was saved with; None where its tokens are bytes.

    Args:
        folder: of the checkpoint.
        settings: that the checkpoint was trained with.
        vocabulary: of its model.

    Raises:
        UserError: where it is missing or cannot be read, and where the model has fewer tokens.
    """
    data = settings.get("data")
    named = data.get("tokenizer") if isinstance(data, Mapping) else None
    if not is_file(folder / TOKENIZER, "checkpoint"):
        if named in (None, BYTE_LEVEL):
            return None
        raise UserError(
            f"checkpoint={folder}: {TOKENIZER} is missing, and it was trained with "
            f"data.tokenizer={shown(str(named))}; put the file back that was saved with it"
        )
    tokenizer = read_tokenizer(str(folder), "checkpoint")
    if tokenizer.vocabulary > vocabulary:
        raise UserError(
            f"checkpoint={folder}: {TOKENIZER} has {tokenizer.vocabulary} tokens, the model only "
            f"{vocabulary}; put the file back that was saved with it"
        )
    return tokenizer


def checkpoint_tokenizer(folder: Path, settings: Mapping[str, Any], vocabulary: int) -> Tokenizer:
    """The tokenizer of a checkpoint: the one that it was saved with, or bytes.

    Args:
        folder: of the checkpoint.
        settings: that the checkpoint was trained with.
        vocabulary: of its model.

    Raises:
        UserError: as `read_kept_tokenizer`, and where its tokens cannot be bytes, as those of an
            adopted model without one.
    """
    kept = read_kept_tokenizer(folder, settings, vocabulary)
    if kept is not None:
        return kept
    is_known = "data" in settings  # that of an adopted model is of others
    if vocabulary < VOCABULARY or (vocabulary > VOCABULARY and not is_known):
        raise UserError(
            f"checkpoint={folder}: no text can be read with its {vocabulary} tokens without a "
            f"{TOKENIZER}; put that of the model there"
        )
    return ByteTokenizer()


def _named_end(path: Path) -> str | None:
    """The `eos_token` of a `tokenizer_config.json`; None where there is none."""
    if not is_file(path):
        return None
    try:
        found = json.loads(read_bytes(path))["eos_token"]
        return found if isinstance(found, str) else found["content"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _from_hub(reference: str, named: str) -> Path:
    """The files of a tokenizer on the hub, in the cache of `huggingface_hub`."""
    hub = import_optional(named, "huggingface_hub")
    hub.logging.set_verbosity_error()  # it tells every try that fails
    paths = []
    for name in FILES:
        try:
            paths.append(Path(hub.hf_hub_download(reference, name)))
        except Exception as error:  # of the network, of the hub, of a name that is none
            if paths:  # it may do without the settings
                break
            reason = shown(plain(f"{type(error).__name__}: {error}"), 120)
            raise UserError(
                f"{named}: no such file or folder, and the hub does not give it ({reason}); "
                f"expected bytes, bpe, a {TOKENIZER}, its folder, or a name on the hub"
            ) from None
    return paths[0]
