"""Low-rank, `s(C_i B_j)` a head, with rotary positions: attention, which remembers B and V, and
linear attention, which remembers the sum of their products."""

import torch
from torch import nn
from torch.nn import functional as F

from star.genomes import FeatureGroup, LivClass, ModelConfig
from star.genomes.model_config import head_width
from star.genomes.operators import NONLINEARITIES
from star.genomes.structures.low_rank import (
    HEAD_GATE,
    JOINTLY_NORMED,
    NORMED,
    is_linear,
    owns_sum,
    window_of,
)
from star.genomes.widths import group_width, head_count
from star.kernels.linear_attention import differential_linear_attention, linear_attention
from star.kernels.structured_attention import differential_attention, structured_attention

from ..cache import Memory
from ..featurizer import Features, GroupModule, Projection, linear
from .base import STATE, StructureModule
from .positions import Frequencies, remember_all, remember_window, rotate_share

DIFFERENTIAL_NORM_EPS = 1e-5


class NormedProjection(Projection):
    """A projection whose heads have a root mean square of 1, times weights: QK-norm as in Qwen3."""

    def __init__(
        self, group: FeatureGroup, liv_class: LivClass, model: ModelConfig, key: str
    ) -> None:
        super().__init__(group, liv_class, model, key)
        self.norm = nn.RMSNorm(head_width(model), eps=model.norm_eps)

    def forward(self, x: torch.Tensor, features: Features, memory: Memory | None) -> torch.Tensor:
        """x (batch, length, width) to (batch, length, group width)."""
        heads = super().forward(x, features, memory).unflatten(-1, (-1, *self.norm.weight.shape))
        return self.norm(heads).flatten(2)


class JointlyNormedProjection(Projection):
    """A projection with a root mean square of 1 over all heads, times weights: QK-norm as in
    OLMo 2 (arXiv 2501.00656) and OLMo-Hybrid."""

    def __init__(
        self, group: FeatureGroup, liv_class: LivClass, model: ModelConfig, key: str
    ) -> None:
        super().__init__(group, liv_class, model, key)
        self.norm = nn.RMSNorm(group_width(group, liv_class, model), eps=model.norm_eps)

    def forward(self, x: torch.Tensor, features: Features, memory: Memory | None) -> torch.Tensor:
        """x (batch, length, width) to (batch, length, group width)."""
        return self.norm(super().forward(x, features, memory))


class HeadGate(GroupModule):
    """A number for every head, whose sigmoid its output is multiplied by."""

    def __init__(
        self, group: FeatureGroup, liv_class: LivClass, model: ModelConfig, key: str
    ) -> None:
        super().__init__(key)
        self.projection = linear(model.width, head_count(liv_class, model))

    def forward(self, x: torch.Tensor, features: Features, memory: Memory | None) -> torch.Tensor:
        """x (batch, length, width) to (batch, length, heads)."""
        return self.projection(x)


