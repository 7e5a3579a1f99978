"""Byte-level tokens: text to tokens and back, also piece by piece while tokens arrive."""

import codecs

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


def encode(text: str) -> list[int]:
    """The bytes of the text (`encoded`); for no text at all, the separator that begins a
    document."""
    return list(encoded(text) or SEPARATOR)


class TextStream:
    """Text from tokens as they arrive; a character appears when its last byte is there.

    stop: text that ends the stream and is left out (None: nothing does). What could still become
    the beginning of `stop` is held back.
    """

    def __init__(self, stop: str | None = None) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._stop = stop
        self._held = ""
        self.stopped = False

    def push(self, token: int) -> str:
        """The text that one more token makes certain."""
        self._held += self._decoder.decode(bytes([token]))
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

    def finish(self) -> str:
        """What was held back, once no more tokens come; a cut character becomes the replacement
        character."""
        self._held += "" if self.stopped else self._decoder.decode(b"", final=True)
        return self._release(len(self._held))

    def _release(self, length: int) -> str:
        text, self._held = self._held[:length], self._held[length:]
        return text
