"""MAD's score as an objective."""

from dataclasses import replace

import pytest

from star.base.errors import UserError
from star.evaluation.mad import PRESETS, Run, summarise, train
from star.evaluation.objectives import OWN, Measured, load_objective
from star.evaluation.recipe import SearchModelConfig
from star.testing.objectives import GENOMES, RECIPE, context

TASKS, STEPS = ["memorization", "compression"], 2


def test_it_is_the_mean_over_tasks_and_tells_each() -> None:
    objective = load_objective("mad_score", {"tasks": TASKS, "steps": STEPS, "seeds": [0, 3]})
    found = objective.measure(context(GENOMES[1], OWN))
    quick = replace(PRESETS["quick"].narrowed(TASKS), steps=STEPS)
    runs = [Run(setting, 3e-3, 0.1, seed) for setting in quick.settings for seed in (0, 3)]
    expected = summarise(train(GENOMES[1], run, quick, RECIPE.trained_model) for run in runs)
    assert set(found) == {"mad_score", "mad_memorization", "mad_compression"}
    assert found["mad_compression"] == expected.tasks["compression"].accuracy
    assert found["mad_score"] == expected.mean
    assert objective.maximised and objective.format(0.5125) == "51.2%"


def test_it_trains_at_the_width_of_the_search() -> None:
    """Costs are counted at a width that it would take long to train."""
    objective = load_objective("mad_score", {"tasks": ["memorization"], "steps": 1})
    given = context(GENOMES[1], OWN)
    wide = replace(given.recipe, model=SearchModelConfig(width=4096, search_width=32, window=8))
    assert objective.measure(replace(given, recipe=wide)) == objective.measure(given)


def test_its_settings_are_part_of_the_recipe_as_defaults_too() -> None:
    content = Measured.of(["mad_score"]).content()["mad_score"]
    assert content["objective"] == "mad_score" and content["version"] == 1
    assert (content["preset"], content["tasks"], content["seeds"]) == ("quick", [], [0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preset": "x"}, "objectives.mad_score.preset=x: expected one of quick, baseline, full"),
        ({"tasks": ["x"]}, "objectives.mad_score.tasks=x: expected one of compression"),
        ({"steps": 0}, "objectives.mad_score.steps=0: expected at least 1"),
        ({"seeds": []}, "objectives.mad_score.seeds=.*: expected one seed or more"),
        ({"learning_rates": [0.0]}, "objectives.mad_score.learning_rates=.*: expected numbers, ea"),
        ({"stepz": 1}, "objectives.mad_score.stepz: unknown; its settings are preset, tasks"),
    ],
)
def test_settings_that_cannot_be_used(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_objective("mad_score", settings)
