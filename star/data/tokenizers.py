"""Tokenizers: text to tokens and back, also piece by piece while tokens arrive.

Here is what all of them answer, and the one whose tokens are bytes; `star.data.subwords` has those
with larger vocabularies.
"""

import codecs
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from star.data.config import BYTE_LEVEL

Tokens = npt.NDArray[np.unsignedinteger]

VOCABULARY = 256
BYTES_PER_TOKEN = 1.0
SEPARATOR = b"\x00"  # never occurs inside text, so a model can learn where documents end


def encoded(text: str) -> bytes:
    """A text in UTF-8. What stands for bytes that are not UTF-8, as in names of files, becomes
    those bytes again; anything else that has no UTF-8 becomes a question mark."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def token_type(vocabulary: int) -> np.dtype[Any]:
    """The smallest unsigned integers that hold so many tokens, in the order of bytes of files."""
    return np.dtype("u1" if vocabulary <= 2**8 else "<u2" if vocabulary <= 2**16 else "<u4")


class Decoder(Protocol):
    """Text of one sequence of tokens, as far as it is certain."""

    def decode(self, token: int) -> str:
        """What one more token makes certain: a character comes with its last byte."""
        ...

    def finish(self) -> str:
        """What is left, once no more tokens come; a cut character is the replacement character."""
        ...


class Tokenizer(Protocol):
    """Turns text into tokens and back."""

    vocabulary: int  # tokens are below it
    end: int  # the token between documents
    digest: str  # of what decides its tokens

    def encode(self, contents: Sequence[bytes]) -> list[Tokens]:
        """The tokens of each text, without an end. Releases the interpreter while it works."""
        ...

    def decoder(self) -> Decoder:
        """A decoder at the beginning of a text."""
        ...


class ByteDecoder:
    """A `Decoder` of bytes in UTF-8."""

    def __init__(self, pieces: Sequence[bytes] | None = None) -> None:
        """pieces: the bytes of each token; None where a token is a byte."""
        self._pieces = pieces
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def decode(self, token: int) -> str:
        """What one more token makes certain."""
        piece = bytes([token]) if self._pieces is None else self._pieces[token]
        return self._decoder.decode(piece)

    def finish(self) -> str:
        """The replacement character for one that is cut."""
        return self._decoder.decode(b"", final=True)


class ByteTokenizer:
    """Token n is byte n of the text in UTF-8."""

    vocabulary, end, digest = VOCABULARY, SEPARATOR[0], BYTE_LEVEL

    def encode(self, contents: Sequence[bytes]) -> list[Tokens]:
        """The bytes of each text."""
        return [np.frombuffer(content, dtype=np.uint8) for content in contents]

    def decoder(self) -> ByteDecoder:
        """A decoder at the beginning of a text."""
        return ByteDecoder()


def prompt_tokens(tokenizer: Tokenizer, text: str) -> list[int]:
    """The tokens of a text (`encoded`); for no text at all, the end, which begins a document."""
    (tokens,) = tokenizer.encode([encoded(text)])
    return tokens.tolist() or [tokenizer.end]


class TextStream:
    """Text from tokens as they arrive; a character appears when its last byte is there.

    decoder: of the tokens; None where they are bytes. stop: text that ends the stream and is left
    out (None: nothing does). What could still become the beginning of `stop` is held back.
    """

    def __init__(self, stop: str | None = None, decoder: Decoder | None = None) -> None:
        self._decoder = decoder or ByteDecoder()
        self._stop = stop
        self._held = ""
        self.stopped = False

    def push(self, token: int) -> str:
        """The text that one more token makes certain."""
        self._held += self._decoder.decode(token)
        return self._release_certain()

    def finish(self) -> str:
        """What was held back, once no more tokens come; a cut character becomes the replacement
        character."""
        if self.stopped:
            return ""
        self._held += self._decoder.finish()
        return self._release_certain() + self._release(len(self._held))

    def _release_certain(self) -> str:
        if self._stop is None:
            return self._release(len(self._held))
        found = self._held.find(self._stop)
        if found >= 0:
            self.stopped = True
            self._held = self._held[:found]
            return self._release(found)
        # The longest beginning of `stop` that the text ends with: of "the en" and the stop "end.",
        # the last two characters.
        overlaps = range(min(len(self._stop) - 1, len(self._held)), 0, -1)
        held = next((n for n in overlaps if self._held.endswith(self._stop[:n])), 0)
        return self._release(len(self._held) - held)

    def _release(self, length: int) -> str:
        text, self._held = self._held[:length], self._held[length:]
        return text
