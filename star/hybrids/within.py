"""The letters nearest to a mixture, among those whose genome keeps a budget exactly.

What a genome costs follows from which components are there in each block, not from their weights. A
block's cost depends on later blocks too, whose layers may borrow from it; blocks are chosen from
the last to the first, so that what later blocks ask of earlier ones is known.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

from star.genomes import CacheSetting
from star.genomes.hybrids import Hybrid
from star.genomes.hybrids.projectors import pair_cost

from .config import FLOPS
from .costs import CostTable, cost_table

Places = frozenset[tuple[int, int]]  # (block, component), which later blocks borrow from


class Option(NamedTuple):
    """The nearest letter of those that have the same components."""

    distance: float  # squared, of weights
    letter: int
    present: frozenset[int]  # components of weight above zero


class Limit(NamedTuple):
    """The most that a genome may cost."""

    name: str  # cache_bytes or flops
    most: float  # bytes, or FLOPs of the last token of the context
    cache: CacheSetting
    given: str = ""  # as it was typed


class Choice(NamedTuple):
    """Letters of the last blocks, and what they cost so far."""

    distance: float
    cost: float
    letters: tuple[int, ...]


def nearest_within(
    hybrid: Hybrid, options: Sequence[Sequence[Option]], limit: Limit
) -> tuple[int, ...] | None:
    """For each block a letter: of those that keep the limit together the nearest ones, and of
    equally near ones the cheapest; None where none keep it.

    Args:
        hybrid: whose letters they are.
        options: for each block what may be chosen.
        limit: of the whole genome.
    """
    table = cost_table(hybrid, limit.name, limit.cache)
    choices: dict[Places, list[Choice]] = {frozenset(): [Choice(0.0, table.constant, ())]}
    for block in reversed(range(hybrid.blocks)):
        found: dict[Places, list[Choice]] = {}
        for asked, lasts in choices.items():
            for option in options[block]:
                there = option.present | {n for place, n in asked if place == block}
                cost = _cost(hybrid, table, block, option.present, there)
                left = frozenset(place for place in asked if place[0] < block)
                found.setdefault(left | _lenders(hybrid, block, there), []).extend(
                    Choice(
                        round(last.distance + option.distance, 12),
                        last.cost + cost,
                        (option.letter, *last.letters),
                    )
                    for last in lasts
                )
        choices = {asked: _undominated(some, limit.most) for asked, some in found.items()}
    best = min(chain(*choices.values()), default=None)
    return best and best.letters


def _cost(
    hybrid: Hybrid, table: CostTable, block: int, present: frozenset[int], there: frozenset[int]
) -> float:
    """Of a block: its layers that are there, and the projectors of those that are mixed."""
    cost = sum(float(table.values[block, number]) for number in there)
    if table.name == FLOPS and len(present) > 1:
        widths = (hybrid.components[number].width for number in present)
        pairs = (pair_cost(hybrid.projector, hybrid.width, width) for width in widths)
        cost += sum(2.0 * pair.weights for pair in pairs)
    return cost


def _lenders(hybrid: Hybrid, block: int, there: Iterable[int]) -> Places:
    """What the layers of a block borrow from in earlier ones."""
    found = set()
    for number in there:
        segments = hybrid.segments[number]
        lenders = hybrid.components[number].lenders(segments[block])
        found |= {
            (earlier, number)
            for earlier in range(block)
            if not lenders.isdisjoint(segments[earlier])
        }
    return frozenset(found)


def _undominated(choices: Iterable[Choice], most: float) -> list[Choice]:
    """Those within the limit so far that no other is as near as and as cheap as."""
    kept: list[Choice] = []
    for choice in sorted(choices):
        if choice.cost <= most and (not kept or choice.cost < kept[-1].cost):
            kept.append(choice)
    return kept
