"""Fuzzy recall: in-context recall where keys and values are motifs of one to three tokens.

Poli et al., arXiv 2403.17844, section 3. Their generator writes down all motifs and shuffles them
for every instance (6 s each at 128 tokens); motifs are drawn here.
"""

from dataclasses import dataclass

import numpy as np

from star.base.settings import expect
from star.data.mad.instances import (
    IGNORED,
    TRAIN,
    Block,
    Instances,
    Integers,
    distinct,
    first_seen,
    integers,
    named,
    shifted,
)

MOTIF = 3  # most tokens of a key or a value
CHUNK = 512  # instances at once


def fuzzy_recall(
    count: int,
    seed: int = 0,
    split: str = TRAIN,
    first: int = 0,
    vocabulary: int = 16,
    length: int = 128,
) -> Instances:
    """Instances of fuzzy recall, with every key that was seen before asked.

    The last token pads sequences on the left; keys are made of the first half of the others, values
    of the rest, without repetition within a motif. Keys have 1 to 3 tokens in the training split
    and 3 in the others. One pair, the probe, is planted somewhere and asked at the end. The
    training split has every next token as target, the others the values of keys seen before.

    Args:
        count: number of instances.
        seed: of the data set.
        split: `train`, `validation` or `test`.
        first: index of the first instance.
        vocabulary: number of tokens.
        length: of the inputs.

    Raises:
        UserError: for settings that no sequence has.
    """
    with named("fuzzy_recall"):
        Block(count, seed, split, first).check()
        key_tokens = (vocabulary - 1) // 2
        expected = f"at least {2 * MOTIF + 1}: motifs of {MOTIF} tokens do not repeat one"
        expect("vocabulary", vocabulary, key_tokens >= MOTIF, expected)
        least = 4 * MOTIF + 2
        expect("length", length, length >= least, f"at least {least}: room for the probe twice")
    chunks = [
        _instances(Block(min(CHUNK, first + count - at), seed, split, at), vocabulary, length)
        for at in range(first, first + count, CHUNK)
    ]
    tokens, answers = (np.concatenate(parts) for parts in zip(*chunks, strict=True))
    return shifted(tokens, answers, split == TRAIN)


@dataclass(frozen=True)
class _Pairs:
    """Pairs of a key and a value, each (instances, pairs, 6): key tokens, then value tokens.

    Attributes:
        tokens: -1 where a motif is shorter than 3.
        keys: a number for each key motif, (instances, pairs).
    """

    tokens: Integers
    keys: Integers

    @property
    def sizes(self) -> Integers:
        """Tokens of each pair, (instances, pairs)."""
        return (self.tokens >= 0).sum(axis=2)


def _draw_pairs(block: Block, name: str, number: int, vocabulary: int) -> _Pairs:
    """Pairs that know nothing of each other: the same key may have two values."""
    key_tokens = (vocabulary - 1) // 2
    sizes = 1 + integers(block.draw(f"{name} sizes", number, 2), MOTIF)
    if not block.is_training:
        sizes[..., 0] = MOTIF
    draws = block.draw(f"{name} tokens", number, 2, MOTIF)
    motifs = np.stack(
        [
            distinct(draws[:, :, 0], key_tokens),
            key_tokens + distinct(draws[:, :, 1], vocabulary - 1 - key_tokens),
        ],
        axis=2,
    )
    motifs = np.where(np.arange(MOTIF) < sizes[..., None], motifs, -1)
    base = (vocabulary + 1) ** np.arange(MOTIF)
    return _Pairs(motifs.reshape(*motifs.shape[:2], -1), ((motifs[:, :, 0] + 1) * base).sum(axis=2))


def _consistent(pairs: _Pairs, probe: _Pairs) -> _Pairs:
    """The pairs with the value that each key had first, or that of the probe with its key."""
    leaders = first_seen(pairs.keys)[..., None]
    values = np.take_along_axis(pairs.tokens[..., MOTIF:], leaders, axis=1)
    tokens = np.concatenate([pairs.tokens[..., :MOTIF], values], axis=2)
    same = (pairs.keys == probe.keys)[..., None]
    return _Pairs(np.where(same, probe.tokens, tokens), pairs.keys)


def _instances(block: Block, vocabulary: int, length: int) -> tuple[Integers, Integers]:
    """Whole sequences and their answers, (instances, length + 1)."""
    number = length // (MOTIF + 1 if not block.is_training else 2)
    probe = _draw_pairs(block, "probe", 1, vocabulary)
    pairs = _consistent(_draw_pairs(block, "pair", number, vocabulary), probe)
    pairs = _planted(block, pairs, probe, length)
    tokens, sizes = pairs.tokens, pairs.sizes

    end = length - probe.sizes - 2 * MOTIF  # pairs begin before it, so that the probe has room
    used = np.cumsum(sizes, axis=1) - sizes < end
    seen = (first_seen(pairs.keys) < np.arange(tokens.shape[1])) & used
    tokens = np.where(used[..., None], tokens, -1)
    tokens = np.concatenate([tokens, probe.tokens], axis=1)
    seen = np.concatenate([seen, np.ones((block.count, 1), dtype=bool)], axis=1)
    answers = np.where(seen[..., None] & (tokens >= 0), tokens, IGNORED)
    answers[..., :MOTIF] = IGNORED
    return _packed(tokens, answers, vocabulary - 1, length + 1)


def _planted(block: Block, pairs: _Pairs, probe: _Pairs, length: int) -> _Pairs:
    """The pairs with the probe before the first one that begins at or behind a random position,
    unless one before it has the probe's key, which is then the probe."""
    same = pairs.keys == probe.keys
    sizes, size = pairs.sizes, probe.sizes[:, 0]
    starts = np.cumsum(sizes, axis=1) - sizes
    at = integers(block.draw("planted", 1)[:, 0], length - 2 * size)
    at = np.minimum(at, length - size - 4 * MOTIF)  # so that it begins within what is used
    before = starts < at[:, None]
    number = pairs.keys.shape[1]
    index = np.where((same & before).any(axis=1), number, before.sum(axis=1))[:, None]
    places = np.arange(number + 1)
    source = np.minimum(places - (places > index), number - 1)  # one place later behind the probe
    is_probe = places == index
    keys = np.where(is_probe, probe.keys, np.take_along_axis(pairs.keys, source, axis=1))
    tokens = np.take_along_axis(pairs.tokens, source[..., None], axis=1)
    return _Pairs(np.where(is_probe[..., None], probe.tokens, tokens), keys)


def _packed(
    tokens: Integers, answers: Integers, padding: int, length: int
) -> tuple[Integers, Integers]:
    """Motifs side by side at the end of each sequence, (instances, length)."""
    count = len(tokens)
    tokens, answers = tokens.reshape(count, -1), answers.reshape(count, -1)
    present = tokens >= 0
    behind = present[:, ::-1].cumsum(axis=1)[:, ::-1]  # tokens from each one to the end
    rows, _ = np.nonzero(present)
    columns = length - behind[present]
    packed = np.full((count, length), padding, dtype=np.int64)
    wanted = np.full((count, length), IGNORED, dtype=np.int64)
    packed[rows, columns] = tokens[present]
    wanted[rows, columns] = answers[present]
    return packed, wanted
