"""Objectives of a user's own in a search: columns, directions, settings, the ledger."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from star.base.command_line import compose_config
from star.base.errors import UserError
from star.evaluation import Evaluation
from star.evaluation.executors import Task
from star.runs.run import Run
from star.search import EvolveConfig, Search, SearchConfig
from tests.search.made_up import MadeUp, hashed

HERE = "tests.search.objectives"
ATTENTION, VARIETY, MARGIN = (f"{HERE}:{name}" for name in ("Attention", "Variety", "Margin"))


def make(
    minimised: list[str], folder: Path | None = None, also_measure: list[str] | None = None,
    executor: Any = None, **settings: Any,
) -> Search:  # fmt: skip
    """A small search with made-up losses.

    Args:
        minimised: objectives of the search.
        folder: of the run.
        also_measure: further ones.
        executor: of made-up results.
        settings: others of the configuration.
    """
    search = SearchConfig(
        objectives=minimised,
        also_measure=also_measure or [],
        population=8,
        generations=3,
        baselines=["transformer_pp"],
    )
    config = EvolveConfig(depth=4, search=search, **settings)
    config.run_dir = None if folder is None else str(folder)
    return Search.from_config(config, executor or measuring(config))


def measuring(config: EvolveConfig) -> MadeUp:
    """Made-up losses, beside what static objectives and the margin would be."""

    def measure(task: Task) -> Evaluation:
        found = hashed(task)
        classes = task.genome.classes()
        metrics = dict(found.metrics)
        if found.measured:
            metrics["attention"] = sum(liv_class.name.startswith("SA") for liv_class in classes)
            metrics["variety"] = len({liv_class.id for liv_class in classes})
            metrics["margin"] = 5.0 - metrics["validation_loss"]
        return Evaluation(found.status, found.reason, metrics, 0.1)

    return MadeUp(measure)


def metrics_in_ledger(run: Run) -> list[dict[str, float]]:
    """Of every measured evaluation."""
    connection = sqlite3.connect(run.ledger_path)
    found = connection.execute("SELECT metrics FROM evaluation WHERE status = 'ok'").fetchall()
    connection.close()
    return [json.loads(metrics) for (metrics,) in found]


def test_it_is_a_column_behind_those_measured_always(tmp_path: Path) -> None:
    run = make(["validation_loss", ATTENTION], tmp_path).run()
    assert run.metrics == (
        *("validation_loss", "bits_per_byte", "perplexity", "repeat_loss", "late_loss"),
        *("parameters", "cache_bytes", "attention"),
    )
    measured = run.population[run.population["status"] == "ok"]
    for genome_id, attention in zip(measured["genome_id"], measured["attention"], strict=True):
        classes = run.genome(genome_id).classes()
        assert attention == sum(liv_class.name.startswith("SA") for liv_class in classes)


def test_the_front_is_in_order_of_a_static_one_whichever_way_it_goes(tmp_path: Path) -> None:
    fewest = make(["validation_loss", ATTENTION], tmp_path / "fewest").run().front
    assert len(fewest) > 1
    assert fewest["attention"].is_monotonic_increasing
    assert fewest["validation_loss"].is_monotonic_decreasing
    most = make(["validation_loss", VARIETY], tmp_path / "most").run().front
    assert len(most) > 1
    assert most["variety"].is_monotonic_decreasing
    assert most["validation_loss"].is_monotonic_decreasing


def test_a_maximised_one_is_maximised(tmp_path: Path) -> None:
    """The margin is the loss below 5, so that the search for more of it is that for less loss."""
    most = make([MARGIN, "cache_bytes"], tmp_path / "most").run()
    least = make(["validation_loss", "cache_bytes"], tmp_path / "least").run()
    assert list(most.population["genome_id"]) == list(least.population["genome_id"])
    assert list(most.population["rank"].dropna()) == list(least.population["rank"].dropna())
    assert list(most.front["genome_id"]) == list(least.front["genome_id"])
    best = most.population["margin"].max()
    assert best in set(most.front["margin"]) and best > most.population["margin"].min()


def test_it_is_measured_for_the_record_without_being_minimised(tmp_path: Path) -> None:
    plain = make(["validation_loss", "cache_bytes"], tmp_path / "plain").run()
    with_more = make(["validation_loss", "cache_bytes"], tmp_path / "more", [ATTENTION]).run()
    assert "attention" in with_more.metrics and "attention" not in plain.metrics
    columns = [name for name in with_more.population.columns if name != "attention"]
    pd.testing.assert_frame_equal(with_more.population[columns], plain.population)
    assert (
        with_more.population["attention"].notna().sum()
        == (with_more.population["status"] == "ok").sum()
    )
    assert list(with_more.front["genome_id"]) == list(plain.front["genome_id"])


def test_a_static_one_is_completed_for_what_the_ledger_knows_already(tmp_path: Path) -> None:
    """It is no part of the recipe, so that rows of before answer, which lack it."""
    shared = str(tmp_path / "shared.sqlite")
    objectives = ["validation_loss", "cache_bytes"]
    first = make(objectives, tmp_path / "first", executor=MadeUp(), ledger=shared)
    first.run()
    executor = MadeUp()
    second = make(
        objectives, tmp_path / "second", [ATTENTION, VARIETY], executor=executor, ledger=shared
    )
    run = second.run()
    assert not executor.asked
    measured = run.population[run.population["status"] == "ok"]
    assert measured["attention"].notna().all() and measured["variety"].min() >= 1
    (some, *_) = measured["genome_id"]
    expected = sum(c.name.startswith("SA") for c in run.genome(some).classes())
    assert run.candidate(some).metrics["attention"] == expected


def test_a_trained_one_is_measured_anew_for_what_the_ledger_knows_without_it(
    tmp_path: Path,
) -> None:
    shared = str(tmp_path / "shared.sqlite")
    objectives = ["validation_loss", "cache_bytes"]
    make(objectives, tmp_path / "first", ledger=shared).run()
    second = make(objectives, tmp_path / "second", [MARGIN], ledger=shared)
    run = second.run()
    assert isinstance(second.executor, MadeUp)
    assert len(second.executor.asked) == len(run.population)
    again = make(objectives, tmp_path / "third", [MARGIN], ledger=shared)
    again.run()
    assert isinstance(again.executor, MadeUp) and not again.executor.asked


def test_a_trained_one_may_be_a_constraint_which_is_the_least_value_of_a_maximised_one() -> None:
    search = make([MARGIN], constraints={"margin": "2.5"})
    for _ in search.generations():
        pass
    offspring = [e for e in search.archive.all if e.candidate.origin != "baseline"]
    over = [e for e in offspring if e.evaluation.failure == "over_budget"]
    assert over and all(e.evaluation.metrics["margin"] < 2.5 for e in over)
    assert all(" below 2.5" in e.evaluation.reason for e in over)
    kept = [e for e in offspring if e.evaluation.feasible]
    assert kept and all(e.evaluation.metrics["margin"] >= 2.5 for e in kept)


def test_settings_reach_it_and_come_from_the_command_line() -> None:
    overrides = [f"search.objectives=['{MARGIN}']", "objectives.margin.below=2.5"]
    config = compose_config("evolve", ["+experiment=smoke", "scale=cpu", *overrides])
    search = Search.from_config(config, MadeUp())
    (objective,) = search.archive.objectives
    assert vars(objective) == {"below": 2.5} and objective.sign == -1
    assert search.settings()["objectives"] == {"margin": {"below": 2.5}}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["nowhere:Depth"], "search.objectives=nowhere: cannot be imported (ModuleNotFound"),
        ([f"{HERE}:Depth"], f"search.objectives={HERE}:Depth: {HERE} has no 'Depth'"),
        ([f"{HERE}:NOT_AN_OBJECTIVE"], "expected a subclass of Objective"),
        ([f"{HERE}:Nameless"], "its name is ''; set `name` to a word"),
        ([f"{HERE}:Taken"], ", which another column has; choose another"),
        ([f"{HERE}:Misplaced"], "cost is 'cheap', expected STATIC, TRAINED or OWN"),
        ([ATTENTION, ATTENTION], "expected one or more different names"),
    ],
)
def test_one_that_cannot_be_used_is_named(given: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        make(given)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"margin": {"above": 3}}, "objectives.margin.above: unknown; its settings are below"),
        ({"margin": 3}, "objectives.margin=3: expected its settings by name"),
        ({"margin": None}, "objectives.margin=None: expected its settings by name"),
        ({"attention": {}}, "objectives.attention: no objective in use has settings of that name"),
    ],
)
def test_settings_that_it_does_not_take_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        make([MARGIN], objectives=settings)
    assert message in str(caught.value)


@pytest.mark.parametrize("constraints", [{}, {"untrue": 3}])
def test_a_static_one_that_raises_makes_candidates_infeasible_and_no_search_fail(
    tmp_path: Path, constraints: dict[str, Any]
) -> None:
    """Whether its constraint asks for it, or the completion of what the ledger knows."""
    shared = str(tmp_path / "shared.sqlite")
    make(["validation_loss"], tmp_path / "first", ledger=shared).run()
    search = make(
        ["validation_loss"],
        tmp_path / "second",
        [f"{HERE}:Untrue"],
        constraints=constraints,
        ledger=shared,
    )
    search.run()
    reasons = {e.evaluation.reason for e in search.archive.all if e.evaluation.reason}
    expected = "build_error: a static objective has no trained model; declare its cost as TRAINED"
    assert expected in reasons and len(reasons) <= 2  # and those that diverge
    known = [e for e in search.archive.feasible if e.candidate.generation == 0]
    assert not known  # later generations are others
