"""Where the windows of a held-out sample begin in their text: evenly spaced, or apart from others.

A sample is given as (windows, length): so many windows of `length` + 1 tokens, since the last one
is only predicted.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from star.base.errors import UserError

Starts = npt.NDArray[np.int64]
Sample = tuple[int, int]  # windows, length


def even_starts(size: int, sample: Sample) -> Starts:
    """Evenly spaced starts, from the first to the last possible one, (windows,). size: tokens of
    the text."""
    windows, length = sample
    return np.linspace(0, size - length - 1, windows).astype(np.int64)


def starts_apart(
    size: int, sample: Sample, others: Sequence[Sample], beside: Starts | None = None
) -> Starts:
    """Starts of windows that share no token with evenly spaced samples, nor with each other.

    They are spread over the text as far as the others leave room.

    Args:
        size: tokens of the text.
        sample: the windows to place.
        others: evenly spaced samples of the same text; one that stands twice stands for the
            windows, too, that `training.learning_rates` chooses by beside it.
        beside: starts of further windows of this length to share nothing with.

    Returns:
        (windows,), ascending.

    Raises:
        UserError: where the text has no room for so many.
    """
    windows, length = sample
    taken = [part for other in dict.fromkeys(others) for part in _taken(size, other, others)]
    taken += [] if beside is None else [(beside, length)]
    slots = np.concatenate(
        [_slots(begin, end, length + 1) for begin, end in _free(size, taken)] or [np.zeros(0)]
    )
    if len(slots) < windows:
        raise UserError(
            f"training.validation_batches: {windows} held-out windows of {length} tokens that "
            f"share nothing with other samples do not fit, {len(slots)} do; use fewer, or "
            "shorter ones"
        )
    chosen = np.linspace(0, len(slots) - 1, windows).round().astype(np.int64)
    return slots[chosen].astype(np.int64)


def _taken(size: int, other: Sample, others: Sequence[Sample]) -> list[tuple[Starts, int]]:
    """Starts and length of a sample, and of what is chosen by beside it where it stands twice."""
    if size <= other[1]:  # nobody could have used it
        return []
    even = even_starts(size, other)
    beside = [starts_apart(size, other, (), even)] if others.count(other) > 1 else []
    return [(starts, other[1]) for starts in (even, *beside)]


def _slots(begin: int, end: int, width: int) -> Starts:
    """Starts of as many windows as lie side by side between two positions, spread evenly."""
    count = (end - begin) // width
    if count < 2:
        return np.array([(begin + end - width) // 2] * count, dtype=np.int64)
    return np.linspace(begin, end - width, count).astype(np.int64)


def _free(size: int, windows: Sequence[tuple[Starts, int]]) -> list[tuple[int, int]]:
    """The stretches of a text, from one position to before another, that no window touches.

    windows: starts and the length of each sample.
    """
    taken = np.zeros(size, dtype=bool)
    for starts, length in windows:
        for start in starts:
            taken[start : start + length + 1] = True
    # Where free text begins (+1) and ends (-1), with taken text imagined on both sides.
    edges = np.flatnonzero(np.diff(np.concatenate([[True], taken, [True]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
