"""What the tests of linearising have in common: small models, text and settings."""

from pathlib import Path

import numpy as np
import torch

from star.data import Corpus
from star.genomes import CacheSetting, Genome, GenomeFile, ModelConfig
from star.hybrids.linearise import LineariseConfig, Plan
from star.models import LanguageModel, decode, save_checkpoint

SIZES = ModelConfig(width=32, vocabulary=48)
# Attention, grouped-query attention, two that share keys and values, and one more.
GENOME = Genome.from_text("11111-91111-31111-21112-91111-21112-11111")
ALL = CacheSetting(context=512)


def model(genome: Genome = GENOME, sizes: ModelConfig = SIZES, seed: int = 0) -> LanguageModel:
    """A model of which no weight is zero or one."""
    torch.manual_seed(seed)
    built = decode(genome, sizes)
    with torch.no_grad():
        for weights in built.parameters():
            weights += 0.1 * torch.randn_like(weights)
    return built


def plan(genome: Genome = GENOME, replacement: str = "GatedDelta") -> Plan:
    return Plan.make(genome, SIZES, ALL, replacement)


def tokens(rows: int = 2, length: int = 12) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, SIZES.vocabulary, (rows, length), generator=generator)


def corpus() -> Corpus:
    rng = np.random.default_rng(0)
    text = rng.integers(0, SIZES.vocabulary, 6000).astype(np.uint8)
    return Corpus(text[:5000], text[5000:], "test", SIZES.vocabulary)


def config(**changes: object) -> LineariseConfig:
    """Settings with small trainings; keys of parts as `align_steps`."""
    settings = LineariseConfig(checkpoint="unused", to="unused", seed=3, cache=ALL)
    settings.training.length, settings.training.batch_size = 16, 2
    settings.training.validation_batches, settings.training.validation_batch_size = 1, 4
    settings.training.device, settings.training.warmup_steps = "cpu", 0
    settings.align.steps = settings.gates.steps = settings.distil.steps = 3
    for key, value in changes.items():
        part, _, name = key.partition("_")
        setattr(getattr(settings, part), name, value)
    settings.training.steps = settings.distil.steps
    return settings


def save_bytes_checkpoint(folder: Path, text: str = "11111-91111-11111-91111") -> Path:
    """A checkpoint of an untrained model of bytes, as `star.train` leaves one."""
    genome, sizes = Genome.from_text(text), ModelConfig(width=16)
    folder.mkdir()
    content = GenomeFile("small", genome, settings={"model": sizes.content()})
    save_checkpoint(folder, model(genome, sizes), content, sizes)
    return folder
