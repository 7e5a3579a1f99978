"""A validation in its folder: what is trained, what is kept, what is refused."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from star.base.command_line import compose_config
from star.base.errors import UserError
from star.evaluation import Evaluation, EvaluationConfig
from star.evaluation.executors import Task
from star.evaluation.ledger import Ledger
from star.runs.claim import locked_folder
from star.runs.run import Run
from star.training import TrainingConfig
from star.validating import Validation
from star.validating.config import FIRST_SEED, fresh_seeds
from tests.evaluation.harness.toy import CHOICE, shared_tasks
from tests.search.made_up import MadeUp
from tests.validating.conftest import STEPS, trained

Make = Callable[..., Validation]
Searched = Callable[..., Run]


def asked(validation: Validation) -> list[Task]:
    assert isinstance(validation.executor, MadeUp)
    return validation.executor.asked


def test_every_design_is_trained_longer_with_seeds_that_the_search_did_not_use(
    searched: Searched, validation: Make
) -> None:
    run, made = searched(), validation(seeds=2)
    made.run()
    assert {task.steps for task in asked(made)} == {2 * STEPS}
    assert {task.seed for task in asked(made)} == {3 + FIRST_SEED, 4 + FIRST_SEED}
    designs = [design.genome_id for design in made.designs]
    assert [task.genome.id for task in asked(made)] == 2 * designs
    assert set(designs) >= {*run.front["genome_id"]}


def test_held_out_windows_are_none_of_the_searchs(searched: Searched, validation: Make) -> None:
    searched()
    recipe = validation().recipe
    training = recipe.training
    windows = training.validation_batches * training.validation_batch_size
    assert recipe.data.apart_from == [windows, training.length]
    assert recipe.content("f00d", {})["data"]["apart_from"] == [windows, training.length]
    # Other windows here: what is avoided are those of the search all the same.
    other = validation(validation_batches=3, length=64).recipe
    assert other.data.apart_from == recipe.data.apart_from


def test_windows_to_choose_by_are_avoided_too_and_longer_ones_counted_as_they_are(
    searched: Searched, validation: Make
) -> None:
    """And several seeds of the search's own are single trainings here."""
    training = TrainingConfig(learning_rates=[1e-3, 2e-3], validation_length=200)
    searched(whole={"training": training, "evaluation": EvaluationConfig(seeds=2)})
    recipe = validation(learning_rates=[1e-3, 2e-3]).recipe
    windows = training.validation_batches * training.validation_batch_size
    assert recipe.data.apart_from == 2 * [windows, 200]
    assert recipe.evaluation.seeds == 1 and recipe.training.learning_rates == [1e-3, 2e-3]


def test_seeds_are_new_also_at_the_end_of_what_generators_take() -> None:
    assert fresh_seeds(0, 2) == [10_000, 10_001]
    last = 2**63 - 1
    assert fresh_seeds(last, 2) == [last - 10_002, last - 10_001]


def test_an_interrupted_validation_goes_on_and_trains_nothing_twice(
    searched: Searched, validation: Make, tmp_path: Path
) -> None:
    searched()
    calls = 0

    def interrupted(task: Task) -> Evaluation:
        nonlocal calls
        calls += 1
        if calls == 9:
            raise KeyboardInterrupt
        return trained(task)

    with pytest.raises(KeyboardInterrupt):
        validation(MadeUp(interrupted)).run()
    assert not (tmp_path / "run" / "validated.csv").exists()
    assert not list((tmp_path / "run").rglob(".star.lock"))
    rest = validation()
    results = rest.run()
    assert len(asked(rest)) == 3 * len(rest.designs) - 8
    again = validation()
    assert again.run().csv() == results.csv() and not asked(again)
    more = validation(seeds=4, sample=6)
    more.run()
    assert len(asked(more)) == 4 * len(more.designs) - 3 * len(rest.designs)
    with Ledger(tmp_path / "run" / "validation" / "ledger.sqlite") as ledger:
        (recipe,) = ledger.recipes()
        assert len(list(ledger.records(recipe))) == len(ledger) == 4 * len(more.designs)


def test_the_searchs_own_ledger_and_population_stay_as_they_are(
    searched: Searched, validation: Make, tmp_path: Path
) -> None:
    searched()
    names = ("population.csv", "config.yaml", "command.txt")
    kept = [tmp_path / "run" / name for name in names if (tmp_path / "run" / name).exists()]
    before = [path.read_bytes() for path in kept]
    with Ledger(tmp_path / "run" / "ledger.sqlite") as ledger:
        rows = len(ledger)
    validation().run()
    assert [path.read_bytes() for path in kept] == before
    with Ledger(tmp_path / "run" / "ledger.sqlite") as ledger:
        assert len(ledger) == rows


def test_a_run_knows_what_was_validated_and_its_front_says_so(
    searched: Searched, validation: Make
) -> None:
    run = searched()
    assert Run.open(run.path).validated is None
    assert set(run.front["validated"]) == {"no"}
    results = validation().run()
    found = run.validated
    assert isinstance(found, pd.DataFrame) and len(found) == len(results.designs)
    assert set(found["genome_id"]) == {design.genome_id for design in results.designs}
    assert pd.api.types.is_numeric_dtype(found["validation_loss_low"])
    assert set(run.front["validated"]) == {"validated.csv"}
    longer = searched(generations=8)  # the same run goes on, and keeps what was validated
    marks = dict(zip(longer.front["genome_id"], longer.front["validated"], strict=True))
    known = {*found["genome_id"]}
    assert {"no", "validated.csv"} == set(marks.values())
    assert all((mark == "no") == (name not in known) for name, mark in marks.items())


