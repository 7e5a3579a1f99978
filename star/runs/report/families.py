"""Families of LIV classes and of whole backbones, with a colour each.

The colours are those of Okabe and Ito, which people of any colour vision tell apart, and grey.
"""

from typing import NamedTuple

from star.genomes import Genome, LivClass, hybrids
from star.genomes.operators import DIAGONAL, LOW_RANK, SEMI_SEPARABLE, SOFTMAX, TOEPLITZ


class Family(NamedTuple):
    """A kind of operators."""

    name: str
    colour: str
    ink: str  # of text on that colour


ATTENTION = Family("attention", "#0072b2", "#ffffff")
LINEAR_ATTENTION = Family("linear attention", "#56b4e9", "#000000")
STATE_SPACE = Family("state space", "#009e73", "#ffffff")
DELTA_RULE = Family("delta rule", "#cc79a7", "#000000")
CONVOLUTION = Family("convolution", "#e69f00", "#000000")
FEED_FORWARD = Family("feed-forward", "#8c8c8c", "#000000")
MIXTURE = Family("mixture", "#f0e442", "#000000")  # of pretrained components, in a hybrid
OTHER = Family("other", "#d55e00", "#ffffff")  # of users' own structures
FAMILIES = (
    *(ATTENTION, LINEAR_ATTENTION, STATE_SPACE, DELTA_RULE, CONVOLUTION, FEED_FORWARD, MIXTURE),
    OTHER,
)
RECURRENT = {LINEAR_ATTENTION, STATE_SPACE, DELTA_RULE}
_BY_MIXING = {TOEPLITZ: CONVOLUTION, SEMI_SEPARABLE: STATE_SPACE, DIAGONAL: FEED_FORWARD}
# Whole backbones by how they remember, with the colour of what is typical of each.
BACKBONES = {
    "attention": ATTENTION.colour,
    "attention + recurrence": DELTA_RULE.colour,
    "recurrence": STATE_SPACE.colour,
    "convolution": CONVOLUTION.colour,
    "mixture": MIXTURE.colour,
    "other": OTHER.colour,
}


def liv_family(liv_class: LivClass) -> Family:
    """The family of a LIV class."""
    operator = liv_class.operator
    if isinstance(liv_class, hybrids.Mixture):
        return MIXTURE
    if operator.token_mixing == LOW_RANK:
        return ATTENTION if operator.nonlinearity == SOFTMAX else LINEAR_ATTENTION
    if operator.structure.name in ("matrix-valued state", "channel-wise state"):
        return DELTA_RULE
    return _BY_MIXING.get(operator.token_mixing, OTHER)


def backbone_family(genome: Genome) -> str:
    """A key of `BACKBONES`: whether it mixes components, or has softmax attention, recurrences, or
    convolutions only."""
    if genome.alphabet.hybrid is not None:
        return "mixture"
    families = {liv_family(liv_class) for liv_class in genome.classes()}
    parts = (["attention"] if ATTENTION in families else []) + (
        ["recurrence"] if families & RECURRENT else []
    )
    if parts:
        return " + ".join(parts)
    return "convolution" if CONVOLUTION in families else "other"
