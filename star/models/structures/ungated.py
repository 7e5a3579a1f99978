"""Diagonal without a gate, `relu(V_i) V_i`: the squared ReLU of Primer (arXiv 2109.08668) and
Nemotron-H. Its module is that of `diagonal.py`."""

import torch

from star.genomes import FeatureGroup, LivClass, ModelConfig

from ..cache import Memory
from ..featurizer import Features, GroupModule


class SameAsValues(GroupModule):
    """A feature group that is V."""

    def __init__(
        self, group: FeatureGroup, liv_class: LivClass, model: ModelConfig, key: str
    ) -> None:
        super().__init__(key)

    def forward(self, x: torch.Tensor, features: Features, memory: Memory | None) -> torch.Tensor:
        """V, (batch, length, inner width)."""
        return features["V"][0]


FORMS = {"same_as_values": SameAsValues}
