"""What the tasks give: instances of token sequences, and the random numbers that they are made of.

The numbers of instance `i` are a block of a counter-based stream. So any instance can be made again
from its seed, split and index alone, and a thousand are made at once without a loop over them.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from star.base.errors import UserError
from star.base.settings import expect, expect_one_of, expect_seed

IGNORED = -100  # target of a position that is not scored, as `cross_entropy` has it
TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)
WORDS = 4  # 64-bit numbers that Philox gives for one value of its counter

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Instances:
    """Sequences of one task.

    Attributes:
        inputs: tokens, int64 (instances, positions).
        targets: the token wanted at each position, or `IGNORED`; int64 of the same shape.
    """

    inputs: torch.Tensor
    targets: torch.Tensor

    def __len__(self) -> int:
        """Number of instances."""
        return len(self.inputs)

    @property
    def scored(self) -> torch.Tensor:
        """Which positions are scored, booleans of the same shape."""
        return self.targets != IGNORED

    def to(self, device: torch.device) -> "Instances":
        """The same on a device."""
        return Instances(self.inputs.to(device), self.targets.to(device))


@dataclass(frozen=True)
class Block:
    """Which instances are wanted: `count` of them from `first` on, of one split and seed."""

    count: int
    seed: int = 0
    split: str = TRAIN
    first: int = 0

    def check(self) -> None:
        """Raise `UserError` for the first value that cannot be used."""
        expect("count", self.count, self.count >= 1, "at least 1")
        expect("first", self.first, self.first >= 0, "at least 0")
        expect_one_of("split", self.split, SPLITS)
        expect_seed(self.seed)

    @property
    def is_training(self) -> bool:
        """Whether every next token is a target, not only the answers."""
        return self.split == TRAIN

    def draw(self, name: str, *shape: int) -> Floats:
        """Uniform numbers from 0 to below 1, (instances, *shape).

        name: of the stream; each use of a task has its own, so that one of them can grow.
        """
        width = int(np.prod(shape, dtype=np.int64))
        blocks = -(-width // WORDS)
        words = [self.seed, zlib.crc32(f"{self.split} {name}".encode())]
        key = np.random.SeedSequence(words).generate_state(2, np.uint64)
        stream = np.random.Philox(key=key)
        stream.advance(self.first * blocks)
        raw = stream.random_raw(self.count * blocks * WORDS).reshape(self.count, -1)[:, :width]
        uniform: Floats = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return uniform.reshape(self.count, *shape)


def integers(uniform: Floats, high: int | Integers) -> Integers:
    """Whole numbers from 0 to below `high`, which may differ by element."""
    return np.floor(uniform * high).astype(np.int64)


def distinct(uniform: Floats, high: int) -> Integers:
    """Whole numbers from 0 to below `high` that differ along the last axis, which has at most 3.

    The second is drawn among those left, and so skips the first: of 0..6 without 4, the number 5 is
    drawn as 4.
    """
    drawn = [integers(uniform[..., n], high - n) for n in range(uniform.shape[-1])]
    for n in range(1, len(drawn)):
        taken = np.sort(np.stack(drawn[:n], axis=-1), axis=-1)
        for earlier in np.moveaxis(taken, -1, 0):
            drawn[n] = drawn[n] + (drawn[n] >= earlier)
    return np.stack(drawn, axis=-1)


def choose(uniform: Floats, allowed: npt.NDArray[np.bool_]) -> Integers:
    """An index of the last axis where `allowed` holds, each as likely: shapes (..., n) to (...)."""
    return np.where(allowed, uniform, -1.0).argmax(axis=-1)


def first_seen(keys: Integers) -> Integers:
    """Index of the first slot that has each slot's key, both (instances, slots).

    A slot saw its key before if that index is smaller than its own.
    """
    order = np.argsort(keys, axis=1, kind="stable")
    ordered = np.take_along_axis(keys, order, axis=1)
    starts = np.ones(keys.shape, dtype=bool)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    positions = np.where(starts, np.arange(keys.shape[1]), 0)
    leaders = np.take_along_axis(order, np.maximum.accumulate(positions, axis=1), axis=1)
    first = np.empty_like(leaders)
    np.put_along_axis(first, order, leaders, axis=1)
    return first


def shifted(tokens: Integers, answers: Integers, is_training: bool) -> Instances:
    """Next-token instances of whole sequences, which lose one position by it.

    Args:
        tokens: (instances, positions).
        answers: of the same shape: the tokens whose prediction is scored, `IGNORED` elsewhere.
        is_training: every next token is a target then.
    """
    targets = (tokens if is_training else answers)[:, 1:]
    return Instances(torch.from_numpy(tokens[:, :-1].copy()), torch.from_numpy(targets.copy()))


@contextmanager
def named(task: str) -> Iterator[None]:
    """Name the task in the errors of its settings."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{task}: {error}") from None
