"""Semi-separable a channel: the selective state space of Mamba (arXiv 2312.00752)."""

import math
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from star.genomes import FeatureGroup, LivClass, ModelConfig
from star.genomes.structures.state_space import step_rank
from star.genomes.widths import inner_width, operator_copies
from star.kernels.selective_scan import selective_scan

from ..cache import Memory
from ..featurizer import Features, GroupModule, linear
from .base import STATE, StructureModule, state_of


class Transition(NamedTuple):
    """Feature group A: step sizes (batch, length, channels), positive, and rates (channels, state),
    negative."""

    step: torch.Tensor
    rate: torch.Tensor


def initial_step_bias(count: int) -> torch.Tensor:
    """What softplus takes to step sizes drawn log-uniformly from 0.001 to 0.1, as in Mamba."""
    step = torch.exp(torch.rand(count) * math.log(100.0) + math.log(0.001)).clamp(min=1e-4)
    return step + torch.log(-torch.expm1(-step))  # the inverse of softplus


def initial_rates(heads: int) -> torch.Tensor:
    """Logarithms of rates drawn uniformly from 1 to 16, as in Mamba-2."""
    return torch.log(torch.empty(heads).uniform_(1.0, 16.0))


def step_of_heads(projected: torch.Tensor) -> torch.Tensor:
    """Positive step sizes, float, from projections (batch, length, heads), of that shape.

    Compilers think that the gradient of a softplus is laid out in memory as its input is, but it is
    as the gradient that comes in (torch 2.13): by heads here, and so is the input for them.
    """
    if torch.compiler.is_compiling():
        projected = projected.transpose(1, 2).contiguous().transpose(1, 2)
    return F.softplus(projected.float())


class StepSize(GroupModule):
    """Mamba's step sizes and rates, initialised as there (section 3.6)."""

    def __init__(
        self, group: FeatureGroup, liv_class: LivClass, model: ModelConfig, key: str
    ) -> None:
        super().__init__(key)
        channels, rank = inner_width(liv_class, model), step_rank(model.width)
        self.down = linear(channels, rank)
        self.up = nn.Linear(rank, channels)
        nn.init.uniform_(self.up.weight, -(rank**-0.5), rank**-0.5)
        with torch.no_grad():
            self.up.bias.copy_(initial_step_bias(channels))
        rates = torch.arange(1, liv_class.operator.state + 1, dtype=torch.float32)
        self.log_rate = nn.Parameter(torch.log(rates).repeat(channels, 1))
        self.log_rate.no_weight_decay = True  # type: ignore[attr-defined]  # as in Mamba

    def forward(self, x: torch.Tensor, features: Features, memory: Memory | None) -> Transition:
        """From the V features (batch, length, channels)."""
        step = F.softplus(self.up(self.down(features["V"][0])))
        return Transition(step, -torch.exp(self.log_rate))


class StateInput(GroupModule):
    """Input or read-out vector of a state space, shared over channels."""

    def __init__(
        self, group: FeatureGroup, liv_class: LivClass, model: ModelConfig, key: str
    ) -> None:
        super().__init__(key)
        self.projection = linear(inner_width(liv_class, model), liv_class.operator.state)

    def forward(self, x: torch.Tensor, features: Features, memory: Memory | None) -> torch.Tensor:
        """From the V features (batch, length, channels) to (batch, length, state)."""
        return self.projection(features["V"][0])


class SemiSeparable(StructureModule):
    """Selective state space with a skip from V and an output gate."""

    def __init__(
        self, liv_class: LivClass, model: ModelConfig, index: int, borrowed: tuple[str, ...]
    ) -> None:
        super().__init__(liv_class, model, index, borrowed)
        self.skip = nn.Parameter(torch.ones(self.channels))
        self.shape = (operator_copies(liv_class, "B"), self.channels, self.operator.state)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """One state (channels, state) for each operator."""
        return {STATE: self.shape}

    def forward(self, features: Features, memory: Memory | None = None) -> torch.Tensor:
        """A (`Transition`), B and C (batch, length, state), V and the gate G (batch, length,
        channels)."""
        (v,), (gate,) = features["V"], features["G"]
        operators = list(zip(features["A"], features["B"], features["C"], strict=True))
        # The kernel adds the skip and applies the gate, but not behind a difference of two outputs.
        fused = len(operators) == 1
        ends = {"skip": self.skip, "gate": gate} if fused else {}
        outputs = []
        for number, ((step, rate), b, c) in enumerate(operators):
            state = state_of(memory, number)
            outputs.append(selective_scan(v, step, rate, b, c, **ends, state=state))
        return outputs[0] if fused else (self.difference(outputs) + self.skip * v) * gate


FORMS = {"step_size": StepSize, "state_input": StateInput}
