"""Keys of recipes: what was paid for stays found, and what can change a result changes the key."""

from dataclasses import replace
from typing import Any

import pytest

from star.base.command_line import compose_config
from star.base.errors import UserError
from star.data import DataConfig
from star.evaluation.ledger import recipe_id
from star.evaluation.recipe import without_state_dtype
from star.genomes import CacheSetting, ModelConfig
from star.search.recipe import make_recipe
from star.training import TrainingConfig
from tests.search.made_up import RECIPE

FINGERPRINT = "f00d"
STATIC = "tests.search.objectives:Attention"
TRAINED = "tests.search.objectives:Margin"


def content_of(*overrides: str) -> dict[str, Any]:
    """The recipe of a search as the ledger keeps it."""
    given = ("scale=cpu", "search.objectives=[validation_loss]", *overrides)
    measured, recipe = make_recipe(compose_config("evolve", given))
    return recipe.content(FINGERPRINT, measured.content())


def key_of(*overrides: str) -> str:
    return recipe_id(content_of(*overrides))


def test_keys_are_those_of_the_first_version() -> None:
    """As commit c0a5284 computed them: ledgers that are there already go on answering."""
    counted = "cache.state_dtype=bfloat16"  # as then, and so were the settings of scale=cpu
    former = ("training.steps=80", "training.length=128", "training.validation_batches=8")
    assert key_of(counted, *former) == "7933869d58bc734c"
    tabular = ("+experiment=tabular", "search.objectives=[validation_loss,cache_bytes]")
    assert key_of(*tabular, counted) == "b1e8e8641ef95a3c"
    assert recipe_id({**content_of(counted, *former), "rung": 2}) == "7d9c41a38bff6a92"


@pytest.mark.slow
def test_an_objective_that_is_not_in_use_and_a_static_one_change_no_key() -> None:
    assert key_of(f"search.also_measure=['{STATIC}']") == key_of()
    assert key_of(f"search.objectives=[validation_loss,'{STATIC}']") == key_of()
    assert key_of("search.objectives=[cache_bytes,perplexity]") == key_of()
    assert key_of("constraints.cache_bytes=4MB") == key_of()


def test_a_trained_objective_in_use_changes_the_key_and_so_do_its_settings() -> None:
    used = f"search.also_measure=['{TRAINED}']"
    keys = [
        key_of(),
        key_of(used),
        key_of(used, "objectives.margin.below=4"),
    ]
    assert len(set(keys)) == 3
    assert key_of(f"search.objectives=['{TRAINED}']") == keys[1]  # measured all the same
    assert key_of(used, "objectives.margin.below=5.0") == keys[1]  # the default
    content = content_of(used)["objectives"]["margin"]
    assert len(content.pop("source")) == 16  # of the file that it is written in
    assert content == {"objective": TRAINED, "below": 5.0}


def test_recipes_differ_by_everything_that_can_change_a_result() -> None:
    content = RECIPE.content(FINGERPRINT, {})
    others = [
        replace(RECIPE, model=ModelConfig(width=128)),
        replace(RECIPE, cache=CacheSetting(context=8)),
        replace(RECIPE, training=TrainingConfig(steps=7)),
    ]
    contents = [content, *(other.content(FINGERPRINT, {}) for other in others)]
    contents += [RECIPE.content("beef", {}), {**content, "evaluation_version": -1}]
    assert len({recipe_id(one) for one in contents}) == 6


@pytest.mark.slow
def test_settings_of_an_optimiser_enter_the_key_while_it_is_in_use() -> None:
    rates = ("training.matrix_learning_rate=0.01", "training.matrix_learning_rate=0.02")
    assert key_of(*rates[:1]) == key_of() == key_of("training.optimizer=adamw")
    keys = {key_of("training.optimizer=muon", rate) for rate in rates}
    assert len(keys | {key_of()}) == 3 and key_of("training.optimizer=muon") in keys


def test_the_place_of_the_text_and_the_seed_are_no_part_of_the_key() -> None:
    moved = replace(RECIPE, data=DataConfig("files", "/elsewhere"), seed=4)
    keys = [recipe_id(recipe.content(FINGERPRINT, {})) for recipe in (RECIPE, moved)]
    assert keys[0] == keys[1]


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_that_no_generator_takes_is_refused(seed: int) -> None:
    with pytest.raises(UserError, match=f"seed={seed}: expected a whole number from 0 to"):
        replace(RECIPE, seed=seed).check()


def test_wider_states_are_another_recipe_beside_the_one_of_before() -> None:
    counted = content_of("cache.state_dtype=bfloat16")
    assert counted != content_of() and content_of()["cache"]["state_dtype"] == "float32"
    assert without_state_dtype(content_of()) == counted == without_state_dtype(counted)
