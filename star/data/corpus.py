"""A byte-level corpus: memory-mapped training and held-out text, and the batches drawn from it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from star.base.errors import UserError
from star.data.config import DataConfig
from star.data.sources import list_documents, split
from star.data.store import open_entry
from star.data.tokenizers import BYTES_PER_TOKEN, VOCABULARY
from star.data.windows import Sample, even_starts, starts_apart

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Corpus:
    """Training and validation text as uint8 arrays (memory-mapped), and the fingerprint of their
    content."""

    train: Bytes
    validation: Bytes
    fingerprint: str
    vocabulary: int = VOCABULARY
    bytes_per_token: float = BYTES_PER_TOKEN
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
                    f"{key}={needed}: the {name} text has only {len(part)} bytes, "
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


def _windows(text: Bytes, starts: npt.NDArray[np.int64], length: int) -> torch.Tensor:
    positions = starts[:, None] + np.arange(length + 1)
    return torch.from_numpy(text[positions].astype(np.int64))


def load_corpus(config: DataConfig) -> Corpus:
    """Open the corpus, building its cache when needed. Raises `UserError` for missing, empty or
    unreadable data."""
    train, held_out = split(list_documents(config), config.held_out)
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
    corpus = load_corpus(config)
    corpus.check_length(length, validation_length)
    if vocabulary < corpus.vocabulary:
        raise UserError(
            f"model.vocabulary={vocabulary}: expected at least the data's {corpus.vocabulary}"
        )
    return corpus
