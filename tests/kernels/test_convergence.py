"""A tiny model trained with the plain definitions and with the fast paths learns the same."""

import numpy as np
import pytest
import torch

from star.data import Corpus
from star.genomes import Genome, ModelConfig
from star.models import decode
from star.training import Trainer, TrainingConfig

STEPS = 50
# Rounding differs by 1e-7 of each number and grows along 50 steps of AdamW; a wrong term shows in
# the first digits.
LARGEST_DIFFERENCE = 2e-3
GENOME = Genome.from_text(
    "5.1.1.1.1-9.1.1.1.1-7.1.1.1.1-1.1.1.1.1-8.1.1.1.1-18.1.1.1.1-20.1.1.1.1-22.1.1.1.1-14.1.1.1.1-2.1.1.1.1",
    "extended",
)


def losses() -> list[float]:
    torch.manual_seed(0)
    text = np.random.default_rng(0).integers(0, 12, 4000).cumsum().astype(np.uint8) % 40
    corpus = Corpus(text, text[:500], "test")
    config = TrainingConfig(steps=STEPS, batch_size=2, length=21, warmup_steps=5, device="cpu")
    trainer = Trainer(decode(GENOME, ModelConfig(width=32, vocabulary=40)), corpus, config, seed=0)
    return [trainer.advance().loss for _ in range(STEPS)]


@pytest.mark.slow
def test_fast_paths_train_like_the_definitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAR_KERNELS", "auto")
    fast = losses()
    monkeypatch.setenv("STAR_KERNELS", "reference")
    plain = losses()
    assert fast[0] - fast[-1] > 0.5
    assert fast != plain  # two paths, not one
    assert max(abs(a - b) for a, b in zip(fast, plain, strict=True)) < LARGEST_DIFFERENCE
