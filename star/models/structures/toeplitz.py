"""Scaled Toeplitz: gated convolutions, `C * conv(B * V, K)`, with an explicit short kernel or an
implicit long one."""

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import nn

from star.genomes import FeatureGroup, LivClass, ModelConfig
from star.genomes.structures.toeplitz import KERNEL_HIDDEN_WIDTH, POSITION_FREQUENCIES
from star.genomes.widths import inner_width, operator_copies
from star.kernels.gated_long_conv import gated_long_conv
from star.kernels.gated_short_conv import gated_short_conv

from ..cache import Memory
from ..featurizer import Features, GroupModule, linear
from .base import STATE, StructureModule, state_of


class Kernel(NamedTuple):
    """Feature group K: explicit taps (channels, taps), or an implicit kernel (at least length,
    channels)."""

    values: torch.Tensor
    implicit: bool


class ExplicitKernel(GroupModule):
    """A learned short kernel, one a channel."""

    def __init__(
        self, group: FeatureGroup, liv_class: LivClass, model: ModelConfig, key: str
    ) -> None:
        super().__init__(key)
        taps = group.kernel_length
        shape = (inner_width(liv_class, model), taps)
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
        channels, hidden = inner_width(liv_class, model), KERNEL_HIDDEN_WIDTH
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
        # The squares exp(-2 decay t) sum up to 1 / (1 - exp(-2 decay)) over t = 0, 1, ...
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


class ScaledToeplitz(StructureModule):
    """Gated convolution of V, a kernel K a channel."""

    def __init__(
        self, liv_class: LivClass, model: ModelConfig, index: int, borrowed: tuple[str, ...]
    ) -> None:
        super().__init__(liv_class, model, index, borrowed)
        self.taps = self.operator.group("K").kernel_length
        self.operators = operator_copies(liv_class, "B")

    def memory_shapes(self, context: int) -> dict[str, tuple[int, ...]]:
        """The last products B * V that the kernel reaches: taps - 1 of them, or all for an implicit
        kernel."""
        return {STATE: (self.operators, self.taps - 1 if self.taps else context, self.channels)}

    def forward(self, features: Features, memory: Memory | None = None) -> torch.Tensor:
        """B, C, V (batch, length, width) and the kernel K."""
        (v,) = features["V"]
        position = 0 if memory is None else memory.position
        outputs = []
        for number, (b, c, kernel) in enumerate(
            zip(features["B"], features["C"], features["K"], strict=True)
        ):
            state = state_of(memory, number)
            if kernel.implicit:
                outputs.append(gated_long_conv(b, v, c, kernel.values, state, position))
            else:
                outputs.append(gated_short_conv(b, v, c, kernel.values, state))
        return self.difference(outputs)


FORMS = {"explicit_kernel": ExplicitKernel, "implicit_kernel": ImplicitKernel}
