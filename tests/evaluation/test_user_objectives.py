"""Mistakes in objectives of users: one line, or a candidate that ends with its reason."""

from typing import Any

import pytest

from star.base.errors import UserError
from star.evaluation import Measured, Recipe
from star.evaluation.evaluate import evaluate
from star.evaluation.objectives import load_objective
from star.evaluation.objectives.registry import DEVIATION, LEARNING_RATE, RESERVED
from star.genomes import Genome
from star.runs.columns import AFTER, BEFORE
from star.runs.validated import COLUMN
from star.testing.objectives import RECIPE, context

HERE = "tests.evaluation.objectives_of_users"
GENOME = Genome.from_text("91111-91111")


def test_names_of_other_columns_are_those_of_the_csv() -> None:
    assert {*BEFORE, *AFTER, COLUMN, LEARNING_RATE, DEVIATION} == RESERVED


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Nameless", "its name is ''; set `name` to a word"),
        ("Spaced", "its name is 'my error'; set `name` to a word"),
        ("Rank", "its name is 'rank', which another column has"),
        ("Expensive", "cost is 'dear', expected STATIC"),
        ("Unbounded", r"bounds is \(0.0,\), expected two numbers such as \(0, 1\)"),
        ("Reversed", r"bounds is \(1.0, 0.0\), expected two numbers such as \(0, 1\)"),
        ("NoUnit", "unit is None, expected a text such as 'bytes'"),
        ("Context", "expected a subclass of Objective"),
        ("Nothing", "has no 'Nothing'"),
    ],
)
def test_a_class_that_is_none(name: str, message: str) -> None:
    with pytest.raises(UserError, match=f"search.objectives={HERE}:{name}: .*{message}"):
        load_objective(f"{HERE}:{name}")


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("Static", {"steps": 3}, "it has no settings; a @dataclass has its fields"),
        ("Settable", {"step": 3}, r"objectives.wrong.step: unknown; its settings are steps, share"),
        ("Settable", {"steps": "abc"}, "Value 'abc' .* could not be converted to Integer"),
    ],
)
def test_settings_that_do_not_fit(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_objective(f"{HERE}:{name}", settings)
    assert load_objective(f"{HERE}:Settable", {"share": 1}).settings() == {"steps": 3, "share": 1.0}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Text", "objective wrong gave 'many', expected a number"),
        ("OtherKey", "objective wrong gave {'other': 1.0}, expected {'wrong': number}"),
        ("NoMapping", "objective wrong gave 3.0, expected {'wrong': number}"),
    ],
)
def test_what_is_no_number_ends_the_candidate_with_the_reason(name: str, message: str) -> None:
    recipe = Recipe(**{**vars(RECIPE), "objectives": (f"{HERE}:{name}",)})
    corpus = context(GENOME).corpus
    assert corpus is not None
    evaluation = evaluate(GENOME, recipe, corpus)
    assert evaluation.status == "infeasible" and evaluation.reason == f"build_error: {message}"


def test_numbers_of_other_kinds_become_floats() -> None:
    recipe = Recipe(**{**vars(RECIPE), "objectives": (f"{HERE}:Tensor",)})
    found = Measured.of(recipe.objectives).measure_static(GENOME, recipe)
    assert found["wrong"] == 2.5 and type(found["wrong"]) is float


@pytest.mark.parametrize("name", ["BadFormat", "RaisingFormat"])
def test_a_format_that_fails_does_not_end_a_table(name: str) -> None:
    assert load_objective(f"{HERE}:{name}").shown(1234.5) == "1,234"


def test_a_change_of_the_file_is_another_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = "tests.evaluation.objectives_of_users:Trained"
    import tests.evaluation.objectives_of_users as users

    trained = type("Trained", (users.Settable,), {"cost": "trained", "__module__": HERE})
    monkeypatch.setattr(users, "Trained", trained, raising=False)
    before = Measured.of([reference]).content()
    monkeypatch.setattr("star.evaluation.objectives.registry.source_digest", lambda kind: "edited")
    after = Measured.of([reference]).content()
    assert (
        before["wrong"].keys() == after["wrong"].keys() == {"objective", "source", "steps", "share"}
    )
    assert len(before["wrong"]["source"]) == 16 and before != after
