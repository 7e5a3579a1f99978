"""Diagonal, `s(C_i) V_i`: the SwiGLU for s = swish."""

import torch
from torch.nn import functional as F

from star.genomes.operators import IDENTITY, RELU, SWISH
from star.kernels.swiglu import swiglu

from ..cache import Memory
from ..featurizer import Features
from .base import StructureModule

GATES = {IDENTITY: torch.mul, RELU: lambda c, v: F.relu(c) * v, SWISH: swiglu}


class Diagonal(StructureModule):
    """A gate on every channel."""

    def forward(self, features: Features, memory: Memory | None = None) -> torch.Tensor:
        """C and V (batch, length, inner width)."""
        (c,), (v,) = features["C"], features["V"]
        return GATES[self.operator.nonlinearity](c, v)
