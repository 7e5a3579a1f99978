"""A matrix-valued state a head that decays by one number: the heads of Mamba-2 (arXiv
2405.21060)."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from star.genomes import FeatureGroup, LivClass, ModelConfig
from star.genomes.widths import head_count, head_groups, operator_copies, own_head_width
from star.kernels.ssd import ssd

from ..cache import Memory
from ..featurizer import Features, GroupModule, linear
from .base import STATE, StructureModule, state_of
from .state_space import initial_rates, initial_step_bias, step_of_heads


class HeadStep(NamedTuple):
    """Feature group A, float (batch, heads, length) each: step sizes, positive, and log decays, at
    most 0."""

    step: torch.Tensor
    decay: torch.Tensor


class HeadStepSize(GroupModule):
    """Step size and rate of every head."""

    def __init__(
        self, group: FeatureGroup, liv_class: LivClass, model: ModelConfig, key: str
    ) -> None:
        super().__init__(key)
        heads = head_count(liv_class, model)
        self.step = linear(model.width, heads, bias=True)
        self.log_rate = nn.Parameter(initial_rates(heads))
        with torch.no_grad():
            self.step.bias.copy_(initial_step_bias(heads))

    def forward(self, x: torch.Tensor, features: Features, memory: Memory | None) -> HeadStep:
        """From x (batch, length, width)."""
        step = step_of_heads(self.step(x))
        decay = -torch.exp(self.log_rate.float()) * step
        return HeadStep(step.transpose(1, 2), decay.transpose(1, 2))


class ScalarDecay(StructureModule):
    """A state a head with a skip from V, an output gate, and behind it a norm of the channels of
    each group of heads."""

    def __init__(
        self, liv_class: LivClass, model: ModelConfig, index: int, borrowed: tuple[str, ...]
    ) -> None:
        super().__init__(liv_class, model, index, borrowed)
        self.head_width, self.norm_eps = own_head_width(liv_class, model), model.norm_eps
        heads, self.groups = head_count(liv_class, model), head_groups(model)
        self.skip = nn.Parameter(torch.ones(heads))
        self.norm = nn.Parameter(torch.ones(self.channels))
        self.shape = (operator_copies(liv_class, "B"), heads, self.operator.state, self.head_width)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """One matrix (state, head width) a head for each operator."""
        return {STATE: self.shape}

    def forward(self, features: Features, memory: Memory | None = None) -> torch.Tensor:
        """A (`HeadStep`), B and C (batch, length, groups x state), V and the gate G (batch, length,
        inner width)."""
        (x,), (gate,) = features["V"], features["G"]
        v = x.unflatten(-1, (-1, self.head_width)).transpose(1, 2)
        outputs = []
        for number, ((step, decay), b, c) in enumerate(
            zip(features["A"], features["B"], features["C"], strict=True)
        ):
            stepped = (v * step[..., None]).to(v.dtype)
            state = state_of(memory, number)
            c_groups, b_groups = self._by_group(c), self._by_group(b)
            outputs.append(ssd(c_groups, b_groups, stepped, decay, state=state))
        y = self.difference(outputs) + self.skip.to(v.dtype)[:, None, None] * v
        return self._normed(y.transpose(1, 2).flatten(2) * gate)

    def _by_group(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, length, groups x state) to (batch, groups, length, state)."""
        return x.unflatten(-1, (self.groups, -1)).transpose(1, 2)

    def _normed(self, y: torch.Tensor) -> torch.Tensor:
        """y (batch, length, inner width), whose groups of heads have a root mean square of 1,
        times weights."""
        weights = self.norm.to(y.dtype)
        if self.groups == 1:
            return F.rms_norm(y, weights.shape, weights, self.norm_eps)
        groups = y.unflatten(-1, (self.groups, -1))
        return F.rms_norm(groups, groups.shape[-1:], eps=self.norm_eps).flatten(-2) * weights


FORMS = {"head_step": HeadStepSize}
