"""What structures have in common: their base class, lambda of differential classes, the form of a
group, and the name of the state's buffer."""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import nn

from star.genomes import LivClass, ModelConfig
from star.genomes.widths import inner_width, lambda_width

from ..cache import Memory
from ..featurizer import Features, FormBuilder

STATE = "state"  # the buffer of a structure that remembers a state, a tail or a history
LIVS_PER_LAYER = 2  # the source counts layers of attention and feed-forward together


class DifferentialWeight(nn.Module):
    """Lambda of a differential operator (arXiv 2410.05258, equations 2 and 3), a scalar learned per
    LIV."""

    def __init__(self, width: int, index: int) -> None:
        super().__init__()
        self.initial = 0.8 - 0.6 * math.exp(-0.3 * (index // LIVS_PER_LAYER))
        self.vectors = nn.Parameter(torch.empty(4, width).normal_(std=0.1))

    def forward(self) -> torch.Tensor:
        """The scalar lambda."""
        c1, b1, c2, b2 = self.vectors.float()
        return torch.exp(torch.dot(c1, b1)) - torch.exp(torch.dot(c2, b2)) + self.initial


class StructureModule(nn.Module):
    """Base of the structures: from the features of one LIV to T applied to V.

    A subclass has `forward(features, memory)`, which returns (batch, length, inner width), the
    input of the output projection. Feature groups are in `features` by name, a tuple with one entry
    for each operator (`star.models.featurizer`). With a memory, the features continue a sequence:
    buffers that `memory_shapes` and `state_shapes` name are read and advanced in place.

    Attributes:
        operator: the operator genome.
        channels: the inner width.
        computed: feature groups that the LIV computes itself, the others being borrowed.
        inherited: entries besides feature groups that it takes from the features of the LIV that
            it borrows from, where that has them.
        differential_weight: lambda of a differential class, None of a plain one.
    """

    def __init__(
        self, liv_class: LivClass, model: ModelConfig, index: int, borrowed: tuple[str, ...]
    ) -> None:
        super().__init__()
        width = lambda_width(liv_class, model)
        self.differential_weight = DifferentialWeight(width, index) if width else None
        self.operator = liv_class.operator
        self.channels = inner_width(liv_class, model)
        groups = (group.name for group in self.operator.groups)
        self.computed = tuple(name for name in groups if name not in borrowed)
        self.inherited: tuple[str, ...] = ()

    def memory_shapes(self, context: int) -> dict[str, tuple[int, ...]]:
        """Buffers whose elements are written once, as keys are, without the batch axis."""
        return {}

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Buffers that every position adds to, without the batch axis. They are kept wider."""
        return {}

    def prepare(self, features: Features, position: int) -> Features:
        """The features in the shape that `forward` takes and borrowers get. position: of the first
        element along the length."""
        return features

    def remember(self, features: Features, memory: Memory) -> Features:
        """Write prepared features into the memory; returns them with what earlier positions left,
        for `forward` and for borrowers."""
        return features

    def difference(self, outputs: list[torch.Tensor]) -> torch.Tensor:
        """`T1 V - lambda T2 V` of a differential class, `T V` of a plain one."""
        if self.differential_weight is None:
            return outputs[0]
        return outputs[0] - self.differential_weight().to(outputs[0].dtype) * outputs[1]


def state_of(memory: Memory | None, operator: int) -> torch.Tensor | None:
    """The part of the state's buffer that belongs to one operator of a class; None in training.

    Kernels read it and advance it in place.
    """
    return None if memory is None else memory.buffers[STATE][:, operator]


StructureBuilder = Callable[[LivClass, ModelConfig, int, tuple[str, ...]], StructureModule]


class StructureParts(NamedTuple):
    """How a structure is built: its module, and the modules of forms that only it has."""

    module: StructureBuilder
    forms: Mapping[str, FormBuilder] = {}
