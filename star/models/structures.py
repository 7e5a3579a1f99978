"""Token-mixing structures: from feature groups to T applied to V, plain or differential.

Each structure module takes the features of one LIV and returns (batch, length, inner width), the
input of the output projection. With a memory, the features continue a sequence. `STRUCTURE_MODULES`
maps token mixing and channel mixing to the module.
"""

import math
from collections.abc import Collection
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from star.genomes import LivClass, ModelConfig
from star.genomes.model_config import (
    group_width,
    head_width,
    inner_width,
    lambda_width,
    operator_copies,
)
from star.genomes.operators import (
    BANDED,
    DENSE,
    DIAGONAL,
    GROUPED,
    IDENTITY,
    LOW_RANK,
    NONLINEARITIES,
    PER_CHANNEL,
    RELU,
    SEMI_SEPARABLE,
    SWISH,
    TOEPLITZ,
)
from star.kernels.gated_delta_rule import gated_delta_rule
from star.kernels.gated_long_conv import gated_long_conv
from star.kernels.gated_short_conv import gated_short_conv, step_gated_short_conv
from star.kernels.selective_scan import continue_selective_scan, selective_scan
from star.kernels.structured_attention import (
    differential_attention,
    differential_linear_attention,
    linear_attention,
    structured_attention,
)
from star.kernels.swiglu import swiglu

from .attention import remember_all, remember_window, rotate
from .cache import Memory
from .convolution import continue_long_convolution
from .featurizer import DeltaTransition, Features, Kernel, Transition

DIFFERENTIAL_NORM_EPS = 1e-5
GATES = {IDENTITY: torch.mul, RELU: lambda c, v: F.relu(c) * v, SWISH: swiglu}
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
    """Base of the structures: holds the class and, for differential classes, lambda."""

    def __init__(self, liv_class: LivClass, model: ModelConfig, index: int) -> None:
        super().__init__()
        width = lambda_width(liv_class, model.width)
        self.differential_weight = DifferentialWeight(width, index) if width else None
        self.operator = liv_class.operator

    def memory_shapes(self, context: int, borrowed: Collection[str]) -> dict[str, tuple[int, ...]]:
        """Buffers that generation needs, without the batch axis, when these groups are borrowed."""
        return {}

    def extend(
        self, features: Features, computed: Collection[str], memory: Memory | None
    ) -> Features:
        """The features that `forward` takes and that borrowers get; `computed` are this LIV's own
        groups."""
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
        return GATES[self.operator.nonlinearity](c, v)