def test_other_settings_are_refused_with_the_difference(
    searched: Searched, validation: Make, tmp_path: Path
) -> None:
    searched()
    validation().run()
    before = (tmp_path / "run" / "validated.csv").read_bytes()
    message = (
        rf"run: was validated with other settings \(training.steps is {2 * STEPS} there, "
        rf"{3 * STEPS} here\); the same settings go on from there, and moving .*validation away"
    )
    with pytest.raises(UserError, match=message):
        validation(steps=3 * STEPS).run()
    assert (tmp_path / "run" / "validated.csv").read_bytes() == before


@pytest.mark.parametrize("steps", [STEPS, STEPS - 1])
def test_a_training_that_is_no_longer_is_refused(
    searched: Searched, validation: Make, steps: int
) -> None:
    searched()
    with pytest.raises(
        UserError, match=rf"training.steps={steps}: expected more than the {STEPS} of the search"
    ):
        validation(steps=steps)


def test_a_run_in_which_another_process_works_is_refused(
    searched: Searched, validation: Make, tmp_path: Path
) -> None:
    searched()
    message = rf"^run=.*run: another process works in it \(process {os.getpid()} on "
    with locked_folder(tmp_path / "run"), pytest.raises(UserError, match=message):
        validation().run()
    assert not (tmp_path / "run" / "validation").exists()


def test_a_file_of_others_is_not_overwritten(
    searched: Searched, validation: Make, tmp_path: Path
) -> None:
    searched()
    (tmp_path / "run" / "validated.csv").write_text("mine")
    with pytest.raises(UserError, match=r"holds validated\.csv without validation/config\.yaml"):
        validation().run()
    assert (tmp_path / "run" / "validated.csv").read_text() == "mine"
    (tmp_path / "run" / "validated.csv").unlink()
    (tmp_path / "run" / "validation").mkdir()
    (tmp_path / "run" / "validation" / "config.yaml").write_text("a: 1\n")
    with pytest.raises(UserError, match="validation there is not of a validation"):
        validation().run()


SMALL = (
    "scale=cpu", "depth=2", "width=32", "training.length=32", "training.validation_batches=1",
    "search.population=3", "search.generations=1", "search.baselines=[lfm2]",
    "search.objectives=[validation_loss,cache_bytes]", "executor.workers=1", "run_dir=run",
)  # fmt: skip
LONGER = ("run=run", "executor.workers=1", "validation.seeds=2", "validation.sample=1")


@pytest.mark.slow
def test_the_command_trains_and_says_how_far_to_believe_the_search(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    searched = command("evolve", *SMALL, "training.steps=3", "training.learning_rate=2e-3")
    assert searched.returncode == 0, searched.stderr
    assert "python -m star.validate run=run training.steps=30" in searched.stdout
    result = command("validate", *LONGER, "training.steps=6")
    assert result.returncode == 0, result.stderr
    for words in ("Spearman", "stay non-dominated", "results: run/validated.csv"):
        assert words in result.stdout
    run = Run.open(tmp_path / "run")
    assert run.validated is not None and (run.validated["seeds"] == 2).all()
    settings = run.settings
    config = compose_config("validate", [*LONGER, "training.steps=6"])
    assert config.training.learning_rate == 2e-3 == settings["training"]["learning_rate"]
    assert config.training.length == 32 and config.data.kind == "stdlib"
    again = command("validate", *LONGER, "training.steps=6")
    assert again.stdout.splitlines()[-12:] == result.stdout.splitlines()[-12:]
    refused = command("validate", *LONGER, "training.steps=7")
    assert refused.returncode == 2 and "training.steps is 6 there, 7 here" in refused.stderr
    printed = (tmp_path / "run" / "validation" / "command.txt").read_text()
    assert printed == f"python -m star.validate {' '.join([*LONGER, 'training.steps=6'])}\n"


@pytest.mark.slow
def test_the_command_measures_what_the_search_did_not(
    command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lm_eval")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert command("evolve", *SMALL, "training.steps=3").returncode == 0
    harness = "objectives.harness_accuracy"
    also = (
        "validation.also_measure=[harness_accuracy]", f"{harness}.tasks=[{CHOICE}]",
        f"{harness}.task_folder={shared_tasks()}", f"{harness}.limit=5",
    )  # fmt: skip
    result = command("validate", *LONGER, "training.steps=6", *also)
    assert result.returncode == 0, result.stderr
    assert "harness" in result.stdout
    validated = Run.open(tmp_path / "run").validated
    assert validated is not None and validated["harness_accuracy"].between(0, 1).all()
    assert validated["search_harness_accuracy"].isna().all()
    assert command("validate", *LONGER, "training.steps=6", *also).returncode == 0
    other = command("validate", *LONGER, "training.steps=6")
    assert other.returncode == 2
    assert "validation.also_measure is ['harness_accuracy'] there, [] here" in other.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run=nowhere", "training.steps=9"), "nowhere: not a run, it has no population.csv"),
        (("training.steps=9",), "run: a value is required"),
        (("run=table",), "run=table: its losses were looked up in a table (executor=table)"),
        (("run=run", "validation.seeds=0"), "validation.seeds=0: expected at least 1"),
        (("run=run", "executor=table"), "executor"),
        (("run=run", "training.steps=200", "training.validation_batches=100000"), "do not fit"),
    ],
)
def test_mistakes_are_one_line(
    arguments: tuple[str, ...], message: str, command: Callable[..., Any], searched: Searched,
    tmp_path: Path,
) -> None:  # fmt: skip
    if "run=run" in arguments:
        searched()
    if "run=table" in arguments:
        tabular = ("+experiment=tabular", "search.generations=1", "run_dir=table")
        assert command("evolve", *tabular, "search.population=4").returncode == 0
    result = command("validate", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr and result.stderr.count("\n") == 1, result.stderr
