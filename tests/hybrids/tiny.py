"""Small hybrids of fresh and of trained components, shared by the tests of the search."""

from functools import cache

import numpy as np
import torch

from star.data import Corpus
from star.genomes import Genome, ModelConfig
from star.genomes.hybrids import GenomeComponent, Hybrid
from star.models import LanguageModel, decode
from star.models.hybrid import HybridModel
from star.training import Trainer, TrainingConfig

FIRST, SECOND = "31111-91111-31111-91111", "51111-91111-71111"


def corpus(tokens: int = 6000, period: int = 7) -> Corpus:
    """Text that comes again and again, which is soon learnt."""
    text = (np.arange(tokens) % period * 3 + 65).astype(np.uint8)
    return Corpus(text, text[:2000], "made up")


def training(**changes: object) -> TrainingConfig:
    usual = {"steps": 20, "batch_size": 4, "length": 12, "device": "cpu", "warmup_steps": 1}
    return TrainingConfig(**{**usual, **changes})  # type: ignore[arg-type]


def component(text: str, name: str, width: int = 16, **sizes: object) -> GenomeComponent:
    genome = Genome.from_text(text).canonical()
    config = ModelConfig(width=width, window=8, **sizes)  # type: ignore[arg-type]
    return GenomeComponent(name, "0" * 16, genome, config)


def hybrid(**changes: object) -> Hybrid:
    """Attention at width 16 beside recurrence and convolution at width 32."""
    own = (component(FIRST, "attention"), component(SECOND, "recurrence", 32))
    usual = {"name": "tiny", "components": own, "blocks": 2}
    return Hybrid(**{**usual, **changes})  # type: ignore[arg-type]


def alike(**changes: object) -> Hybrid:
    """Attention twice, at widths 16 and 32, which is faster."""
    return hybrid(components=(component(FIRST, "narrow"), component(FIRST, "wide", 32)), **changes)


def uniform_model(one: Hybrid, seed: int = 0) -> HybridModel:
    count = len(one.components)
    torch.manual_seed(seed)
    return HybridModel(one, [[1 / count] * count] * one.blocks)


def fresh(one: GenomeComponent, seed: int = 0) -> LanguageModel:
    torch.manual_seed(seed)
    return decode(one.genome, one.sizes)


@cache
def trained(text: str, steps: int = 40) -> LanguageModel:
    """One of width 16 that has learnt the text."""
    model = fresh(component(text, "trained"))
    trainer = Trainer(model, corpus(), training(steps=steps, learning_rate=1e-2), 1)
    for _ in range(steps):
        trainer.advance()
    return model
