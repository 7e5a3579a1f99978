"""One-token pairs: recall where a single token is a key together with its value.

A model need not join two neighbours before it can look anything up, so that designs without
convolutions or a second attention are not misjudged (multi-query associative recall in the manner
of arXiv 2312.04927).
"""

import numpy as np
import torch

from star.base.settings import expect
from star.data.mad.instances import IGNORED, TRAIN, Block, Instances, integers, named


def one_token_pairs(
    count: int,
    seed: int = 0,
    split: str = TRAIN,
    first: int = 0,
    keys: int = 16,
    values: int = 16,
    length: int = 64,
    fillers: int = 16,
) -> Instances:
    """Instances of one-token pairs: every key is told once, and later asked once.

    Tokens 0 to keys x values - 1 are the pairs, key first; then come `keys` tokens that ask for
    one, and the fillers. The keys' pairs stand in random order at random places of the first
    length - keys positions, with fillers between them; the questions, in another order, are the
    last ones. The target of a question is the token of its pair.

    Args:
        count: number of instances.
        seed: of the data set.
        split: `train`, `validation` or `test`; targets are the same in all.
        first: index of the first instance.
        keys: number of keys, all of which are told and asked.
        values: number of values.
        length: of a sequence.
        fillers: number of different filler tokens.

    Raises:
        UserError: for settings that no sequence has.
    """
    block = Block(count, seed, split, first)
    with named("one_token_pairs"):
        block.check()
        expect("keys", keys, keys >= 1, "at least 1")
        expect("values", values, values >= 2, "at least 2")
        expect("fillers", fillers, fillers >= 1, "at least 1")
        expect("length", length, length >= 2 * keys, f"at least {2 * keys}: twice the keys")
    told = np.arange(keys) * values + integers(block.draw("values", keys), values)
    places = np.argsort(block.draw("places", length - keys), axis=1)[:, :keys]  # in any order
    asked = np.argsort(block.draw("questions", keys), axis=1)
    inputs = np.empty((count, length), dtype=np.int64)
    inputs[:] = keys * (values + 1) + integers(block.draw("fillers", length), fillers)
    np.put_along_axis(inputs, places, told, axis=1)
    inputs[:, length - keys :] = keys * values + asked
    targets = np.full_like(inputs, IGNORED)
    targets[:, length - keys :] = np.take_along_axis(told, asked, axis=1)
    return Instances(torch.from_numpy(inputs), torch.from_numpy(targets))


def pair_vocabulary(keys: int = 16, values: int = 16, fillers: int = 16) -> int:
    """Number of tokens of `one_token_pairs`."""
    return keys * (values + 1) + fillers
