"""Runs of the version before: their settings are upgraded, and they go on with the same results."""

import csv
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from star.base.command_line import compose_config
from star.base.errors import UserError
from star.evaluation import Evaluation
from star.evaluation.executors import Task
from star.genomes import current_id
from star.runs.run import Run
from star.search import Search
from star.search.upgrade import upgrade_settings
from tests.search.made_up import MadeUp

# Left by commit c0a5284; how is in the README beside them.
BEFORE = Path(__file__).parents[1] / "runs" / "before"
TRAINED = (
    "+experiment=smoke", "data=files", "data.path=texts", "data.held_out=0.3", "training.steps=2",
    "training.length=32", "training.device=cpu", "search.halving.rungs=[1]", "search.seeds=[mamba]",
    "run_dir=trained",
)  # fmt: skip
TABLE = (
    "+experiment=tabular", "search=firefly", "search.algorithm.elitism=3",
    "search.algorithm.weights=[2.0,1.0]", "search.variation.sharing_mutation_probability=0.25",
    "search.generations=3", "search.population=6", "search.baselines=[transformer_pp]",
    "run_dir=table",
)  # fmt: skip
CSVS = ("population.csv", "pareto.csv")


class Forbidden(MadeUp):
    """Refuses to evaluate anything: all of it must be in the ledger."""

    def evaluate(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Evaluation]]:
        assert not tasks
        yield from ()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with copies of these runs, as the present one."""
    shutil.copytree(BEFORE, tmp_path / "before")
    monkeypatch.chdir(tmp_path / "before")
    monkeypatch.setenv("STAR_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "before"


def settings_there(name: str) -> dict[str, Any]:
    return yaml.safe_load((BEFORE / name / "config.yaml").read_text())


def rows(path: Path, text: str = "") -> list[dict[str, str]]:
    """The rows of a CSV, without columns that those of before do not have."""
    before = csv.DictReader((BEFORE / path.parent.name / path.name).read_text().splitlines())
    return [
        {column: row[column] for column in before.fieldnames or ()}
        for row in csv.DictReader((text or path.read_text()).splitlines())
    ]


def rows_with_ids_of_now(run: str, name: str) -> list[dict[str, str]]:
    """Those of a CSV of before, whose ids may begin with a digit."""
    text = (BEFORE / run / name).read_text()
    changed = re.sub(r"\b[0-9][0-9a-f]{11}\b", lambda match: current_id(match[0]), text)
    assert changed != text
    return rows(BEFORE / run / name, changed)


def make(given: Sequence[str], *overrides: str) -> Search:
    return Search.from_config(compose_config("evolve", ["scale=cpu", *given, *overrides]))


@pytest.mark.slow
def test_a_run_goes_on_to_count_its_cache_as_it_began_to(folder: Path) -> None:
    first = make(TRAINED)
    assert first.config.cache.state_dtype == "bfloat16" and "began to count" in first.notices[0]
    search = first
    for _ in range(2):  # the second finds the key in the folder's settings
        search = make(TRAINED)
        search.executor = Forbidden()
        assert search.run().settings["cache"]["state_dtype"] == "bfloat16"
    assert make(TRAINED, "run_dir=new").config.cache.state_dtype == "float32"
    with pytest.raises(UserError, match="state_dtype is bfloat16 there, float64 here"):
        make(TRAINED, "cache.state_dtype=float64").run()


def test_losses_of_before_answer_with_costs_that_are_counted_anew(folder: Path) -> None:
    elsewhere = [f"ledger={folder}/trained/ledger.sqlite", "run_dir=new"]
    search = make([*TRAINED, *elsewhere], "search.generations=1")
    search.executor = executor = MadeUp()
    found, before = (run.candidates for run in (search.run(), Run.open(folder / "trained")))
    asked = {genome.id for genome in executor.genomes}  # halving may promote others
    answered = [name for name in found if name not in asked]
    assert len(answered) > 5
    for name in answered:
        now, then = found[name].metrics, before[name].metrics
        assert now["validation_loss"] == then["validation_loss"]
        has_state = {5, 6, 14, 15} & {liv.liv_class for liv in found[name].genome.livs}
        assert (now["cache_bytes"] > then["cache_bytes"]) == bool(has_state)


def test_a_run_is_resumed_from_its_ledger_and_nothing_is_trained_again(folder: Path) -> None:
    search = make(TRAINED)
    search.executor = Forbidden()
    run = search.run()
    for name in CSVS:
        assert rows(folder / "trained" / name) == rows_with_ids_of_now("trained", name)
    assert run.settings == search.settings()  # of the new keys now
    assert run.settings["search"]["space"]["alphabet"] == "star"


def test_a_run_can_be_continued_beyond_its_end(folder: Path) -> None:
    search = make(TRAINED, "search.generations=3")
    search.executor = executor = MadeUp()
    rows = len(Run.open(folder / "trained").population)
    run = search.run()
    assert len(run.population) == rows + 6
    assert run.population["generation"].max() == 2
    assert {genome.id for genome in executor.genomes} == set(run.population["genome_id"][rows:])


def test_a_tabular_search_is_the_same_search_without_its_ledger(folder: Path) -> None:
    make(TABLE).run()
    for name in CSVS:
        assert rows(folder / "table" / name) == rows_with_ids_of_now("table", name)


@pytest.mark.parametrize(("name", "given"), [("trained", TRAINED), ("table", TABLE)])
def test_settings_get_the_keys_of_now(name: str, given: Sequence[str]) -> None:
    """But for executor and limits, which may be others, and constraints that are not set."""
    there, here = upgrade_settings(settings_there(name)), make(given).settings()
    for settings in (there, here):
        del settings["executor"], settings["limits"]
        limits = settings.pop("constraints")
        assert not any(limits.values())
    assert there == here


def test_settings_of_now_and_of_something_else_stay_as_they_are() -> None:
    now = asdict(compose_config("evolve", ["+experiment=smoke", "scale=cpu"]))
    assert upgrade_settings(now) == now
    assert upgrade_settings({"genome": "lfm2"}) == {"genome": "lfm2"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=1", "seed is 0 there, 1 here"),
        ("search.variation.crossover_points=3", "crossover_points is 2 there, 3 here"),
        ("search.space.classes=[SA-1,Rec-1]", "search.space.classes is .* there, .*Rec-1.* here"),
        ("training.steps=3", "training.steps is 2 there, 3 here"),
    ],
)
def test_other_settings_are_still_refused(folder: Path, override: str, message: str) -> None:
    before = {path: path.read_bytes() for path in (folder / "trained").iterdir()}
    with pytest.raises(UserError, match=f"run_dir=trained: .*{message}"):
        make(TRAINED, override).run()
    assert {path: path.read_bytes() for path in (folder / "trained").iterdir()} == before


def test_a_run_of_before_is_read(folder: Path) -> None:
    for name in ("trained", "table"):
        run = Run.open(folder / name)
        assert len(run.candidates) == len(run.population) > len(run.front) > 0
        assert run.settings["search"]["alphabet"] == "star"


def test_an_argument_that_its_algorithm_ignored_is_forgotten() -> None:
    there = settings_there("trained")
    assert there["search"]["algorithm"]["_target_"].endswith("NSGA2")
    there["search"].update(elitism=3, weights=[2.0, 1.0], tournament_size=4)
    algorithm = upgrade_settings(there)["search"]["algorithm"]
    assert algorithm == {"_target_": there["search"]["algorithm"]["_target_"], "tournament_size": 4}
