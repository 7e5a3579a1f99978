"""The model of a task: the genome's own backbone, and for compression an auto-encoder's head."""

from dataclasses import replace

import torch
from torch import nn

from star.evaluation.mad.protocols import Protocol
from star.evaluation.mad.settings import COMPRESSION, Setting
from star.genomes import Genome, ModelConfig
from star.models import LanguageModel, decode
from star.models.featurizer import INITIAL_STD


def build_model(
    genome: Genome, setting: Setting, sizes: ModelConfig, protocol: Protocol
) -> nn.Module:
    """A fresh model from torch's global generator: tokens (batch, length) to logits (batch, length,
    vocabulary).

    Args:
        genome: the backbone.
        setting: the task, whose vocabulary it gets.
        sizes: width and all else; its embedding is not tied to the head.
        protocol: inner widths of feed-forward LIVs, and initial weights.

    Raises:
        GenomeError: for a genome that is invalid or does not fit the sizes.
    """
    own = replace(sizes, vocabulary=setting.vocabulary, tie_embeddings=False)
    is_auto_encoder = setting.task == COMPRESSION
    model = decode(genome, own)
    protocol.adapt(model, is_auto_encoder)
    if not is_auto_encoder:
        return model
    model.head = nn.Identity()  # type: ignore[assignment]
    return AutoEncoder(model, own.width, setting.vocabulary)


class AutoEncoder(nn.Module):
    """Reads a whole sequence from its last position: mad-lab's head for compression.

    The backbone's last vector, plus a sinusoidal vector of the position asked for, goes through two
    layers of GELU as wide as the model, each behind a norm.
    """

    def __init__(self, backbone: LanguageModel, width: int, vocabulary: int) -> None:
        """Build the head, from torch's global generator.

        Args:
            backbone: tokens int64 (batch, length) to normed vectors (batch, length, width).
            width: even.
            vocabulary: tokens.
        """
        super().__init__()
        self.backbone = backbone
        self.decoder = nn.Sequential(
            nn.RMSNorm(width),
            nn.Linear(width, width),
            nn.GELU(),
            nn.RMSNorm(width),
            nn.Linear(width, width),
            nn.GELU(),
            nn.RMSNorm(width),
        )
        self.head = nn.Linear(width, vocabulary)
        for layer in (*self.decoder, self.head):
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=INITIAL_STD)
                nn.init.zeros_(layer.bias)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """tokens int64 (batch, length) to logits (batch, length, vocabulary)."""
        last = self.backbone(tokens)[:, -1:]
        positions = sinusoids(tokens.shape[1], last.shape[-1]).to(last)
        return self.head(self.decoder(last + positions))


def sinusoids(length: int, width: int) -> torch.Tensor:
    """Sines and then cosines of each position at width / 2 frequencies, (length, width).

    The frequencies fall from 1 to 1/10,000 (arXiv 1706.03762, section 3.5). The width is even.
    """
    half = width // 2
    frequencies = 10000.0 ** -(torch.arange(half) / max(half - 1, 1))
    angles = torch.arange(length)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)
