"""Settings of the data."""

from dataclasses import dataclass
from typing import Any

from star.base.imports import is_import_path
from star.base.settings import expect, parse_quantity

MOST_WINDOWS = 10**7  # and their longest length
BYTE_LEVEL, TRAINED, HUB = "bytes", "bpe", "hub"
USUAL_VOCABULARY, USUAL_COLUMN, USUAL_SPLIT = 4096, "text", "train"
SMALLEST_VOCABULARY = 257  # the bytes and an end of documents
LARGEST_VOCABULARY = 10**6


@dataclass
class DataConfig:
    """Where the text comes from."""

    # sources of Python's standard library; files; hub; or module:function of yours
    kind: str = "stdlib"
    # a folder, file or glob, for files; each row of .jsonl and .parquet is a document
    path: str | None = None
    suffixes: list[str] | None = None  # which files of a folder are read; null reads all
    held_out: float = 0.05  # share of the documents that is kept for validation
    # bytes (as null); bpe trains one on the text; or a tokenizer.json, its folder, a hub name
    tokenizer: str | None = None
    vocabulary: int | None = None  # tokens that bpe may have; null: 4096
    name: str | None = None  # of a data set on the Hugging Face hub, or its folder, for hub
    subset: str | None = None  # of that data set
    split: str | None = None  # of that data set; null: train
    text_column: str | None = None  # of .jsonl, .parquet and hub; null: text
    documents: int | None = None  # only the first so many; null: all
    bytes: str | None = None  # of text, only the first so many, such as 100MB; null: all
    # [windows, length, ...] of other held-out samples, of which ours has no token (star.validate);
    # a pair that stands twice: nor of the windows that training.learning_rates chooses by
    apart_from: list[int] | None = None

    def check(self) -> None:
        """Raise `UserError` for the first value that cannot be used."""
        fits = 0 < self.held_out < 1
        expect("data.held_out", self.held_out, fits, "a share between 0 and 1")
        self._check_tokens()
        self._check_hub()
        fits = self.documents is None or self.documents >= 2
        expect("data.documents", self.documents, fits, "at least 2, since whole ones are held out")
        fits = self.most_bytes is None or self.most_bytes >= 1
        expect("data.bytes", self.bytes, fits, "at least 1 byte")
        given = self.apart_from or []
        fits = len(given) % 2 == 0 and all(1 <= number <= MOST_WINDOWS for number in given)
        expected = "pairs of windows and their length, such as [128,256], or null"
        expect("data.apart_from", self.apart_from, fits, expected)

    def _check_tokens(self) -> None:
        expected = "bytes, bpe, a tokenizer.json, its folder, or a name on the hub"
        expect("data.tokenizer", self.tokenizer, self.tokenizer != "", expected)
        if self.vocabulary is None:
            return
        is_trained = self.tokenizer == TRAINED
        expected = "null, since only data.tokenizer=bpe is trained to a vocabulary"
        expect("data.vocabulary", self.vocabulary, is_trained, expected)
        fits = SMALLEST_VOCABULARY <= self.vocabulary <= LARGEST_VOCABULARY
        expected = f"{SMALLEST_VOCABULARY} (256 bytes and an end) to {LARGEST_VOCABULARY:,} tokens"
        expect("data.vocabulary", self.vocabulary, fits, expected)

    def _check_hub(self) -> None:
        if self.kind == HUB:
            expect("data.name", self.name, bool(self.name), "a data set on the hub, or its folder")
            expect("data.path", self.path, self.path is None, "null; data.name names the data set")
            return
        if is_import_path(self.kind):  # which may use them as it likes
            return
        for name in ("name", "subset", "split"):
            value = getattr(self, name)
            expect(f"data.{name}", value, value is None, "null, since only data=hub takes it")

    @property
    def most_bytes(self) -> int | None:
        """`bytes` as a number. Raises `UserError` where it is none."""
        if self.bytes is None:
            return None
        return int(parse_quantity("data.bytes", self.bytes))

    @property
    def column(self) -> str:
        """The column that holds the text of a table."""
        return self.text_column or USUAL_COLUMN

    @property
    def has_bytes(self) -> bool:
        """Whether tokens are bytes."""
        return self.tokenizer in (None, BYTE_LEVEL)

    @property
    def samples_to_avoid(self) -> tuple[tuple[int, int], ...]:
        """`apart_from` as pairs of (windows, length)."""
        given = self.apart_from or []
        return tuple(zip(given[::2], given[1::2], strict=True))

    def content(self, fingerprint: str) -> dict[str, Any]:
        """What of the data can change a result, as recipes keep it. fingerprint: of the text."""
        apart = {"apart_from": self.apart_from} if self.apart_from else {}
        return {"fingerprint": fingerprint, **apart}
