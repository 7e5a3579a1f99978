"""In-context recall and noisy recall: tell the value that a key had earlier in the sequence.

A sequence is pairs of a key and its value, drawn anew for each sequence and fixed within it; noise
pairs may stand between them. Poli et al., arXiv 2403.17844, section 3.
"""

import numpy as np

from star.base.settings import expect
from star.data.mad.instances import (
    IGNORED,
    TRAIN,
    Block,
    Instances,
    choose,
    first_seen,
    integers,
    named,
    shifted,
)


def in_context_recall(
    count: int,
    seed: int = 0,
    split: str = TRAIN,
    first: int = 0,
    vocabulary: int = 16,
    length: int = 128,
    multi_query: bool = True,
    noise_vocabulary: int = 0,
    noise_fraction: float = 0.0,
) -> Instances:
    """Instances of in-context recall: `k v k v ...`, and the value of a key seen before is asked.

    With V' = vocabulary - noise_vocabulary, keys are tokens 0 to V'/2 - 1 and values the next V'/2.
    The training split has every next token as target, the others the values of keys seen before.

    Args:
        count: number of instances.
        seed: of the data set.
        split: `train`, `validation` or `test`.
        first: index of the first instance.
        vocabulary: number of tokens.
        length: of a sequence, even; inputs have one position less.
        multi_query: every key seen before is asked, not only the last one, which then follows a
            prefix, the last token of the vocabulary, in inputs of the whole length.
        noise_vocabulary: tokens of noise, the last ones but for the prefix.
        noise_fraction: of the pairs that are two tokens of noise instead.

    Raises:
        UserError: for settings that no sequence has.
    """
    block = Block(count, seed, split, first)
    usable = vocabulary - noise_vocabulary - (not multi_query)
    with named("noisy_recall" if noise_vocabulary else "in_context_recall"):
        block.check()
        _check(usable, length, vocabulary, noise_vocabulary, noise_fraction)
    slots, key_count = length // 2, usable // 2
    keys = integers(block.draw("keys", slots), key_count)
    values = key_count + integers(block.draw("values", key_count), usable - key_count)
    noise = _noise(block, slots, noise_fraction)
    rows = np.arange(count)

    shown = np.zeros((count, key_count + 1), dtype=bool)
    np.put_along_axis(shown, np.where(noise, key_count, keys)[:, :-1], True, axis=1)
    keys[:, -1] = choose(block.draw("probe", key_count), shown[:, :-1])
    pairs = np.stack([keys, values[rows[:, None], keys]], axis=2)
    drawn = usable + integers(block.draw("noise tokens", slots, 2), max(noise_vocabulary, 1))
    pairs = np.where(noise[..., None], drawn, pairs)

    shown_keys = np.where(noise, key_count, keys)  # noise shows none
    again = first_seen(shown_keys) < np.arange(slots)
    if not multi_query:
        again[:, :-1] = False
    answers = np.full_like(pairs, IGNORED)
    answers[..., 1] = np.where(again & ~noise, pairs[..., 1], IGNORED)
    tokens, answers = pairs.reshape(count, -1), answers.reshape(count, -1)
    if not multi_query:
        tokens = np.insert(tokens, length - 2, vocabulary - 1, axis=1)
        answers = np.insert(answers, length - 2, IGNORED, axis=1)
    return shifted(tokens, answers, block.is_training)


def noisy_recall(
    count: int,
    seed: int = 0,
    split: str = TRAIN,
    first: int = 0,
    vocabulary: int = 32,
    length: int = 128,
    multi_query: bool = True,
    noise_vocabulary: int = 16,
    noise_fraction: float = 0.2,
) -> Instances:
    """`in_context_recall` with noise between the pairs: the same arguments with other defaults."""
    return in_context_recall(
        count, seed, split, first, vocabulary, length, multi_query, noise_vocabulary, noise_fraction
    )


def _noise(block: Block, slots: int, fraction: float) -> np.ndarray:
    """Which slots are noise, (instances, slots): never the last, nor one that is drawn."""
    noise = block.draw("noise", slots) < fraction
    reserved = integers(block.draw("reserved", 1), slots - 1)
    np.put_along_axis(noise, reserved, False, axis=1)
    noise[:, -1] = False
    return noise


def _check(
    usable: int, length: int, vocabulary: int, noise_vocabulary: int, noise_fraction: float
) -> None:
    expect("length", length, length >= 4 and length % 2 == 0, "an even number of at least 4")
    expect("noise_vocabulary", noise_vocabulary, noise_vocabulary >= 0, "at least 0")
    expected = f"room for a key and a value beside {noise_vocabulary} tokens of noise"
    expect("vocabulary", vocabulary, usable >= 2, expected)
    expect("noise_fraction", noise_fraction, 0 <= noise_fraction < 1, "from 0 to below 1")
    if noise_fraction > 0:
        expect("noise_vocabulary", noise_vocabulary, noise_vocabulary >= 1, "at least 1")
