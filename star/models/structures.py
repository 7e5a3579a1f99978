"""Token-mixing structures: from feature groups to T applied to V, plain or differential.

Each structure module takes the features of one LIV and returns (batch, length, inner width), the input of the
output projection. With a memory, the features continue a sequence. `STRUCTURE_MODULES` maps the token-mixing gene
to its module.
"""

import math
from collections.abc import Collection
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from star.genomes import LivClass, ModelConfig
from star.genomes.alphabets import BANDED, DIAGONAL, IDENTITY, LOW_RANK, RELU, SEMI_SEPARABLE, SWISH, TOEPLITZ
from star.genomes.model_config import group_width, head_width, inner_width, lambda_width, operator_copies
from star.kernels.selective_scan import continue_selective_scan, selective_scan

from .attention import linear_attention, remember_all, remember_window, rotate, structured_attention
from .cache import Memory
from .convolution import (
    continue_long_convolution,
    continue_short_convolution,
    long_convolution,
    short_convolution,
)
from .featurizer import Features, Kernel, Transition

DIFFERENTIAL_NORM_EPS = 1e-5
GATES = {IDENTITY: lambda x: x, RELU: F.relu, SWISH: F.silu}
STATE = "state"  # the buffer of a structure that remembers a state, a tail or a history
LIVS_PER_LAYER = 2  # the source counts layers of attention and feed-forward together