class LowRank(StructureModule):
    """Attention with rotary positions, one T per head."""

    def __init__(self, liv_class: LivClass, model: ModelConfig, index: int) -> None:
        super().__init__(liv_class, model, index)
        self.operators = 1 if self.differential_weight is None else 2
        self.head_width = head_width(model.width)
        self.rope_base = model.rope_base
        self.window = model.window if self.operator.sparsity == BANDED else None
        self.linear = self.operator.nonlinearity == IDENTITY and self.window is None
        groups = {
            group.name: group_width(group, model.width) // self.head_width
            for group in self.operator.groups
        }
        # The two operators of a differential class run as further heads of one attention.
        narrow = (self.operators * groups["B"], self.head_width // self.operators)
        self.shapes = {"B": narrow, "V": (groups["V"], self.head_width)}

    def memory_shapes(self, context: int, borrowed: Collection[str]) -> dict[str, tuple[int, ...]]:
        """Keys and values of all visible positions, or the sum of their products."""
        if self.linear:
            # The sum belongs to whoever owns both B and V.
            return (
                {} if {"B", "V"} <= set(borrowed) else {STATE: (*self.shapes["B"], self.head_width)}
            )
        slots = context if self.window is None else min(context, self.window)
        return {
            name: (heads, slots, width)
            for name, (heads, width) in self.shapes.items()
            if name not in borrowed
        }

    def _heads(self, x: torch.Tensor, name: str, position: int) -> torch.Tensor:
        """(batch, length, channels) to (batch, heads, length, head width), C and B rotated."""
        heads = x.view(*x.shape[:2], -1, self.head_width).transpose(1, 2)
        if name == "V":
            return heads
        if self.operators > 1:
            heads = torch.cat(heads.chunk(self.operators, dim=-1), dim=1)
        return rotate(heads, self.rope_base, position)

    def extend(
        self, features: Features, computed: Collection[str], memory: Memory | None
    ) -> Features:
        """Own groups by heads and rotated; with a memory, B and V together with all earlier visible
        positions."""
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
        """C (batch, heads, length, width), B and V (batch, groups, total, width), as `extend` gives
        them."""
        (c,), (b,), (v,) = (self.paired(features, name) for name in "CBV")
        if self.linear:
            state = self.paired(features, STATE)[0] if STATE in features else None
            y = self._linear_attention(c, b, v, state, 0 if memory is None else memory.position)
        else:
            y = self._attention(c, b, v)
        if self.differential_weight is not None:
            y = F.rms_norm(y, (self.head_width,), eps=DIFFERENTIAL_NORM_EPS)
            y = y * (1 - self.differential_weight.initial)
        return y.transpose(1, 2).flatten(2)

    def _attention(self, c: torch.Tensor, b: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        nonlinearity = NONLINEARITIES[self.operator.nonlinearity]
        if self.differential_weight is None:
            return structured_attention(c, b, v, nonlinearity, self.window)
        return differential_attention(
            c, b, v, self.differential_weight(), nonlinearity, self.window
        )

    def _linear_attention(
        self,
        c: torch.Tensor,
        b: torch.Tensor,
        v: torch.Tensor,
        state: torch.Tensor | None,
        earlier: int,
    ) -> torch.Tensor:
        if self.differential_weight is None:
            return linear_attention(c, b, v, state, earlier)
        return differential_linear_attention(c, b, v, self.differential_weight(), state, earlier)


class ScaledToeplitz(StructureModule):
    """Gated convolution, `C * conv(B * V, K)`."""

    def __init__(self, liv_class: LivClass, model: ModelConfig, index: int) -> None:
        super().__init__(liv_class, model, index)
        kernel = next(group for group in self.operator.groups if group.name == "K")
        self.taps = kernel.kernel_length
        self.shape = (operator_copies(liv_class, "B"), inner_width(liv_class, model.width))

    def memory_shapes(self, context: int, borrowed: Collection[str]) -> dict[str, tuple[int, ...]]:
        """The last products B * V that the kernel reaches: taps - 1 of them, or all for an implicit
        kernel."""
        operators, channels = self.shape
        return {STATE: (operators, self.taps - 1 if self.taps else context, channels)}

    def forward(self, features: Features, memory: Memory | None = None) -> torch.Tensor:
        """B, C, V (batch, length, width) and the kernel K."""
        (v,) = self.paired(features, "V")
        kernels = cast(tuple[Kernel, ...], features["K"])
        operators = zip(
            self.paired(features, "B"), self.paired(features, "C"), kernels, strict=True
        )
        outputs = []
        for number, (b, c, kernel) in enumerate(operators):
            if memory is None:
                outputs.append(
                    (gated_long_conv if kernel.implicit else gated_short_conv)(
                        b, v, c, kernel.values
                    )
                )
            else:
                past = memory.buffers[STATE][:, number]
                outputs.append(self._continue(b, v, c, kernel, past, memory.position))
        return self.difference(outputs)

    def _continue(
        self,
        b: torch.Tensor,
        v: torch.Tensor,
        c: torch.Tensor,
        kernel: Kernel,
        past: torch.Tensor,
        position: int,
    ) -> torch.Tensor:
        """The same for the next positions of a sequence; `past` is updated in place."""
        if kernel.implicit:
            return c * continue_long_convolution(b * v, kernel.values, past, position)
        if v.shape[1] == 1:
            return step_gated_short_conv(b, v, c, kernel.values, past)
        y, last = gated_short_conv(b, v, c, kernel.values, past, return_tail=True)
        past.copy_(last)
        return y


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
        """A (step sizes and rates), B and C (batch, length, state), V and the gate G (batch,
        length, channels)."""
        (v,), (gate,) = self.paired(features, "V"), self.paired(features, "G")
        transitions = cast(tuple[Transition, ...], features["A"])
        operators = list(
            zip(transitions, self.paired(features, "B"), self.paired(features, "C"), strict=True)
        )
        fused = len(operators) == 1
        ends = {"skip": self.skip, "gate": gate} if fused else {}
        outputs = []
        for number, ((step, rate), b, c) in enumerate(operators):
            if memory is None:
                outputs.append(selective_scan(v, step, rate, b, c, **ends))
            else:
                outputs.append(
                    continue_selective_scan(
                        memory.buffers[STATE][:, number], v, step, rate, b, c, **ends
                    )
                )
        return outputs[0] if fused else (self.difference(outputs) + self.skip * v) * gate


class MatrixState(StructureModule):
    """Gated delta rule: a matrix a head that decays and corrects itself, then a head-wise norm and
    an output gate."""

    def __init__(self, liv_class: LivClass, model: ModelConfig, index: int) -> None:
        super().__init__(liv_class, model, index)
        self.head_width, self.norm_eps = head_width(model.width), model.norm_eps
        heads = inner_width(liv_class, model.width) // self.head_width
        self.norm = nn.Parameter(torch.ones(self.head_width))
        self.shape = (operator_copies(liv_class, "B"), heads, self.head_width, self.head_width)

    def memory_shapes(self, context: int, borrowed: Collection[str]) -> dict[str, tuple[int, ...]]:
        """One matrix a head for each operator."""
        return {STATE: self.shape}

    def extend(
        self, features: Features, computed: Collection[str], memory: Memory | None
    ) -> Features:
        """Own B, C and V by heads, (batch, heads, length, head width); B and C with L2 norm 1."""
        extended = dict(features)
        for name in {"B", "C", "V"} & set(computed):
            heads = (
                x.unflatten(-1, (-1, self.head_width)).transpose(1, 2)
                for x in self.paired(features, name)
            )
            extended[name] = tuple(heads if name == "V" else map(unit_norm, heads))
        return extended

    def forward(self, features: Features, memory: Memory | None = None) -> torch.Tensor:
        """B, C, V as `extend` gives them, A (decays and strengths) and the gate G (batch, length,
        inner width)."""
        (v,), (gate,) = self.paired(features, "V"), self.paired(features, "G")
        transitions = cast(tuple[DeltaTransition, ...], features["A"])
        operators = zip(
            transitions, self.paired(features, "B"), self.paired(features, "C"), strict=True
        )
        outputs = []
        for number, (transition, b, c) in enumerate(operators):
            if memory is None:
                outputs.append(gated_delta_rule(c, b, v, *transition))
            else:
                state = memory.buffers[STATE][:, number]
                y, last = gated_delta_rule(c, b, v, *transition, state=state, return_state=True)
                state.copy_(last)
                outputs.append(y)
        y = F.rms_norm(
            self.difference(outputs), (self.head_width,), self.norm.to(v.dtype), self.norm_eps
        )
        return y.transpose(1, 2).flatten(2) * gate


def unit_norm(x: torch.Tensor) -> torch.Tensor:
    """x (..., width) divided by its L2 norm, with an epsilon of 1e-6 under the root as in Gated
    DeltaNet."""
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6)


STRUCTURE_MODULES: dict[tuple[int, int], type[StructureModule]] = {
    (DIAGONAL, DENSE): Diagonal,
    (LOW_RANK, GROUPED): LowRank,
    (TOEPLITZ, PER_CHANNEL): ScaledToeplitz,
    (SEMI_SEPARABLE, PER_CHANNEL): SemiSeparable,
    (SEMI_SEPARABLE, GROUPED): MatrixState,
}
