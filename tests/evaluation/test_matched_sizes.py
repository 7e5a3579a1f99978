"""A search whose candidates are of one size, each at a width of its own."""

from dataclasses import replace

import pytest

from star.evaluation import Recipe, evaluate
from star.evaluation.objectives import Measured
from star.evaluation.recipe import SearchModelConfig, recipe_id
from star.genomes import CacheSetting, Genome, GenomeError, ModelConfig, parameter_count
from star.testing.objectives import RECIPE, context

MAMBA, ATTENTION = Genome.from_text("51111-91111"), Genome.from_text("11111-91111")


def recipe(**model: object) -> Recipe:
    sizes = SearchModelConfig(**{"width": 32, "window": 8, **model})  # type: ignore[arg-type]
    return replace(RECIPE, model=sizes, cache=CacheSetting(context=64))


def test_costs_and_trainings_are_at_the_width_that_matches() -> None:
    matched = recipe(match="parameters:20k")
    corpus = context(MAMBA).corpus
    assert corpus is not None
    for genome in (MAMBA, ATTENTION):
        width = matched.of(genome).model.width
        expected = evaluate(genome, recipe(width=width), corpus)
        found = evaluate(genome, matched, corpus)
        assert width in (32, 48) and found.metrics == expected.metrics
        count = parameter_count(genome, ModelConfig(width=width)).non_embedding
        assert found.metrics["parameters"] == count == pytest.approx(20_000, rel=0.5)


def test_candidates_without_such_a_size_are_infeasible() -> None:
    corpus = context(MAMBA).corpus
    assert corpus is not None
    found = evaluate(Genome.from_text("91111"), recipe(match="state:4096"), corpus)
    assert found.failure == "invalid" and "91111 has no state" in found.reason


def test_growing_caches_are_counted_at_the_context_of_the_cache() -> None:
    sizes = recipe(match="state:8192").of(ATTENTION).model
    assert sizes.width == 64  # 2 x 64 positions x width


def test_a_match_is_part_of_the_key_only_while_it_is_in_use() -> None:
    plain = recipe().content("text", Measured.of([]).content())
    assert "match" not in plain["model"]
    ids = {recipe_id(recipe(match=m).content("text", {})) for m in (None, "state:4k", "state:8k")}
    assert len(ids) == 3


def test_match_and_search_width_exclude_each_other() -> None:
    with pytest.raises(GenomeError, match="model.match=state:4096: not together with"):
        SearchModelConfig(match="state:4096", search_width=32).check()
    with pytest.raises(GenomeError, match="model.match=4096: expected state:<elements>"):
        SearchModelConfig(match="4096").check()
