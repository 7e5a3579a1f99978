"""`recall_error`: what it separates, how it counts, and what it refuses."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from star.base.errors import UserError
from star.evaluation.objectives import load_objective
from star.evaluation.objectives.base import Context
from star.evaluation.objectives.recall import RecallError
from star.evaluation.probing import RecallTask, read_task
from star.genomes import Genome
from star.testing.objectives import RECIPE

SOLVES, FORGETS = Genome.from_text("11111-91111"), Genome.from_text("91111-91111")
TINY: dict[str, Any] = {"tasks": ["pairs_2"], "steps": 4, "batch_size": 2, "held_out": 8}


def measured(genome: Genome, **settings: Any) -> dict[str, float]:
    objective = load_objective("recall_error", settings)
    return dict(objective.measure(Context(genome, RECIPE)))


def test_attention_solves_what_a_feed_forward_stack_cannot() -> None:
    objective = RecallError(tasks=["pairs_2"], steps=60, held_out=64)
    (task,) = (read_task(name) for name in objective.tasks)
    solved = list(objective.errors(task, Context(SOLVES, RECIPE)))
    assert solved[0] > solved[-1] < 0.05
    assert min(objective.errors(task, Context(FORGETS, RECIPE))) > 0.9


def test_it_is_the_mean_over_forms_of_the_measurements_during_each_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By hand; a training that is solved early has nothing wrong from there on."""
    found = {
        "pairs_4": [0.8, 0.4],
        "pairs_8": [1.0, 0.9, 0.5],
        "adjacent_8_32": [1.0, 1.0, 0.85],
    }
    monkeypatch.setattr(RecallError, "errors", lambda self, task, context: found[task.name])
    assert measured(SOLVES, tasks=list(found)) == pytest.approx(
        {
            "recall_error_pairs_4": 0.4,
            "recall_error_pairs_8": 0.8,
            "recall_error_adjacent_8_32": 0.95,
            "recall_error": (0.6 + 0.95) / 2,
        }
    )


def test_larger_sizes_are_not_tried_where_a_smaller_one_was_hopeless(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []

    def errors(self: RecallError, task: RecallTask, context: Context) -> list[float]:
        tried.append(task.name)
        return [0.95] * 3

    monkeypatch.setattr(RecallError, "errors", errors)
    found = measured(FORGETS)
    assert tried == ["pairs_4", "adjacent_8_32"]
    assert found["recall_error_pairs_8"] == 1.0
    assert found["recall_error"] == pytest.approx(((0.95 + 1) / 2 + 0.95) / 2)


def test_what_diverges_recalls_nothing() -> None:
    found = measured(SOLVES, **{**TINY, "matrix_learning_rate": 1e3, "learning_rate": 1e3})
    assert found["recall_error"] == 1.0


def test_fewer_steps_than_measurements() -> None:
    objective = RecallError(**{**TINY, "steps": 1})
    assert len(list(objective.errors(read_task("pairs_2"), Context(SOLVES, RECIPE)))) == 3


def test_the_random_state_of_the_caller_is_kept_and_changes_nothing() -> None:
    settings = {**TINY, "steps": 30, "batch_size": 8, "held_out": 64}
    torch.manual_seed(5)
    before = torch.get_rng_state()
    found = measured(SOLVES, **settings)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert measured(SOLVES, **settings) == found and found["recall_error"] < 1


def test_seeds_have_their_own_sequences_and_weights() -> None:
    objective, task = RecallError(**TINY), read_task("pairs_2")
    recipes = [replace(RECIPE, seed=seed) for seed in (0, 1)]
    first, second = (list(objective.errors(task, Context(SOLVES, r))) for r in recipes)
    assert first != second


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tasks": []}, r"tasks=\[\]: expected one or more different tasks, such as \[pairs_8\]"),
        ({"tasks": ["pairs_4", "pairs_4"]}, r"tasks=.*: expected one or more different tasks"),
        ({"tasks": ["chain_4"]}, "tasks: 'chain_4' is unknown; expected pairs_<keys> or adjacent_"),
        ({"tasks": ["adjacent_32_32"]}, "tasks: adjacent_32_32: length=32: expected at least 64"),
        ({"steps": 0}, "steps=0: expected at least 1"),
        ({"held_out": 0}, "held_out=0: expected at least 1"),
        ({"learning_rate": 0.0}, "learning_rate=0.0: expected above 0"),
        ({"step": 5}, "step: unknown; its settings are tasks, steps, batch_size"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=rf"^objectives\.recall_error\.{message}"):
        load_objective("recall_error", settings)
