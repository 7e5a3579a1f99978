"""The two delta rules, and random arguments of each, for what holds of both."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from star.kernels.channelwise_delta_rule import channelwise_delta_rule
from star.kernels.channelwise_delta_rule import operator as channelwise
from star.kernels.gated_delta_rule import gated_delta_rule
from star.kernels.gated_delta_rule import operator as gated

NAMES = ("q", "k", "v", "decay", "beta", "state")


@dataclass(frozen=True)
class Rule:
    """One of them: checked, from a state, and as an operator of torch.library."""

    name: str
    function: Callable[..., torch.Tensor]
    from_state: Callable[..., tuple[torch.Tensor, torch.Tensor]]
    operator: Any
    by_channel: bool  # whether each channel of a key decays by itself

    def draw(
        self, length: int, key: int = 5, value: int = 7, dtype: torch.dtype = torch.float64
    ) -> list[Any]:
        """q, k, v, decay, beta and a state for batch 2 and 3 heads."""
        generator = torch.Generator().manual_seed(length)

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(2, 3, *shape, generator=generator, dtype=torch.float64)

        q, k = (F.normalize(normal(length, key), dim=-1) for _ in range(2))
        decays = (length, key) if self.by_channel else (length,)
        gates = -F.softplus(normal(*decays)), torch.sigmoid(normal(length))
        return [x.to(dtype) for x in (q, k, normal(length, value), *gates, normal(key, value))]


GATED = Rule(
    "gated_delta_rule", gated_delta_rule, gated.gated_delta_rule_from, gated.operator, False
)
CHANNELWISE = Rule(
    "channelwise_delta_rule",
    channelwise_delta_rule,
    channelwise.channelwise_delta_rule_from,
    channelwise.operator,
    True,
)