class LowRank(StructureModule):
    """What both kinds of attention have in common: heads, rotations, the norm of a differential
    class."""

    def __init__(
        self, liv_class: LivClass, model: ModelConfig, index: int, borrowed: tuple[str, ...]
    ) -> None:
        super().__init__(liv_class, model, index, borrowed)
        self.head_width = head_width(model)
        made = self.operator.made_by
        self.rotary = float(made.rotary), made.proportional
        self.frequencies = Frequencies.of(model, made.rotary_base)
        # The two operators of a differential class run as further heads of one attention.
        self.operators = 1 if self.differential_weight is None else 2
        heads = {
            name: group_width(self.operator.group(name), liv_class, model) // self.head_width
            for name in "BV"
        }
        self.shapes = {
            "B": (self.operators * heads["B"], self.head_width // self.operators),
            "V": (heads["V"], self.head_width),
        }

    def prepare(self, features: Features, position: int) -> Features:
        """Own groups by heads, (batch, heads, length, width); C and B rotated."""
        prepared = dict(features)
        for name in {"C", "B", "V"} & set(self.computed):
            prepared[name] = (self._heads(features[name][0], name, position),)
        return prepared

    def _heads(self, x: torch.Tensor, name: str, position: int) -> torch.Tensor:
        """(batch, length, channels) to (batch, heads, length, width)."""
        heads = x.view(*x.shape[:2], -1, self.head_width).transpose(1, 2)
        if name == "V":
            return heads
        if self.operators > 1:
            # The halves of a head's channels are the two operators, whose heads come one operator
            # after the other: heads 0 and 1 become 0a 1a 0b 1b.
            heads = torch.cat(heads.chunk(self.operators, dim=-1), dim=1)
        return rotate_share(heads, self.frequencies, position, *self.rotary)

    def forward(self, features: Features, memory: Memory | None = None) -> torch.Tensor:
        """C (batch, heads, length, width), B and V (batch, groups, total, width), as `prepare` and
        `remember` give them."""
        y = self.attend(features, memory)
        if self.differential_weight is not None:
            y = F.rms_norm(y, (self.head_width,), eps=DIFFERENTIAL_NORM_EPS)
            y = y * (1 - self.differential_weight.initial)
        return self._gated(y.transpose(1, 2), features)

    def _gated(self, y: torch.Tensor, features: Features) -> torch.Tensor:
        """y (batch, length, heads, head width) with its heads side by side, times the sigmoid of
        the gate G (batch, length, heads or channels) where there is one."""
        if "G" not in features:
            return y.flatten(2)
        gate = torch.sigmoid(features["G"][0]).unflatten(-1, (y.shape[2], -1))
        return (y * gate).flatten(2)

    def attend(self, features: Features, memory: Memory | None) -> torch.Tensor:
        """T applied to V, (batch, heads, length, head width)."""
        raise NotImplementedError


class Attention(LowRank):
    """Softmax, ReLU or swish attention, over all positions or a window of them."""

    def __init__(
        self, liv_class: LivClass, model: ModelConfig, index: int, borrowed: tuple[str, ...]
    ) -> None:
        super().__init__(liv_class, model, index, borrowed)
        self.window = window_of(self.operator, model)
        self.nonlinearity = NONLINEARITIES[self.operator.nonlinearity]

    def memory_shapes(self, context: int) -> dict[str, tuple[int, ...]]:
        """Own keys B and values V of all visible positions."""
        slots = context if self.window is None else min(context, self.window)
        return {
            name: (heads, slots, width)
            for name, (heads, width) in self.shapes.items()
            if name in self.computed
        }

    def remember(self, features: Features, memory: Memory) -> Features:
        """Own B and V together with all earlier visible positions."""
        remember = remember_all if self.window is None else remember_window
        remembered = dict(features)
        for name in self.shapes.keys() & set(self.computed):
            present = features[name][0]
            remembered[name] = (remember(present, memory.buffers[name], memory.position),)
        return remembered

    def attend(self, features: Features, memory: Memory | None) -> torch.Tensor:
        """Attention of C to B and V; the last length positions of B are those of C."""
        (c,), (b,), (v,) = (features[name] for name in "CBV")
        if self.differential_weight is None:
            return structured_attention(c, b, v, self.nonlinearity, self.window)
        weight = self.differential_weight()
        return differential_attention(c, b, v, weight, self.nonlinearity, self.window)


class LinearAttention(LowRank):
    """Attention without a nonlinearity, a recurrence over the sum of `B_j V_j`.

    A LIV that borrows both B and V borrows the sum with them: the owner's features then hold the
    sum as it was before the present positions.
    """

    def __init__(
        self, liv_class: LivClass, model: ModelConfig, index: int, borrowed: tuple[str, ...]
    ) -> None:
        super().__init__(liv_class, model, index, borrowed)
        self.owns_sum = owns_sum(borrowed)
        if not self.owns_sum:
            self.inherited = (STATE,)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """The sum (heads, width of B, head width), unless it is borrowed."""
        return {STATE: (*self.shapes["B"], self.head_width)} if self.owns_sum else {}

    def remember(self, features: Features, memory: Memory) -> Features:
        """The features with the sum as it is before the present positions, for borrowers."""
        if not self.owns_sum:
            return features
        return {**features, STATE: (memory.buffers[STATE].clone(),)}

    def attend(self, features: Features, memory: Memory | None) -> torch.Tensor:
        """Linear attention of C to B and V and to what the sum holds, which is advanced where it is
        owned."""
        (c,), (b,), (v,) = (features[name] for name in "CBV")
        state, position = None, 0
        if memory is not None:
            # The kernel advances a sum in place: a borrowed one is for all its borrowers.
            state = memory.buffers[STATE] if self.owns_sum else features[STATE][0].clone()
            position = memory.position
        if self.differential_weight is None:
            return linear_attention(c, b, v, state=state, position=position)
        weight = self.differential_weight()
        return differential_linear_attention(c, b, v, weight, state=state, position=position)


def low_rank(
    liv_class: LivClass, model: ModelConfig, index: int, borrowed: tuple[str, ...]
) -> LowRank:
    """Attention of the kind that the class is of."""
    kind = LinearAttention if is_linear(liv_class.operator) else Attention
    return kind(liv_class, model, index, borrowed)


FORMS = {
    NORMED: NormedProjection,
    JOINTLY_NORMED: JointlyNormedProjection,
    HEAD_GATE: HeadGate,
}