class DifferentialWeight(nn.Module):
    """Lambda of a differential operator (arXiv 2410.05258, equations 2 and 3), a scalar learned per LIV."""

    def __init__(self, width: int, index: int) -> None:
        super().__init__()
        self.initial = 0.8 - 0.6 * math.exp(-0.3 * (index // LIVS_PER_LAYER))
        self.vectors = nn.Parameter(torch.empty(4, width).normal_(std=0.1))

    def forward(self) -> torch.Tensor:
        """The scalar lambda."""
        c1, b1, c2, b2 = self.vectors.float()
        return torch.exp(torch.dot(c1, b1)) - torch.exp(torch.dot(c2, b2)) + self.initial


class StructureModule(nn.Module):
    """Base of the structures: holds the class and, for differential classes, lambda."""

    def __init__(self, liv_class: LivClass, model: ModelConfig, index: int) -> None:
        super().__init__()
        width = lambda_width(liv_class, model.width)
        self.differential_weight = DifferentialWeight(width, index) if width else None
        self.operator = liv_class.operator

    def memory_shapes(self, context: int, borrowed: Collection[str]) -> dict[str, tuple[int, ...]]:
        """Buffers that generation needs, without the batch axis, when these groups are borrowed."""
        return {}

    def extend(self, features: Features, computed: Collection[str], memory: Memory | None) -> Features:
        """The features that `forward` takes and that borrowers get; `computed` are this LIV's own groups."""
        return features

    def difference(self, outputs: list[torch.Tensor]) -> torch.Tensor:
        """`T1 V - lambda T2 V` of a differential class, `T V` of a plain one."""
        if self.differential_weight is None:
            return outputs[0]
        return outputs[0] - self.differential_weight().to(outputs[0].dtype) * outputs[1]

    def paired(self, features: Features, name: str) -> tuple[torch.Tensor, ...]:
        """The tensors of one feature group, one for each operator."""
        return cast(tuple[torch.Tensor, ...], features[name])


class Diagonal(StructureModule):
    """`s(C_i) V_i`: the SwiGLU for s = swish."""

    def forward(self, features: Features, memory: Memory | None = None) -> torch.Tensor:
        """C and V (batch, length, inner width)."""
        (c,), (v,) = self.paired(features, "C"), self.paired(features, "V")
        return GATES[self.operator.nonlinearity](c) * v


class LowRank(StructureModule):
    """Attention with rotary positions, one T per head."""

    def __init__(self, liv_class: LivClass, model: ModelConfig, index: int) -> None:
        super().__init__(liv_class, model, index)
        self.operators = 1 if self.differential_weight is None else 2
        self.head_width = head_width(model.width)
        self.rope_base = model.rope_base
        self.window = model.window if self.operator.sparsity == BANDED else None
        self.linear = self.operator.nonlinearity == IDENTITY and self.window is None
        groups = {group.name: group_width(group, model.width) // self.head_width for group in self.operator.groups}
        # The two operators of a differential class run as further heads of one attention.
        narrow = (self.operators * groups["B"], self.head_width // self.operators)
        self.shapes = {"B": narrow, "V": (groups["V"], self.head_width)}

    def memory_shapes(self, context: int, borrowed: Collection[str]) -> dict[str, tuple[int, ...]]:
        """Keys and values of all visible positions, or the sum of their products."""
        if self.linear:
            # The sum belongs to whoever owns both B and V.
            return {} if {"B", "V"} <= set(borrowed) else {STATE: (*self.shapes["B"], self.head_width)}
        slots = context if self.window is None else min(context, self.window)
        return {name: (heads, slots, width) for name, (heads, width) in self.shapes.items() if name not in borrowed}

    def _heads(self, x: torch.Tensor, name: str, position: int) -> torch.Tensor:
        """(batch, length, channels) to (batch, heads, length, head width), C and B rotated."""
        heads = x.view(*x.shape[:2], -1, self.head_width).transpose(1, 2)
        if name == "V":
            return heads
        if self.operators > 1:
            heads = torch.cat(heads.chunk(self.operators, dim=-1), dim=1)
        return rotate(heads, self.rope_base, position)

    def extend(self, features: Features, computed: Collection[str], memory: Memory | None) -> Features:
        """Own groups by heads and rotated; with a memory, B and V together with all earlier visible positions."""
        position = 0 if memory is None else memory.position
        remember = remember_all if self.window is None else remember_window
        extended = dict(features)
        for name in computed:
            x = self._heads(self.paired(features, name)[0], name, position)
            if memory is not None and name in memory.buffers:
                x = remember(x, memory.buffers[name], position)
            extended[name] = (x,)
        if memory is not None and STATE in memory.buffers:
            extended[STATE] = (self._advance_state(extended, memory.buffers[STATE]),)
        return extended

    def _advance_state(self, features: Features, buffer: torch.Tensor) -> torch.Tensor:
        """Add the present `B_j V_j` to the sum; returns the sum as it was before."""
        (b,), (v,) = self.paired(features, "B"), self.paired(features, "V")
        before = buffer.to(torch.promote_types(b.dtype, torch.float32), copy=True)
        products = torch.matmul(
            b.transpose(-1, -2).to(before.dtype), v.repeat(1, self.operators, 1, 1).to(before.dtype)
        )
        buffer.copy_(before + products)
        return before

    def forward(self, features: Features, memory: Memory | None = None) -> torch.Tensor:
        """C (batch, heads, length, width), B and V (batch, groups, total, width), as `extend` gives them."""
        (c,), (b,), (v,) = (self.paired(features, name) for name in "CBV")
        v = v if self.operators == 1 else torch.cat([v] * self.operators, dim=1)
        if self.linear:
            state = self.paired(features, STATE)[0] if STATE in features else None
            heads = linear_attention(c, b, v, state, 0 if memory is None else memory.position)
        else:
            heads = structured_attention(c, b, v, self.operator.nonlinearity, self.window)
        y = self.difference(list(heads.chunk(self.operators, dim=1)))
        if self.differential_weight is not None:
            y = F.rms_norm(y, (self.head_width,), eps=DIFFERENTIAL_NORM_EPS)
            y = y * (1 - self.differential_weight.initial)
        return y.transpose(1, 2).flatten(2)


class ScaledToeplitz(StructureModule):
    """Gated convolution, `C * conv(B * V, K)`."""

    def __init__(self, liv_class: LivClass, model: ModelConfig, index: int) -> None:
        super().__init__(liv_class, model, index)
        kernel = next(group for group in self.operator.groups if group.name == "K")
        self.taps = kernel.kernel_length
        self.shape = (operator_copies(liv_class, "B"), inner_width(liv_class, model.width))

    def memory_shapes(self, context: int, borrowed: Collection[str]) -> dict[str, tuple[int, ...]]:
        """The last products B * V that the kernel reaches: taps - 1 of them, or all for an implicit kernel."""
        operators, channels = self.shape
        return {STATE: (operators, self.taps - 1 if self.taps else context, channels)}

    def forward(self, features: Features, memory: Memory | None = None) -> torch.Tensor:
        """B, C, V (batch, length, width) and the kernel K."""
        (v,) = self.paired(features, "V")
        kernels = cast(tuple[Kernel, ...], features["K"])
        pairs = zip(self.paired(features, "B"), self.paired(features, "C"), kernels, strict=True)
        return self.difference(
            [c * self._convolve(b * v, kernel, memory, number) for number, (b, c, kernel) in enumerate(pairs)]
        )

    def _convolve(self, x: torch.Tensor, kernel: Kernel, memory: Memory | None, number: int) -> torch.Tensor:
        if memory is None:
            return (long_convolution if kernel.implicit else short_convolution)(x, kernel.values)
        past = memory.buffers[STATE][:, number]
        if kernel.implicit:
            return continue_long_convolution(x, kernel.values, past, memory.position)
        return continue_short_convolution(x, kernel.values, past)


class SemiSeparable(StructureModule):
    """Selective state space with a skip from V and an output gate, as in Mamba."""

    def __init__(self, liv_class: LivClass, model: ModelConfig, index: int) -> None:
        super().__init__(liv_class, model, index)
        channels = inner_width(liv_class, model.width)
        self.skip = nn.Parameter(torch.ones(channels))
        self.shape = (operator_copies(liv_class, "B"), channels, liv_class.operator.state)

    def memory_shapes(self, context: int, borrowed: Collection[str]) -> dict[str, tuple[int, ...]]:
        """One state (channels, state) for each operator."""
        return {STATE: self.shape}

    def forward(self, features: Features, memory: Memory | None = None) -> torch.Tensor:
        """A (step sizes and rates), B and C (batch, length, state), V and the gate G (batch, length, channels)."""
        (v,), (gate,) = self.paired(features, "V"), self.paired(features, "G")
        transitions = cast(tuple[Transition, ...], features["A"])
        operators = zip(transitions, self.paired(features, "B"), self.paired(features, "C"), strict=True)
        outputs = []
        for number, ((step, rate), b, c) in enumerate(operators):
            if memory is None:
                outputs.append(selective_scan(v, step, rate, b, c))
            else:
                outputs.append(continue_selective_scan(memory.buffers[STATE][:, number], v, step, rate, b, c))
        return (self.difference(outputs) + self.skip * v) * gate


STRUCTURE_MODULES: dict[int, type[StructureModule]] = {
    DIAGONAL: Diagonal,
    LOW_RANK: LowRank,
    TOEPLITZ: ScaledToeplitz,
    SEMI_SEPARABLE: SemiSeparable,
}
