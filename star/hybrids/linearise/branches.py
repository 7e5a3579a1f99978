"""Recurrent branches beside the attention of a trained model: LIVs of the replacing class that
begin with what fits of the attention's weights.

The rule: a weight of the branch takes the attention's weight of the same name, where the shapes are
equal or become equal by

- repeating heads of keys and values for each of their query heads, as grouped-query attention does;
- putting zeros before the taps of a shorter convolution, or leaving the earliest out of a longer
  one.

So queries C, keys B, values V, the output and the norms begin as they are in the attention. A
short convolution that the attention lacks begins as one that changes nothing. What is borrowed
begins with the weights of the LIV that it is borrowed from. All else (decays, writing strengths,
output gates, groups of a fixed width) begins at random.
"""

from collections.abc import Mapping

import torch
from torch import nn

from star.genomes import LivClass
from star.genomes.model_config import head_width
from star.hybrids.linearise.plan import Plan
from star.models import LanguageModel, decode_tried
from star.models.language_model import LivModule

GROUPS = "featurizer.groups."  # before the names of the weights of feature groups
TAPS = ".convolution.weight"  # at the end of those of short convolutions
PROJECTION = ".projection.weight"


def make_branches(original: LanguageModel, plan: Plan) -> dict[int, LivModule]:
    """A branch for each LIV that may be replaced, by its place; random weights are of torch's
    global generator.

    Raises `GenomeError` for a class that cannot be built.
    """
    whole = decode_tried(plan.genome_of([False] * len(plan.units)), plan.model)
    branches = {place: whole.livs[place] for place in plan.livs}
    for place, branch in branches.items():
        there = attention_weights(original, place)
        carry_over(there, branch, plan.replacement, head_width(plan.model))
    return branches


def attention_weights(model: LanguageModel, place: int) -> dict[str, torch.Tensor]:
    """The weights of a LIV by name, tied ones too, and of the LIV that it borrows from those of the
    feature groups that it lacks."""
    own = model.livs[place]
    owner = model.livs[own.sharing.feature_owner].featurizer.named_parameters(prefix="featurizer")
    return {**dict(owner), **dict(own.named_parameters())}


@torch.no_grad()
def carry_over(
    there: Mapping[str, torch.Tensor], branch: nn.Module, liv_class: LivClass, heads: int
) -> int:
    """Write what fits into a branch, in place; returns how many of its weights it was.

    Args:
        there: weights of the attention, by name.
        branch: a `LivModule` as it was initialised.
        liv_class: its class.
        heads: width of a head of the attention.
    """
    fixed = tuple(f"{GROUPS}{g.name}." for g in liv_class.operator.groups if g.channels is not None)
    carried = 0
    for name, weights in branch.named_parameters():
        if name.startswith(fixed):
            continue
        found = there.get(name)
        fitted = None if found is None else fitting(found, weights, name, heads)
        if fitted is None and _is_new_convolution(name, there):
            fitted = torch.zeros_like(weights)
            fitted[:, -1] = 1  # the present position
        if fitted is not None:
            weights.copy_(fitted)
            carried += weights.numel()
    return carried


def _is_new_convolution(name: str, there: Mapping[str, torch.Tensor]) -> bool:
    """Whether it is a convolution behind a projection that the attention has without one."""
    if not name.endswith(TAPS) or name in there:
        return False
    return name.removesuffix(TAPS) + PROJECTION in there


def fitting(
    found: torch.Tensor, weights: torch.Tensor, name: str, heads: int
) -> torch.Tensor | None:
    """A weight of the attention in the shape of one of a branch; None where it does not fit.

    Args:
        found: the attention's.
        weights: the branch's.
        name: of both.
        heads: width of a head.
    """
    if name.startswith(GROUPS) and found.dim() == weights.dim() == 2:
        if name.endswith(TAPS):
            missing = weights.shape[1] - found.shape[1]
            found = nn.functional.pad(found, (missing, 0))  # cuts where it is negative
        copies, left = divmod(weights.shape[0], found.shape[0])
        if copies > 1 and not left and found.shape[0] % heads == 0:
            by_head = found.unflatten(0, (-1, heads))
            found = by_head.repeat_interleave(copies, dim=0).flatten(0, 1)
    return found if found.shape == weights.shape else None
