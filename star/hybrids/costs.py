"""What a mixture is expected to cost: differentiable, from the exact costs of each component in
each block.

The weight of a component counts as the share of its cost, as if it were there with that
probability. What a genome costs exactly is in `star.genomes`: there a component of any weight above
zero is there as a whole.
"""

from dataclasses import dataclass

import torch

from star.base.errors import UserError
from star.base.settings import size_text
from star.genomes import CacheSetting, Genome, cache_bytes, flops_per_token
from star.genomes.hybrids import Hybrid
from star.genomes.hybrids.hybrid import AVERAGED, MIXED, SHARED

from .config import CACHE_BYTES, HybridConfig


@dataclass(frozen=True)
class CostTable:
    """Costs in bytes of cache, or FLOPs of the last token of the context."""

    name: str  # cache_bytes or flops
    values: torch.Tensor  # float64 (blocks, components)
    constant: float  # of what every mixture has: a head that the mixture does not weigh

    def expected(self, weights: torch.Tensor) -> torch.Tensor:
        """The cost of weights (blocks, components), a scalar of their dtype."""
        return (weights * self.values.to(weights)).sum() + self.constant

    @property
    def cheapest(self) -> float:
        """Of the cheapest component in each block; no mixture costs less."""
        return float(self.values.min(dim=-1).values.sum()) + self.constant

    @property
    def dearest(self) -> float:
        """Of the dearest component in each block."""
        return float(self.values.max(dim=-1).values.sum()) + self.constant


def cost_table(hybrid: Hybrid, name: str, cache: CacheSetting) -> CostTable:
    """The costs of a hybrid's components. name: of `config.COSTS`."""
    rows = [
        [_cost(hybrid, number, block, name, cache) for number in range(len(hybrid.components))]
        for block in range(hybrid.blocks)
    ]
    constant = 0.0
    if name != CACHE_BYTES:
        heads = [2.0 * hybrid.vocabulary * component.width for component in hybrid.components]
        if hybrid.ends == MIXED:
            rows[-1] = [cost + head for cost, head in zip(rows[-1], heads, strict=True)]
        elif hybrid.ends == SHARED:
            constant = 2.0 * hybrid.vocabulary * hybrid.width
        else:
            constant = sum(heads) if hybrid.ends == AVERAGED else heads[int(hybrid.ends)]
    return CostTable(name, torch.tensor(rows, dtype=torch.float64), constant)


def _cost(hybrid: Hybrid, number: int, block: int, name: str, cache: CacheSetting) -> float:
    component, layers = hybrid.components[number], hybrid.segments[number][block]
    if name == CACHE_BYTES:
        return float(component.cache_bytes(layers, cache))
    return 2.0 * component.products(layers, cache.context)


@dataclass(frozen=True)
class Penalty:
    """What a mixture's cost adds to its loss."""

    table: CostTable
    weight: float  # nats
    budget: float | None  # in the unit of the table

    def __call__(self, weights: torch.Tensor) -> torch.Tensor:
        """In nats, a scalar: with a budget `weight * max(0, expected / budget - 1)`, else `weight *
        expected / dearest`. weights: (blocks, components)."""
        expected = self.table.expected(weights)
        if self.budget is None:
            return self.weight * expected / self.table.dearest
        return self.weight * torch.relu(expected / self.budget - 1)


def penalty(hybrid: Hybrid, config: HybridConfig, cache: CacheSetting) -> Penalty | None:
    """The penalty that settings ask for. Raises `UserError` for a budget below every mixture."""
    if config.cost is None:
        return None
    table, budget = cost_table(hybrid, config.cost, cache), config.budget_number
    if budget is not None and budget < table.cheapest:
        raise UserError(
            f"hybrid.budget={config.budget}: the cheapest mixture of these components costs "
            f"{in_words(table.cheapest, table.name)}; expected at least that"
        )
    return Penalty(table, config.cost_weight, budget)


def exact_cost(genome: Genome, name: str, cache: CacheSetting) -> int:
    """What a genome of a hybrid costs, in the unit of the name."""
    hybrid = genome.alphabet.hybrid
    assert hybrid is not None
    if name == CACHE_BYTES:
        return cache_bytes(genome, hybrid.sizes, cache)
    return flops_per_token(genome, hybrid.sizes, cache.context)


def in_words(cost: float, name: str) -> str:
    """A cost with its unit."""
    if name == CACHE_BYTES:
        return f"{cost:,.0f} bytes of cache ({size_text(cost)})"
    return f"{cost:,.0f} FLOPs a token"
