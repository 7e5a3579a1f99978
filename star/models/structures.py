"""Token-mixing structures: from feature groups to T applied to V, plain or differential.

Each structure module takes the features of one LIV and returns (batch, length, inner width), the input of the
output projection. `STRUCTURE_MODULES` maps the token-mixing gene to its module.
"""

import math
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from star.genomes import LivClass, ModelConfig
from star.genomes.alphabets import BANDED, DIAGONAL, IDENTITY, LOW_RANK, RELU, SEMI_SEPARABLE, SWISH, TOEPLITZ
from star.genomes.model_config import head_width, inner_width, lambda_width
from star.kernels.selective_scan import selective_scan

from .attention import rotate, structured_attention
from .convolution import long_convolution, short_convolution
from .featurizer import Features, Kernel, Transition

DIFFERENTIAL_NORM_EPS = 1e-5
GATES = {IDENTITY: lambda x: x, RELU: F.relu, SWISH: F.silu}
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

    def forward(self, features: Features) -> torch.Tensor:
        """C and V (batch, length, inner width)."""
        (c,), (v,) = self.paired(features, "C"), self.paired(features, "V")
        return GATES[self.operator.nonlinearity](c) * v


class LowRank(StructureModule):
    """Attention with rotary positions, one T per head."""

    def __init__(self, liv_class: LivClass, model: ModelConfig, index: int) -> None:
        super().__init__(liv_class, model, index)
        self.head_width = head_width(model.width)
        self.rope_base = model.rope_base
        self.window = model.window if self.operator.sparsity == BANDED else None

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, length, channels) to (batch, heads, length, head width)."""
        return x.unflatten(-1, (-1, self.head_width)).transpose(1, 2)

    def forward(self, features: Features) -> torch.Tensor:
        """C (batch, length, width), B and V (batch, length, width / repeat)."""
        c, b, v = (self._heads(self.paired(features, name)[0]) for name in "CBV")
        operators = 1 if self.differential_weight is None else 2
        # The two operators of a differential class run as further heads of one attention.
        c, b = (torch.cat(x.chunk(operators, dim=-1), dim=1) for x in (c, b))
        c, b = rotate(torch.cat([c, b], dim=1), self.rope_base).split([c.shape[1], b.shape[1]], dim=1)
        v = torch.cat([v] * operators, dim=1)
        heads = structured_attention(c, b, v, self.operator.nonlinearity, self.window)
        y = self.difference(list(heads.chunk(operators, dim=1)))
        if self.differential_weight is not None:
            y = F.rms_norm(y, (self.head_width,), eps=DIFFERENTIAL_NORM_EPS)
            y = y * (1 - self.differential_weight.initial)
        return y.transpose(1, 2).flatten(2)


class ScaledToeplitz(StructureModule):
    """Gated convolution, `C * conv(B * V, K)`."""

    def forward(self, features: Features) -> torch.Tensor:
        """B, C, V (batch, length, width) and the kernel K."""
        (v,) = self.paired(features, "V")
        kernels = cast(tuple[Kernel, ...], features["K"])
        outputs = []
        for b, c, kernel in zip(self.paired(features, "B"), self.paired(features, "C"), kernels, strict=True):
            convolve = long_convolution if kernel.implicit else short_convolution
            outputs.append(c * convolve(b * v, kernel.values))
        return self.difference(outputs)


class SemiSeparable(StructureModule):
    """Selective state space with a skip from V and an output gate, as in Mamba."""

    def __init__(self, liv_class: LivClass, model: ModelConfig, index: int) -> None:
        super().__init__(liv_class, model, index)
        self.skip = nn.Parameter(torch.ones(inner_width(liv_class, model.width)))

    def forward(self, features: Features) -> torch.Tensor:
        """A (step sizes and rates), B and C (batch, length, state), V and the gate G (batch, length, channels)."""
        (v,), (gate,) = self.paired(features, "V"), self.paired(features, "G")
        transitions = cast(tuple[Transition, ...], features["A"])
        outputs = [
            selective_scan(v, transition.step, transition.rate, b, c)
            for transition, b, c in zip(
                transitions, self.paired(features, "B"), self.paired(features, "C"), strict=True
            )
        ]
        return (self.difference(outputs) + self.skip * v) * gate


STRUCTURE_MODULES: dict[int, type[StructureModule]] = {
    DIAGONAL: Diagonal,
    LOW_RANK: LowRank,
    TOEPLITZ: ScaledToeplitz,
    SEMI_SEPARABLE: SemiSeparable,
}
