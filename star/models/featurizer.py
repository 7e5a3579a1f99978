"""Featurizers: from the normalised input to the feature groups a structure needs.

A feature is a tuple with one entry for each operator that needs it: one for plain classes and for
unpaired groups, two for the paired groups of differential classes. `FORMS` maps each form of the
featurizer table to its module. With a memory, the input continues a sequence: short convolutions
keep their last inputs, implicit kernels their table.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional as F

from star.genomes import LivClass, ModelConfig
from star.genomes.model_config import (
    KERNEL_HIDDEN_WIDTH,
    POSITION_FREQUENCIES,
    group_width,
    head_width,
    inner_width,
    operator_copies,
    step_rank,
)
from star.genomes.operators import SWISH, FeatureGroup

from .cache import Memory
from .convolution import ShortConvolution

INITIAL_STD = 0.02


class Transition(NamedTuple):
    """Feature group A: step sizes (batch, length, channels), positive, and rates (channels, state),
    negative."""

    step: torch.Tensor
    rate: torch.Tensor


class DeltaTransition(NamedTuple):
    """Feature group A of a matrix-valued state, (batch, heads, length) each: log decays, at most 0,
    and writing strengths beta, 0 to 1."""

    decay: torch.Tensor
    beta: torch.Tensor


class Kernel(NamedTuple):
    """Feature group K: explicit taps (channels, taps), or an implicit kernel (at least length,
    channels)."""

    values: torch.Tensor
    implicit: bool


Feature = tuple[torch.Tensor | Transition | DeltaTransition | Kernel, ...]
Features = dict[str, Feature]


class GroupModule(nn.Module):
    """Base of the forms: computes one feature group of one operator. `key` names its memory within
    a LIV."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key

    def memory_shapes(self) -> dict[str, tuple[int, ...]]:
        """Buffers that generation needs, without the batch axis."""
        return {}


def linear(inputs: int, outputs: int, bias: bool = False, std: float = INITIAL_STD) -> nn.Linear:
    """A linear layer with normal weights of the given standard deviation and zero bias."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    nn.init.normal_(layer.weight, std=std)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class Projection(GroupModule):
    """Dense projection, then an optional short convolution and swish."""

    def __init__(
        self, group: FeatureGroup, liv_class: LivClass, model: ModelConfig, key: str
    ) -> None:
        super().__init__(key)
        channels = group_width(group, model.width)
        self.projection = linear(model.width, channels)
        taps, swish = group.kernel_length, group.nonlinearity == SWISH
        self.convolution = ShortConvolution(channels, taps, group.bias, swish) if taps else None
        self.swish = swish and not taps

    def memory_shapes(self) -> dict[str, tuple[int, ...]]:
        """The last inputs of the short convolution."""
        return {} if self.convolution is None else {self.key: self.convolution.tail_shape}

    def forward(self, x: torch.Tensor, features: Features, memory: Memory | None) -> torch.Tensor:
        """x (batch, length, width) to (batch, length, group width)."""
        y = self.projection(x)
        if self.convolution is not None:
            return self.convolution(y, memory, self.key)
        return F.silu(y) if self.swish else y


def _value(features: Features) -> torch.Tensor:
    value = features["V"][0]
    assert isinstance(value, torch.Tensor)
    return value


def initial_step_bias(count: int) -> torch.Tensor:
    """What softplus takes to step sizes drawn log-uniformly from 0.001 to 0.1, as in Mamba."""
    step = torch.exp(torch.rand(count) * math.log(100.0) + math.log(0.001)).clamp(min=1e-4)
    return step + torch.log(-torch.expm1(-step))


class StepSize(GroupModule):
    """Mamba's step sizes and rates, initialised as there (arXiv 2312.00752, section 3.6)."""

    def __init__(
        self, group: FeatureGroup, liv_class: LivClass, model: ModelConfig, key: str
    ) -> None:
        super().__init__(key)
        channels, rank = inner_width(liv_class, model.width), step_rank(model.width)
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
        step = F.softplus(self.up(self.down(_value(features))))
        return Transition(step, -torch.exp(self.log_rate))


class StateInput(GroupModule):
    """Input or read-out vector of a state space, shared over channels."""

    def __init__(
        self, group: FeatureGroup, liv_class: LivClass, model: ModelConfig, key: str
    ) -> None:
        super().__init__(key)
        self.projection = linear(inner_width(liv_class, model.width), liv_class.operator.state)

    def forward(self, x: torch.Tensor, features: Features, memory: Memory | None) -> torch.Tensor:
        """From the V features (batch, length, channels) to (batch, length, state)."""
        return self.projection(_value(features))


