"""Featurizers: from the normalised input to the feature groups a structure needs.

A group is computed by the module of its form: `Projection`, or one that its structure brings
(`structures/`). With a memory, the input continues a sequence: short convolutions keep their last
inputs.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from star.genomes import FeatureGroup, LivClass, ModelConfig
from star.genomes.operators import PROJECTION, SWISH
from star.genomes.widths import group_width, operator_copies

from .cache import Memory
from .convolution import ShortConvolution

INITIAL_STD = 0.02

# A feature is a tuple with one entry for each operator that needs it: one for plain classes and for
# unpaired groups, two for the paired groups of differential classes. An entry is a tensor, or what
# the group's form makes: a structure knows the forms of its groups.
Feature = tuple[Any, ...]
Features = dict[str, Feature]


class GroupModule(nn.Module):
    """Base of the forms: computes one feature group of one operator.

    `forward(x, features, memory)` gets the normalised input x (batch, length, width), the features
    computed before it, and what generation remembers. `key` names its memory within a LIV.
    """

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key

    def memory_shapes(self) -> dict[str, tuple[int, ...]]:
        """Buffers that generation needs, without the batch axis."""
        return {}


FormBuilder = Callable[[FeatureGroup, LivClass, ModelConfig, str], GroupModule]


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
        channels = group_width(group, liv_class, model)
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


def build_group(
    group: FeatureGroup, liv_class: LivClass, model: ModelConfig, forms: Mapping[str, FormBuilder]
) -> nn.ModuleList:
    """The module of one feature group, one copy for each operator that needs its own.

    forms: those that the structure brings.
    """
    form = Projection if group.form == PROJECTION else forms[group.form]
    return nn.ModuleList(
        form(group, liv_class, model, f"{group.name}.{number}")
        for number in range(operator_copies(liv_class, group.name))
    )


class Featurizer(nn.Module):
    """The feature groups that one LIV computes itself. Tied groups are the owner's very modules."""

    def __init__(self, groups: dict[str, nn.ModuleList]) -> None:
        super().__init__()
        self.groups = nn.ModuleDict(groups)
        self._copies: dict[str, list[Any]] = {name: list(group) for name, group in groups.items()}

    def memory_shapes(self) -> dict[str, tuple[int, ...]]:
        """Buffers of all computed groups, without the batch axis."""
        modules = (module for copies in self._copies.values() for module in copies)
        return {key: shape for module in modules for key, shape in module.memory_shapes().items()}

    def forward(self, x: torch.Tensor, borrowed: Features, memory: Memory | None) -> Features:
        """Features of x (batch, length, width), the borrowed ones included."""
        features = dict(borrowed)
        # In the featurizer's order: later groups may be computed from earlier ones, as Mamba's A, B
        # and C are from V.
        for name, copies in self._copies.items():
            features[name] = tuple(module(x, features, memory) for module in copies)
        return features
