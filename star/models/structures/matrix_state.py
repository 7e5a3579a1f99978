"""A matrix-valued state a head: the gated delta rule of Gated DeltaNet (arXiv 2412.06464)."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from star.genomes import FeatureGroup, LivClass, ModelConfig
from star.genomes.widths import group_width, head_count, operator_copies, own_head_width
from star.kernels.gated_delta_rule import gated_delta_rule

from ..cache import Memory
from ..featurizer import Features, GroupModule, linear
from .base import STATE, StructureModule, state_of
from .state_space import initial_rates, initial_step_bias, step_of_heads


class DeltaTransition(NamedTuple):
    """Feature group A, (batch, heads, length) each: log decays, at most 0, and writing strengths
    beta, 0 to 1, or to 2 with negative eigenvalues."""

    decay: torch.Tensor
    beta: torch.Tensor


class DeltaGates(GroupModule):
    """Decay and writing strength of every head."""

    def __init__(
        self, group: FeatureGroup, liv_class: LivClass, model: ModelConfig, key: str
    ) -> None:
        super().__init__(key)
        heads = head_count(liv_class, model)
        self.step = linear(model.width, heads, bias=True)
        self.beta = linear(model.width, heads)
        self.log_rate = nn.Parameter(initial_rates(heads))
        with torch.no_grad():
            self.step.bias.copy_(initial_step_bias(heads))

    def forward(
        self, x: torch.Tensor, features: Features, memory: Memory | None
    ) -> DeltaTransition:
        """From x (batch, length, width)."""
        decay = -torch.exp(self.log_rate.float()) * step_of_heads(self.step(x))
        return DeltaTransition(decay.transpose(1, 2), torch.sigmoid(self.beta(x)).transpose(1, 2))


class MatrixState(StructureModule):
    """A matrix a head that decays and corrects itself, then a head-wise norm and an output gate."""

    rule = staticmethod(gated_delta_rule)

    def __init__(
        self, liv_class: LivClass, model: ModelConfig, index: int, borrowed: tuple[str, ...]
    ) -> None:
        super().__init__(liv_class, model, index, borrowed)
        self.head_width, self.norm_eps = own_head_width(liv_class, model), model.norm_eps
        self.heads = head_count(liv_class, model)
        keys = group_width(self.operator.group("B"), liv_class, model) // self.heads
        self.norm = nn.Parameter(torch.ones(self.head_width))
        self.shape = (operator_copies(liv_class, "B"), self.heads, keys, self.head_width)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """One matrix (key width, head width) a head for each operator."""
        return {STATE: self.shape}

    def prepare(self, features: Features, position: int) -> Features:
        """Own B, C and V by heads, (batch, heads, length, width): V of the head width, B and C of
        the key width and with L2 norm 1."""
        prepared = dict(features)
        for name in {"B", "C", "V"} & set(self.computed):
            heads = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in features[name])
            prepared[name] = tuple(heads if name == "V" else map(unit_norm, heads))
        return prepared

    def forward(self, features: Features, memory: Memory | None = None) -> torch.Tensor:
        """B, C, V as `prepare` gives them, A (`DeltaTransition`) and the gate G (batch, length,
        inner width)."""
        (v,), (gate,) = features["V"], features["G"]
        outputs = []
        for number, (transition, b, c) in enumerate(
            zip(features["A"], features["B"], features["C"], strict=True)
        ):
            state = state_of(memory, number)
            outputs.append(self.rule(c, b, v, *transition, state=state))
        y = F.rms_norm(
            self.difference(outputs), (self.head_width,), self.norm.to(v.dtype), self.norm_eps
        )
        return y.transpose(1, 2).flatten(2) * gate


def unit_norm(x: torch.Tensor) -> torch.Tensor:
    """x (..., width) divided by its L2 norm, with an epsilon of 1e-6 under the root as in Gated
    DeltaNet."""
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6)


FORMS = {"delta_transition": DeltaGates}
