"""Weights of a trained model as the beginning of a larger one.

Depth: each LIV takes the weights of one LIV of the small model of the same class. Where the large
backbone is the small one stacked, LIV i takes LIV i mod n; otherwise the nearest in relative depth,
as in a stretched one. Copying whole blocks is what Composer's stacking and "Stacking Your
Transformers" (arXiv 2405.15319) do.

Width: channels are repeated, c -> c mod n, and weights that read them are divided by how often they
are there (Net2Net, arXiv 1511.05641). Where all widths within the model grow by one whole number
and heads keep their channels, the wide model computes exactly what the small one did.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from star.genomes import Genome, fit_depth

from .language_model import LanguageModel, LivModule


@dataclass(frozen=True)
class Transfer:
    """What was carried over."""

    carried: int  # weights that came from the small model
    total: int  # weights of the large one


def sources_of(small: Genome, large: Genome) -> tuple[int | None, ...]:
    """For each LIV of the large genome the LIV of the small one whose weights it takes, from 0;
    None where the small one has none of its class."""
    small, large = small.canonical(), large.canonical()
    ids = [liv_class.id for liv_class in small.classes()]
    wanted = [liv_class.id for liv_class in large.classes()]
    stacked = large.depth >= small.depth and fit_depth(small, large.depth).canonical()
    if stacked and (stacked.livs, stacked.alphabet) == (large.livs, large.alphabet):
        return tuple(place % small.depth for place in range(large.depth))

    def nearest(place: int, class_id: int) -> int | None:
        centre = (place + 0.5) / large.depth
        same = [n for n, other in enumerate(ids) if other == class_id]
        return min(same, key=lambda n: abs((n + 0.5) / small.depth - centre), default=None)

    return tuple(nearest(place, class_id) for place, class_id in enumerate(wanted))


@torch.no_grad()
def transfer(
    small: LanguageModel, large: LanguageModel, sources: Sequence[int | None], identity: bool
) -> Transfer:
    """Write the small model's weights into the large one, in place.

    Args:
        small: the trained model; one with a head of its own has no large one without.
        large: as it was initialised; what nothing is carried over to stays so.
        sources: of `sources_of`.
        identity: whether of all LIVs made of one only the first has an output, so that the deep
            model begins as the function that the shallow one is; otherwise all of them have it.
    """
    written: dict[int, int] = {}  # weights by the id of their tensor, each written once
    _carry(small, large, ("embedding.", "norm.", "head."), written)
    if large.head is not None and small.head is None:  # the embedding read too
        weights = widened(small.embedding.weight, large.head.weight.shape, reads=True)
        large.head.weight.copy_(weights)
        written[id(large.head.weight)] = weights.numel()
    if large.head is None:  # the embedding that reads has its channels several times
        copies = _copies(large.norm.weight.shape[0], small.norm.weight.shape[0])
        large.norm.weight.div_(copies.to(large.norm.weight))
    seen: set[int] = set()
    for liv, source in zip(large.livs, sources, strict=True):
        if source is None:
            continue
        _carry(small.livs[source], liv, ("",), written)
        if identity and source in seen:
            liv.output.weight.zero_()
            written.pop(id(liv.output.weight))
        seen.add(source)
    total = sum(weights.numel() for weights in large.parameters())
    return Transfer(sum(written.values()), total)


def _carry(
    small: LanguageModel | LivModule, large: LanguageModel | LivModule,
    beginnings: tuple[str, ...], written: dict[int, int],
) -> None:  # fmt: skip
    """Weights of the same name and as many axes, from one module to another."""
    readers = {
        f"{name}.weight" for name, part in large.named_modules() if isinstance(part, nn.Linear)
    }
    there: Mapping[str, torch.Tensor] = dict(small.named_parameters())
    for name, weights in large.named_parameters():
        found = there.get(name)
        if found is None or found.dim() != weights.dim() or not name.startswith(beginnings):
            continue
        if id(weights) not in written:
            weights.copy_(widened(found, weights.shape, name in readers))
            written[id(weights)] = weights.numel()


def widened(small: torch.Tensor, shape: Sequence[int], reads: bool) -> torch.Tensor:
    """A tensor of another shape, each axis repeated, c -> c mod n, and cut.

    Args:
        small: of as many axes.
        shape: the wanted one.
        reads: whether the last axis is what a linear layer (out, in) reads: its weights are then
            divided by how often each channel is there.
    """
    large = small
    for axis, length in enumerate(shape):
        large = large.index_select(axis, torch.arange(length) % small.shape[axis])
    return large / _copies(shape[-1], small.shape[-1]).to(large) if reads else large


def _copies(length: int, of: int) -> torch.Tensor:
    """(length,): how often the channel that each one is a copy of is there, of `of` channels."""
    channels = torch.arange(length) % of
    return torch.bincount(channels, minlength=of)[channels]
