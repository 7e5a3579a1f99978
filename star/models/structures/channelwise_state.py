"""A matrix-valued state a head whose channels of the key decay apart: Kimi Delta Attention (arXiv
2510.26692)."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from star.genomes import FeatureGroup, LivClass, ModelConfig
from star.genomes.widths import head_count, inner_width, own_head_width
from star.kernels.channelwise_delta_rule import channelwise_delta_rule

from ..cache import Memory
from ..featurizer import Features, GroupModule, linear
from .matrix_state import MatrixState
from .state_space import initial_rates, initial_step_bias


class ChannelTransition(NamedTuple):
    """Feature group A: log decays, at most 0, float (batch, heads, length, head width), and writing
    strengths beta, 0 to 1, (batch, heads, length)."""

    decay: torch.Tensor
    beta: torch.Tensor


class LowRank(nn.Module):
    """Down to the width of a head, then up to all channels."""

    def __init__(self, liv_class: LivClass, model: ModelConfig) -> None:
        super().__init__()
        self.down = linear(model.width, own_head_width(liv_class, model))
        self.up = linear(own_head_width(liv_class, model), inner_width(liv_class, model))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (batch, length, width) to (batch, length, inner width)."""
        return self.up(self.down(x))


class ChannelGates(GroupModule):
    """The decay of every channel, and the writing strength of every head."""

    def __init__(
        self, group: FeatureGroup, liv_class: LivClass, model: ModelConfig, key: str
    ) -> None:
        super().__init__(key)
        heads = head_count(liv_class, model)
        self.head_width = own_head_width(liv_class, model)
        self.step = LowRank(liv_class, model)
        self.step_bias = nn.Parameter(initial_step_bias(inner_width(liv_class, model)))
        self.log_rate = nn.Parameter(initial_rates(heads))
        self.beta = linear(model.width, heads)

    def forward(
        self, x: torch.Tensor, features: Features, memory: Memory | None
    ) -> ChannelTransition:
        """From x (batch, length, width)."""
        step = F.softplus(self.step(x).float() + self.step_bias.float())
        by_head = step.unflatten(-1, (-1, self.head_width)).transpose(1, 2)
        decay = -torch.exp(self.log_rate.float())[:, None, None] * by_head
        return ChannelTransition(decay, torch.sigmoid(self.beta(x)).transpose(1, 2))


class LowRankGate(GroupModule):
    """The output gate, between 0 and 1."""

    def __init__(
        self, group: FeatureGroup, liv_class: LivClass, model: ModelConfig, key: str
    ) -> None:
        super().__init__(key)
        self.projection = LowRank(liv_class, model)

    def forward(self, x: torch.Tensor, features: Features, memory: Memory | None) -> torch.Tensor:
        """x (batch, length, width) to (batch, length, inner width)."""
        return torch.sigmoid(self.projection(x))


class ChannelwiseState(MatrixState):
    """As `MatrixState`, with `ChannelTransition` for A and the decays of every channel."""

    rule = staticmethod(channelwise_delta_rule)


FORMS = {"channel_transition": ChannelGates, "low_rank_gate": LowRankGate}