class DeltaGates(GroupModule):
    """Decay and writing strength of every head, as in Gated DeltaNet (arXiv 2412.06464)."""

    def __init__(
        self, group: FeatureGroup, liv_class: LivClass, model: ModelConfig, key: str
    ) -> None:
        super().__init__(key)
        heads = inner_width(liv_class, model.width) // head_width(model.width)
        self.step = linear(model.width, heads, bias=True)
        self.beta = linear(model.width, heads)
        self.log_rate = nn.Parameter(torch.log(torch.empty(heads).uniform_(1.0, 16.0)))
        with torch.no_grad():
            self.step.bias.copy_(initial_step_bias(heads))

    def forward(
        self, x: torch.Tensor, features: Features, memory: Memory | None
    ) -> DeltaTransition:
        """From x (batch, length, width)."""
        decay = -torch.exp(self.log_rate.float()) * F.softplus(self.step(x).float())
        return DeltaTransition(decay.transpose(1, 2), torch.sigmoid(self.beta(x)).transpose(1, 2))


class ExplicitKernel(GroupModule):
    """A learned short kernel, one a channel."""

    def __init__(
        self, group: FeatureGroup, liv_class: LivClass, model: ModelConfig, key: str
    ) -> None:
        super().__init__(key)
        taps = group.kernel_length
        shape = (inner_width(liv_class, model.width), taps)
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-(taps**-0.5), taps**-0.5))

    def forward(self, x: torch.Tensor, features: Features, memory: Memory | None) -> Kernel:
        """The kernel (channels, taps); the last tap meets the present position."""
        return Kernel(self.weight, implicit=False)


class ImplicitKernel(GroupModule):
    """A long kernel from a small sine network over position features, times an exponential decay
    (Hyena).

    Nothing depends on the length, so a prefix of the kernel is the kernel of the prefix. The decay
    starts log-spaced over time scales of 2 to 1,024 positions, and each channel's window has unit
    energy.
    """

    def __init__(
        self, group: FeatureGroup, liv_class: LivClass, model: ModelConfig, key: str
    ) -> None:
        super().__init__(key)
        channels, hidden = inner_width(liv_class, model.width), KERNEL_HIDDEN_WIDTH
        sizes = (1 + 2 * POSITION_FREQUENCIES, hidden, hidden)
        self.hidden = nn.ModuleList(
            linear(i, o, bias=True, std=i**-0.5) for i, o in pairwise(sizes)
        )
        self.output = linear(hidden, channels, std=hidden**-0.5)
        scales = torch.logspace(math.log10(2.0), math.log10(1024.0), channels)
        self.log_decay = nn.Parameter(-torch.log(scales))

    def values(self, length: int, device: torch.device) -> torch.Tensor:
        """The kernel at lags 0 to length - 1, (length, channels)."""
        time = torch.arange(length, device=device, dtype=torch.float32)[:, None]
        octaves = torch.arange(POSITION_FREQUENCIES, device=device, dtype=torch.float32)
        angles = time * (math.pi / 2) * 4.0**-octaves
        y = torch.cat([torch.log1p(time) / 8, torch.cos(angles), torch.sin(angles)], dim=1)
        for layer in self.hidden:
            y = torch.sin(layer(y.to(self.output.weight.dtype)))
        decay = torch.exp(self.log_decay)
        window = torch.sqrt(-torch.expm1(-2 * decay)) * torch.exp(-decay * time)
        return self.output(y) * window

    def forward(self, x: torch.Tensor, features: Features, memory: Memory | None) -> Kernel:
        """The kernel for x (batch, length, width): of its length, or of the memory's whole
        context."""
        if memory is None:
            return Kernel(self.values(x.shape[1], x.device), implicit=True)
        if self.key not in memory.tables:
            memory.tables[self.key] = self.values(memory.context, x.device)
        return Kernel(memory.tables[self.key], implicit=True)


FORMS: dict[str, Callable[[FeatureGroup, LivClass, ModelConfig, str], GroupModule]] = {
    "projection": Projection,
    "step_size": StepSize,
    "state_input": StateInput,
    "delta_transition": DeltaGates,
    "explicit_kernel": ExplicitKernel,
    "implicit_kernel": ImplicitKernel,
}


def build_group(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> nn.ModuleList:
    """The module of one feature group, one copy for each operator that needs its own."""
    copies = operator_copies(liv_class, group.name)
    form = FORMS[group.form]
    return nn.ModuleList(
        form(group, liv_class, model, f"{group.name}.{number}") for number in range(copies)
    )


class Featurizer(nn.Module):
    """The feature groups that one LIV computes itself. Tied groups are the owner's very modules."""

    def __init__(self, groups: dict[str, nn.ModuleList]) -> None:
        super().__init__()
        self.groups = nn.ModuleDict(groups)
        self._modules_of = [
            (name, cast(list[GroupModule], list(copies))) for name, copies in groups.items()
        ]

    def memory_shapes(self) -> dict[str, tuple[int, ...]]:
        """Buffers of all computed groups, without the batch axis."""
        modules = (module for _, copies in self._modules_of for module in copies)
        return {key: shape for module in modules for key, shape in module.memory_shapes().items()}

    def forward(self, x: torch.Tensor, borrowed: Features, memory: Memory | None) -> Features:
        """Features of x (batch, length, width), the borrowed ones included."""
        features = dict(borrowed)
        for name, copies in self._modules_of:
            features[name] = tuple(module(x, features, memory) for module in copies)
        return features
