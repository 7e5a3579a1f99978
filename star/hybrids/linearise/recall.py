"""Recall in the vocabulary of a checkpoint: sequences made of its own text, whose answers stand in
them earlier.

`repeat`: tokens of the text in random order, and then the same again, of which each but the first
is asked, since only what followed before tells it (repeated random tokens, Olsson et al. 2022,
arXiv 2209.11895). `pairs`: in-context recall of MAD, keys and values being tokens of the text.
"""

from collections.abc import Callable

import numpy as np
import torch

from star.base.errors import UserError
from star.data.mad import IGNORED, Instances, in_context_recall

SYMBOLS = 16  # tokens of `pairs`, half of them keys
ANSWERS = "validation"  # the split whose only targets are answers


def repeat(tokens: torch.Tensor, rng: np.random.Generator) -> Instances:
    """Of the first half of each window.

    Args:
        tokens: of the text, int64 (windows, length + 1).
        rng: of the order.

    Returns:
        Inputs of about that length, int64 (windows, positions), and targets.
    """
    half = max(2, tokens.shape[1] // 2)
    order = rng.permuted(np.tile(np.arange(half), (len(tokens), 1)), axis=1)
    once = tokens[:, :half].cpu().gather(1, torch.from_numpy(order))
    twice = torch.cat([once, once], dim=1)
    targets = twice[:, 1:].clone()
    targets[:, :half] = IGNORED
    return Instances(twice[:, :-1], targets)


def pairs(tokens: torch.Tensor, rng: np.random.Generator) -> Instances:
    """As many sequences as windows, with tokens that occur in them.

    Args:
        tokens: of the text, int64 (windows, length + 1).
        rng: of the symbols and the pairs.

    Raises:
        UserError: for windows of too few different tokens.
    """
    known = np.unique(tokens.cpu().numpy())
    if len(known) < SYMBOLS:
        raise UserError(
            f"task=pairs: a batch has only {len(known)} different tokens, expected "
            f"{SYMBOLS}; use longer windows (training.length) or task=repeat"
        )
    symbols = torch.from_numpy(rng.permutation(known)[:SYMBOLS])
    length, seed = max(4, tokens.shape[1] // 2 * 2), int(rng.integers(2**31))
    made = in_context_recall(len(tokens), seed, ANSWERS, vocabulary=SYMBOLS, length=length)
    answers = symbols[made.targets.clamp(min=0)]
    targets = torch.where(made.scored, answers, made.targets)
    return Instances(symbols[made.inputs], targets)


TASKS: dict[str, Callable[[torch.Tensor, np.random.Generator], Instances]] = {
    "repeat": repeat,
    "pairs": pairs,
}
