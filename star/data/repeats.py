"""Which tokens of a text repeat what was there before: what a memory can look up."""

import numpy as np
import numpy.typing as npt

MOST = 8  # tokens of an n-gram, packed into 64 bits


def repeats(tokens: npt.NDArray[np.integer], length: int) -> npt.NDArray[np.bool_]:
    """Which tokens end an n-gram that occurred before in the same row.

    Of "abcabd", n-grams of two: the second b, since "ab" was there before.

    Args:
        tokens: not negative, (rows, positions).
        length: of the n-gram, at most `MOST`.

    Returns:
        Booleans (rows, positions); the first `length` - 1 positions are False.

    Raises:
        ValueError: for n-grams that are longer, or empty, and for more different tokens in a row
            than fit.
    """
    if not 1 <= length <= MOST:
        raise ValueError(f"length={length}: expected 1 to {MOST}")
    found = np.zeros(tokens.shape, dtype=bool)
    if tokens.shape[1] < length:
        return found
    bits = 64 // length
    if tokens.max(initial=0) >= 2**bits:
        tokens = np.stack([np.unique(row, return_inverse=True)[1] for row in tokens])
        if tokens.max() >= 2**bits:
            raise ValueError(f"length={length}: expected at most {2**bits} tokens in a row")
    windows = np.lib.stride_tricks.sliding_window_view(tokens.astype(np.uint64), length, axis=1)
    shifts = np.arange(length, dtype=np.uint64) * np.uint64(bits)
    grams = (windows << shifts).sum(axis=2, dtype=np.uint64)
    for row, values in enumerate(grams):
        again = np.ones(values.size, dtype=bool)
        again[np.unique(values, return_index=True)[1]] = False  # where each stands first
        found[row, length - 1 :] = again
    return found
