"""Selective copying, compression and memorization: what MAD asks beside recall.

Poli et al., arXiv 2403.17844, section 3.
"""

import numpy as np
import torch

from star.base.settings import expect
from star.data.mad.instances import IGNORED, TRAIN, Block, Instances, integers, named

FACTS_SEED = 12345  # of what there is to memorise, the same for every split


def selective_copying(
    count: int,
    seed: int = 0,
    split: str = TRAIN,
    first: int = 0,
    vocabulary: int = 16,
    length: int = 256,
    copied: int = 16,
) -> Instances:
    """Instances of selective copying: content between blanks, and then in order without them.

    Token V - 1 asks for the copy, V - 2 is the blank, the others are content. A sequence is
    `copied` content tokens with length - 2 copied - 1 blanks between them, the copy token, and as
    many blanks, at which the content is the target. Blanks stand before a content token, so that
    the last one touches the copy token, as in mad-lab.

    Args:
        count: number of instances.
        seed: of the data set.
        split: `train`, `validation` or `test`; targets are the same in all.
        first: index of the first instance.
        vocabulary: number of tokens.
        length: of a sequence.
        copied: content tokens.

    Raises:
        UserError: for settings that no sequence has.
    """
    block = Block(count, seed, split, first)
    blanks = length - 2 * copied - 1
    with named("selective_copying"):
        block.check()
        expect("vocabulary", vocabulary, vocabulary >= 3, "at least 3: content, blank and copy")
        expect("copied", copied, copied >= 1 and blanks >= 0, f"1 to {(length - 1) // 2}")
    content = integers(block.draw("content", copied), vocabulary - 2)
    before = np.zeros((count, copied), dtype=np.int64)  # blanks directly before each
    rows = np.arange(count)
    for place in integers(block.draw("blanks", blanks), copied).T:
        before[rows, place] += 1
    positions = np.cumsum(before, axis=1) + np.arange(copied)
    inputs = np.full((count, length), vocabulary - 2, dtype=np.int64)
    np.put_along_axis(inputs, positions, content, axis=1)
    inputs[:, length - copied - 1] = vocabulary - 1
    targets = np.full_like(inputs, IGNORED)
    targets[:, length - copied :] = content
    return Instances(torch.from_numpy(inputs), torch.from_numpy(targets))


def compression(
    count: int,
    seed: int = 0,
    split: str = TRAIN,
    first: int = 0,
    vocabulary: int = 16,
    length: int = 32,
) -> Instances:
    """Instances of compression: random tokens, and behind them one that asks for all of them.

    The target is the sequence itself, which an auto-encoder reads from its last position.

    Args:
        count: number of instances.
        seed: of the data set.
        split: `train`, `validation` or `test`; targets are the same in all.
        first: index of the first instance.
        vocabulary: number of tokens; the last one ends each sequence.
        length: of a sequence.

    Raises:
        UserError: for settings that no sequence has.
    """
    block = Block(count, seed, split, first)
    with named("compression"):
        block.check()
        expect("vocabulary", vocabulary, vocabulary >= 2, "at least 2")
        expect("length", length, length >= 2, "at least 2")
    inputs = integers(block.draw("tokens", length), vocabulary - 1)
    inputs[:, -1] = vocabulary - 1
    return Instances(torch.from_numpy(inputs), torch.from_numpy(inputs.copy()))


def memorization(
    count: int,
    seed: int = 0,
    split: str = TRAIN,
    first: int = 0,
    vocabulary: int = 256,
    length: int = 32,
) -> Instances:
    """Instances of memorization: keys, and at a blank behind each the value that it always has.

    With K = (vocabulary - 1) // 2, keys are tokens 0 to K - 1; their values, K of the tokens that
    follow, are the same in every sequence and split. The last token is the blank.

    Args:
        count: number of instances.
        seed: of the data set; the facts do not depend on it.
        split: `train`, `validation` or `test`; targets are the same in all.
        first: index of the first instance.
        vocabulary: number of tokens.
        length: of a sequence, even.

    Raises:
        UserError: for settings that no sequence has.
    """
    block = Block(count, seed, split, first)
    with named("memorization"):
        block.check()
        expect("vocabulary", vocabulary, vocabulary >= 3, "at least 3: key, value and blank")
        expect("length", length, length >= 2 and length % 2 == 0, "an even number of at least 2")
    keys = facts(vocabulary)
    drawn = integers(block.draw("keys", length // 2), len(keys))
    inputs = np.full((count, length), vocabulary - 1, dtype=np.int64)
    inputs[:, ::2] = drawn
    targets = np.full_like(inputs, IGNORED)
    targets[:, 1::2] = keys[drawn]
    return Instances(torch.from_numpy(inputs), torch.from_numpy(targets))


def facts(vocabulary: int) -> np.ndarray:
    """The value of every key of `memorization`, int64 (keys,)."""
    key_count = (vocabulary - 1) // 2
    values = np.arange(key_count, vocabulary - 1)
    return np.random.default_rng(FACTS_SEED).permutation(values)[:key_count]
