"""A corpus: memory-mapped training and held-out tokens, and the batches drawn from them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from star.base.errors import UserError
from star.data.config import HUB, DataConfig
from star.data.sources import Document, TableFile, list_documents, split
from star.data.store import open_entry
from star.data.streams import DocumentStream, HubStream, Stream
from star.data.tokenised import check_vocabulary, open_tokenised
from star.data.tokenizers import BYTES_PER_TOKEN, VOCABULARY, Tokens
from star.data.windows import Sample, even_starts, starts_apart


@dataclass(frozen=True)
class Corpus:
    """Training and validation tokens as arrays (memory-mapped) of the smallest unsigned integers
    that hold them, (tokens,), and the fingerprint of their content."""

    train: Tokens
    validation: Tokens
    fingerprint: str
    vocabulary: int = VOCABULARY  # tokens are below it
    bytes_per_token: float = BYTES_PER_TOKEN  # of the held-out text
    tokenizer: Path | None = None  # the folder with its files; None where tokens are bytes
    apart_from: tuple[Sample, ...] = ()  # held-out samples that ours shares no token with

    def check_length(self, length: int, validation_length: int | None = None) -> None:
        """Raise `UserError` unless both parts hold at least one window, of length + 1 tokens.

        validation_length: of held-out windows; None is the same.
        """
        parts = [("training", self.train, "training.length", length)]
        if validation_length is None or validation_length == length:
            parts.append(("held-out", self.validation, "training.length", length))
        else:
            key = "training.validation_length"
            parts.append(("held-out", self.validation, key, validation_length))
        for name, part, key, needed in parts:
            if len(part) <= needed:
                raise UserError(
                    f"{key}={needed}: the {name} text has only {len(part)} tokens, "
                    f"expected more than the "
                    "length; use more text (data.path) or a shorter length"
                )

    def batch(self, seed: int, step: int, batch_size: int, length: int) -> torch.Tensor:
        """Random training windows, int64 (batch, length + 1); a function of (seed, step) only."""
        rng = np.random.default_rng([seed, step])
        starts = rng.integers(0, len(self.train) - length, size=batch_size)
        return _windows(self.train, starts, length)

    def validation_batches(
        self, batches: int, batch_size: int, length: int, selecting: bool = False
    ) -> Iterator[torch.Tensor]:
        """A fixed held-out sample, int64 (batch, length + 1), the same for every candidate.

        Evenly spaced windows; with `apart_from`, others that share nothing with those samples.
        With `selecting` as many others that share nothing with any of these, to choose by.
        Raises `UserError` where the text has no room for so many.
        """
        sample = (batches * batch_size, length)
        starts = self.validation_starts(sample)
        if selecting:
            starts = starts_apart(len(self.validation), sample, self.apart_from, starts)
        for part in np.split(starts, batches):
            yield _windows(self.validation, part, length)

    def validation_starts(self, sample: Sample) -> npt.NDArray[np.int64]:
        """Where the windows of `validation_batches` begin, (windows,)."""
        size = len(self.validation)
        if self.apart_from:
            return starts_apart(size, sample, self.apart_from)
        return even_starts(size, sample)


def _windows(text: Tokens, starts: npt.NDArray[np.int64], length: int) -> torch.Tensor:
    positions = starts[:, None] + np.arange(length + 1)
    return torch.from_numpy(text[positions].astype(np.int64))


def load_corpus(config: DataConfig, vocabulary: int | None = None) -> Corpus:
    """Open the corpus, building its cache when needed.

    Args:
        config: where the text comes from.
        vocabulary: of the model; None is any.

    Raises:
        UserError: for missing, empty or unreadable data, and for a model with fewer tokens.
    """
    stream: Stream
    if config.kind == HUB:
        config.check()
        stream = HubStream(config)
    else:
        documents = list_documents(config)
        if _are_plain_bytes(config, documents):
            check_vocabulary(VOCABULARY, vocabulary)
            return _byte_corpus(config, documents)
        stream = DocumentStream(documents, config)
    found = open_tokenised(stream, config, vocabulary)
    return Corpus(
        train=np.memmap(found.folder / "train.bin", dtype=found.kind, mode="r"),
        validation=np.memmap(found.folder / "validation.bin", dtype=found.kind, mode="r"),
        fingerprint=found.fingerprint,
        vocabulary=found.vocabulary,
        bytes_per_token=found.bytes_per_token,
        tokenizer=found.tokenizer,
        apart_from=config.samples_to_avoid,
    )


def _are_plain_bytes(config: DataConfig, documents: Sequence[Document]) -> bool:
    """Whether the tokens are the bytes of whole files, which `star.data.store` keeps."""
    is_limited = config.documents is not None or config.bytes is not None
    has_tables = any(isinstance(document, TableFile) for document in documents)
    return config.has_bytes and not is_limited and not has_tables


def _byte_corpus(config: DataConfig, documents: list[Document]) -> Corpus:
    train, held_out = split(documents, config.held_out)
    entry, description = open_entry({"train": train, "validation": held_out})
    return Corpus(
        train=np.memmap(entry / "train.bin", dtype=np.uint8, mode="r"),
        validation=np.memmap(entry / "validation.bin", dtype=np.uint8, mode="r"),
        fingerprint=description["fingerprint"],
        apart_from=config.samples_to_avoid,
    )


def open_corpus(
    config: DataConfig, length: int, vocabulary: int, validation_length: int | None = None
) -> Corpus:
    """`load_corpus` for training on windows of `length` tokens with a model of that vocabulary.

    Raises `UserError` also when the text does not suit them. validation_length: tokens of held-out
    windows; None is the same.
    """
    corpus = load_corpus(config, vocabulary)
    corpus.check_length(length, validation_length)
    return corpus
