"""What every objective must be: named, measured in finite numbers that come again, and plain data.

    from star.testing.objectives import ObjectiveSuite

    class TestMine(ObjectiveSuite):
        def make(self):
            return Mine()

pytest then runs the tests of `ObjectiveSuite` on it.
"""

import json
import math
import pickle
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch

from star.base.imports import import_object
from star.data import Corpus, DataConfig
from star.evaluation import Context, Objective, Recipe
from star.evaluation.objectives import OWN, STATIC, TRAINED
from star.genomes import CacheSetting, Genome, ModelConfig
from star.models import decode
from star.training import Trainer, TrainingConfig, train_further


class ObjectiveSuite:
    """Override `make`; and `recipe` for an objective that needs other sizes."""

    genomes: ClassVar[Sequence[str]] = ("11111-91111", "81111-91111-51111")

    def make(self) -> Objective:
        """The objective under test."""
        raise NotImplementedError

    def recipe(self) -> Recipe:
        """How candidates are trained before they are measured."""
        training = TrainingConfig(
            steps=3, batch_size=2, length=32, device="cpu", validation_batches=2
        )
        return Recipe(ModelConfig(width=32), CacheSetting(), training, DataConfig(), seed=0)

    def measure(self, text: str) -> dict[str, float]:
        """What the objective finds for a genome, by a training of its own."""
        objective, recipe, genome = self.make(), self.recipe(), Genome.from_text(text)
        if objective.cost == STATIC:
            return dict(objective.measure(Context(genome, recipe)))
        torch.manual_seed(recipe.seed)
        corpus = made_up_corpus()
        model = decode(genome, recipe.trained_model)
        trainer = Trainer(model, corpus, recipe.training, recipe.seed)
        train_further(trainer, recipe.training.steps, None)
        return dict(objective.measure(Context(genome, recipe, corpus, model)))

    def test_it_says_what_it_is(self) -> None:
        """Its name is a column of CSVs and a key of constraints."""
        objective = self.make()
        assert objective.name.isidentifier()
        assert objective.cost in (STATIC, TRAINED, OWN)
        assert objective.heading and objective.format(1.0)
        assert objective.sign == (-1 if objective.maximised else 1)

    def test_values_are_finite_and_the_same_twice(self) -> None:
        """Static ones without a model; none of them changes what another measures after it."""
        for text in self.genomes:
            first, again = self.measure(text), self.measure(text)
            assert self.make().name in first
            assert all(math.isfinite(value) for value in first.values()), first
            assert first == again

    def test_it_is_plain_data(self) -> None:
        """Settings are part of the ledger's key; workers find the class by its import path."""
        objective = self.make()
        settings, kind = objective.settings(), type(objective)
        assert json.loads(json.dumps(settings)) == settings
        assert kind(**settings).settings() == settings
        assert import_object("objective", f"{kind.__module__}:{kind.__qualname__}") is kind
        sent: Mapping[str, object] = pickle.loads(pickle.dumps(objective)).settings()
        assert sent == settings


def made_up_corpus() -> Corpus:
    """A text with some order in it, of 4,000 bytes for training and as many held out."""
    words = np.random.default_rng(0).integers(97, 123, size=(50, 8), dtype=np.uint8)
    order = np.random.default_rng(1).integers(0, 50, size=(2, 500))
    train, held_out = words[order].reshape(2, -1)
    return Corpus(train, held_out, "made up")
