"""Where the norms of a backbone stand."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .operators import DIAGONAL, LOW_RANK, LivClass

POST_ATTENTION = "post_attention"
FIXED = {"pre": (True, False), "post": (False, True), "sandwich": (True, True)}


class Norms(NamedTuple):
    """Whether a LIV has a norm before it, and behind it."""

    before: bool
    behind: bool


def norms_of(classes: Iterable[LivClass], norms: str) -> Iterator[Norms]:
    """The norms of each LIV.

    With `post_attention`, as OLMo-Hybrid has them, norms stand behind attention and behind the
    feed-forward LIVs that follow it, and before all others.

    Args:
        classes: of the LIVs, in their order.
        norms: where they stand, as `ModelConfig.norms`.
    """
    behind = False  # attention; what mixes no tokens keeps to what is before it
    for liv_class in classes:
        mixing = liv_class.operator.token_mixing
        behind = mixing == LOW_RANK or (behind and mixing == DIAGONAL)
        yield Norms(not behind, behind) if norms == POST_ATTENTION else Norms(*FIXED[norms])
