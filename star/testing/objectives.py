"""What every objective must do: measure finite numbers under its name, the same ones every time.

    from star.testing.objectives import ObjectiveSuite

    class TestMine(ObjectiveSuite):
        reference = "my_package.objectives:Mine"

pytest then runs the tests of `ObjectiveSuite` on it.
"""

import gc
import json
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch

from star.data import Corpus, DataConfig
from star.evaluation import Context, Measured, Objective, Recipe
from star.evaluation.objectives import OBJECTIVES, OWN, STATIC, TRAINED, load_objective
from star.genomes import CacheSetting, Genome, ModelConfig
from star.models import decode
from star.training import TrainingConfig

TRAINING = TrainingConfig(steps=2, length=64, validation_batches=2, validation_batch_size=8)
SIZES = ModelConfig(width=32, window=8)
RECIPE = Recipe(SIZES, CacheSetting(context=64), TRAINING, DataConfig(), seed=0)
GENOMES = tuple(
    Genome.from_text(text).canonical()
    for text in ("91111-91111", "11111-91111", "71112-31111-71112-91111", "51111-81111-91111")
)


@lru_cache(maxsize=1)
def _corpus() -> Corpus:
    """Sixteen kilobytes that no file holds."""
    text = np.frombuffer(b"to be, or not to be: that is the question. " * 400, dtype=np.uint8)
    return Corpus(text, text[:4096], "made up")


def context(genome: Genome, cost: str = TRAINED) -> Context:
    """What an objective of a cost class is given for a genome: only those of the trained candidate
    get a model, and static ones no corpus."""
    if cost == STATIC:
        return Context(genome, RECIPE)
    if cost == OWN:
        return Context(genome, RECIPE, _corpus())
    torch.manual_seed(0)
    return Context(genome, RECIPE, _corpus(), decode(genome, SIZES))


class ObjectiveSuite:
    """Derive from it, set `reference`, and `given` where the objective needs settings."""

    reference: ClassVar[str]
    given: ClassVar[Mapping[str, Any]] = {}

    @property
    def objective(self) -> Objective:
        """The objective under test, made anew."""
        return load_objective(self.reference, self.given)

    def measured(self, genome: Genome) -> Mapping[str, float]:
        """What it measures of a genome."""
        return self.objective.measure(context(genome, self.objective.cost))

    def test_it_measures_finite_numbers_under_its_name(self) -> None:
        """And what comes with it are numbers too."""
        for genome in GENOMES:
            found = self.measured(genome)
            assert self.objective.name in found
            for name, value in found.items():
                assert math.isfinite(float(value)), f"{name} of {genome} is {value}"
            least, most = self.objective.bounds
            assert least <= found[self.objective.name] <= most

    def test_it_measures_the_same_twice(self) -> None:
        """Whatever torch's generator was before: a ledger answers for every later run.

        Of one that is not `repeatable`, a timing, only the names are the same.
        """
        for genome in GENOMES:
            first = dict(self.measured(genome))
            torch.manual_seed(12345)
            again = dict(self.measured(genome))
            assert again == first if self.objective.repeatable else again.keys() == first.keys()

    def test_it_leaves_the_process_as_it_was(self) -> None:
        """Threads and garbage collection, which later candidates have too."""
        expected = torch.get_num_threads(), gc.isenabled()
        self.measured(GENOMES[0])
        assert (torch.get_num_threads(), gc.isenabled()) == expected

    def test_equal_architectures_measure_the_same(self) -> None:
        """A static objective must not look at sharing genes that are inert."""
        if self.objective.cost == STATIC:
            inert = Genome.from_text("71221-31212-91111")
            other = Genome.from_text("71111-31111-91111")
            assert inert.id == other.id
            assert self.measured(inert) == self.measured(other)

    def test_its_settings_are_plain_data_and_make_it_again(self) -> None:
        """They are part of a recipe, and of what is sent to other processes."""
        settings = self.objective.settings()
        assert json.loads(json.dumps(settings)) == settings
        assert load_objective(self.reference, settings).settings() == settings

    def test_its_words_fit_into_tables(self) -> None:
        """Heading and values are one short line."""
        objective = self.objective
        assert objective.name.isidentifier() and 0 < len(objective.heading) <= 16
        for genome in GENOMES:
            text = objective.format(self.measured(genome)[objective.name])
            assert 0 < len(text) <= 16 and "\n" not in text

    def test_it_takes_part_in_a_recipe_only_while_it_is_in_use(self) -> None:
        """So that it changes no key of a ledger that exists; a static one changes none at all."""
        settings = {self.objective.name: dict(self.given)} if self.given else {}
        content = Measured.of([self.reference], settings).content()
        in_key = self.objective.cost != STATIC and self.reference not in OBJECTIVES
        assert (self.objective.name in content) == in_key
        assert Measured.of([]).content() == {}
