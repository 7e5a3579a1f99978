"""The gated delta rule with negative eigenvalues (arXiv 2411.12537), as OLMo-Hybrid has it: writing
strengths up to 2 let what a state holds for a key change its sign."""

import torch

from star.genomes import LivClass, ModelConfig

from ..cache import Memory
from ..featurizer import Features
from .matrix_state import DeltaGates, DeltaTransition, MatrixState

HEAD_NORM_EPS = 1e-5  # of OLMo-Hybrid's norm by heads, whatever its other norms have


class SignedGates(DeltaGates):
    """As `DeltaGates`, with writing strengths from 0 to 2."""

    def forward(
        self, x: torch.Tensor, features: Features, memory: Memory | None
    ) -> DeltaTransition:
        """From x (batch, length, width)."""
        decay, beta = super().forward(x, features, memory)
        return DeltaTransition(decay, 2 * beta)


class NegativeEigenvalues(MatrixState):
    """As `MatrixState`, with an epsilon of its own."""

    def __init__(
        self, liv_class: LivClass, model: ModelConfig, index: int, borrowed: tuple[str, ...]
    ) -> None:
        super().__init__(liv_class, model, index, borrowed)
        self.norm_eps = HEAD_NORM_EPS


FORMS = {"signed_transition": SignedGates}
