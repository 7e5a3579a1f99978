"""Training text in two parts: one that weights are trained on, one that the mixture is.

Alternate stretches go to one and the other, so that both parts have some of every kind of text, in
whatever order the documents are. Held-out text is in neither: what is reported of a hybrid is of
text that chose nothing.
"""

from dataclasses import dataclass, fields

import numpy as np
import torch

from star.base.errors import UserError
from star.data import Corpus

STRETCHES = 256  # of a long text, in all
LEAST_WINDOWS = 4  # that a stretch has room for


@dataclass(frozen=True)
class Part(Corpus):
    """A corpus whose batches are of every second stretch of its training text."""

    is_second: bool = False

    def batch(self, seed: int, step: int, batch_size: int, length: int) -> torch.Tensor:
        """Random windows of the part's stretches, int64 (batch, length + 1); a function of (seed,
        step) only, and another one for each part.

        Raises `UserError` for a text of fewer than two stretches.
        """
        size = stretch_of(len(self.train), length)
        first, count = int(self.is_second), len(self.train) // size
        rng = np.random.default_rng([seed, step, first])
        chosen = rng.integers(0, (count - first + 1) // 2, size=batch_size) * 2 + first
        starts = chosen * size + rng.integers(0, size - length, size=batch_size)
        windows = self.train[starts[:, None] + np.arange(length + 1)]
        return torch.from_numpy(windows.astype(np.int64))


def stretch_of(tokens: int, length: int) -> int:
    """Tokens of one stretch. Raises `UserError` for a text with no room for two."""
    size = max(tokens // STRETCHES, LEAST_WINDOWS * (length + 1))
    if tokens < 2 * size:
        raise UserError(
            f"training.length={length}: the training text has only {tokens:,} tokens, expected "
            f"{2 * size:,} to search a mixture on a part of its own; use more text (data.path) or "
            "a shorter length"
        )
    return size


def parts(corpus: Corpus, length: int) -> tuple[Part, Part]:
    """The part for weights and the part for the mixture. Raises `UserError` for too short a
    text."""
    stretch_of(len(corpus.train), length)
    own = {one.name: getattr(corpus, one.name) for one in fields(Corpus)}
    return Part(**own), Part(**own, is_second=True)
