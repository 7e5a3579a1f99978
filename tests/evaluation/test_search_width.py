"""Candidates trained narrower than the width that their costs are counted at."""

from dataclasses import replace

import numpy as np
import pytest

from star.data import Corpus, DataConfig
from star.evaluation import Evaluation, Recipe
from star.evaluation.evaluate import evaluate
from star.evaluation.ledger import recipe_id
from star.evaluation.recipe import SearchModelConfig
from star.genomes import CacheSetting, Genome, GenomeError
from star.training import TrainingConfig

TRAINING = TrainingConfig(steps=3, batch_size=2, length=16, device="cpu", validation_batches=2)
QUALITY, COSTS = ("validation_loss", "bits_per_byte", "perplexity"), ("parameters", "cache_bytes")


def recipe(**sizes: int | None) -> Recipe:
    model = SearchModelConfig(window=8, **sizes)  # type: ignore[arg-type]
    return Recipe(model, CacheSetting(), TRAINING, DataConfig(), seed=0)


def measure(**sizes: int | None) -> Evaluation:
    text = np.frombuffer(b"the quick brown fox jumps over the lazy dog. " * 40, dtype=np.uint8)
    return evaluate(
        Genome.from_text("31111-51111-91111"), recipe(**sizes), Corpus(text, text, "test")
    )


def test_losses_are_those_of_the_search_width_and_costs_those_of_the_width() -> None:
    reduced, narrow, wide = measure(width=64, search_width=32), measure(width=32), measure(width=64)
    assert all(
        reduced.metrics[name] == narrow.metrics[name] != wide.metrics[name] for name in QUALITY
    )
    assert all(
        reduced.metrics[name] == wide.metrics[name] != narrow.metrics[name] for name in COSTS
    )


def test_it_is_the_width_without_another() -> None:
    assert (
        measure(width=32, search_width=32).metrics == measure(width=32, search_width=None).metrics
    )


def test_only_the_width_differs_between_the_two_sizes() -> None:
    model = SearchModelConfig(
        width=64, search_width=32, vocabulary=40, window=7, tie_embeddings=False, rope_base=5.0
    )
    sizes = vars(replace(model, width=32))
    del sizes["search_width"], sizes["match"]
    assert vars(model.when_trained()) == sizes


def test_it_makes_another_recipe() -> None:
    contents = [
        recipe(width=64, search_width=width).content("text", {}) for width in (None, 32, 48)
    ]
    assert len({recipe_id(content) for content in contents}) == 3


@pytest.mark.parametrize("width", [0, 40, 320 + 16])
def test_a_width_that_cannot_be_built_is_refused(width: int) -> None:
    with pytest.raises(GenomeError, match=f"model.search_width={width}: expected a multiple of 16"):
        SearchModelConfig(search_width=width).check()


def test_a_genome_that_fits_only_one_of_the_widths_is_infeasible() -> None:
    assert measure(width=64, search_width=320).reason.startswith(
        "invalid: a model width of 320 gives 5 heads"
    )
