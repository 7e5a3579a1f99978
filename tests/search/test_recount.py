"""A search under another budget: the costs are those of the genomes, the rest is the run's."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from star.base.errors import UserError
from star.evaluation.executors import Task
from star.evaluation.pareto import pareto_ranks
from star.evaluation.recipe import SearchModelConfig
from star.genomes import CacheSetting, GenomeError, ModelConfig, cache_bytes, load_genome
from star.runs.run import Run
from star.runs.tables import ClosingTable
from star.search import EvolveConfig, Search, SearchConfig
from star.search.halving import HalvingConfig
from star.search.recount import Question, Recounted
from tests.search.made_up import MadeUp, hashed

ATTENTION = "tests.search.objectives:Attention"
MODEL, LONG = ModelConfig(), CacheSetting(context=32768)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """24 candidates of depth 4, some of which diverge, and two baselines; loss against cache."""
    return search(tmp_path_factory.mktemp("search") / "run")


def search(folder: Path, **settings: Any) -> Run:
    given = {
        "objectives": ["validation_loss", "cache_bytes"],
        "also_measure": [ATTENTION],
        "population": 12,
        "generations": 2,
        "baselines": ["transformer_pp", "striped_mamba"],
        **settings,
    }
    constraints = given.pop("constraints", {})
    config = EvolveConfig(
        depth=4, run_dir=str(folder), search=SearchConfig(**given), constraints=constraints
    )
    return Search.from_config(config, MadeUp(with_attention)).run()


def with_attention(task: Task) -> Any:
    found = hashed(task)
    attention = sum(c.name.startswith("SA") for c in task.genome.classes())
    return type(found)(found.status, found.reason, {**found.metrics, "attention": attention}, 0.1)


def ids(run: Run) -> list[str]:
    return list(run.front["genome_id"])


def test_the_same_question_has_the_same_answer(run: Run) -> None:
    recounted = Recounted(run, Question(MODEL, CacheSetting()))
    assert ids(recounted) == ids(run)
    assert recounted.csv() == (run.path / "pareto.csv").read_text()


def test_costs_are_counted_anew_and_the_front_is_that_of_all_trained_candidates(run: Run) -> None:
    recounted = Recounted(run, Question(MODEL, LONG))
    trained = run.population[run.population["status"] == "ok"]
    genomes = [run.genome(genome_id) for genome_id in trained["genome_id"]]
    costs = [float(cache_bytes(genome, MODEL, LONG)) for genome in genomes]
    values = pd.DataFrame({"loss": trained["validation_loss"].to_numpy(), "cost": costs})
    best = trained["genome_id"][pareto_ranks(values.to_numpy()) == 0]
    assert set(ids(recounted)) == set(best)
    assert list(recounted.front["cache_bytes"]) == sorted(recounted.front["cache_bytes"])
    assert {*recounted.candidates} == {*trained["genome_id"]}


def test_limits_and_objectives_may_be_others(run: Run) -> None:
    losses = run.population.query("status == 'ok'")["validation_loss"]
    limit = float(losses.median())
    question = Question(MODEL, LONG, ("attention", "parameters"), {"validation_loss": limit})
    recounted = Recounted(run, question)
    assert recounted.minimised == ["attention", "parameters"]
    assert len(recounted.front) > 0 and recounted.front["validation_loss"].max() <= limit
    above = [c for c in recounted.candidates.values() if c.status == "infeasible"]
    assert len(above) == (losses > limit).sum()
    assert all(c.reason.startswith("over_budget: validation_loss ") for c in above)


def test_what_was_not_trained_to_the_end_is_left_out(tmp_path: Path) -> None:
    halved = search(tmp_path / "halved", halving=HalvingConfig([10]))
    assert (halved.population["status"] == "stopped").any()
    recounted = Recounted(halved, Question(MODEL, LONG))
    assert {c.status for c in recounted.candidates.values()} == {"ok"}


def test_limits_of_the_search_hold_unless_they_are_lifted(tmp_path: Path) -> None:
    limited = search(tmp_path / "limited", constraints={"cache_bytes": "1MB"})
    kept = Recounted(limited, Question(MODEL, CacheSetting()))
    lifted = Recounted(limited, Question(MODEL, CacheSetting(), (), {"cache_bytes": None}))
    transformer = load_genome("transformer_pp", 4)[0].canonical().id
    assert kept.candidates[transformer].status == "infeasible"  # a baseline is trained all the same
    assert lifted.candidates[transformer].status == "ok"
    assert transformer not in ids(kept)


def lines(recounted: Recounted) -> str:
    """What stands below the table of an answer."""
    text = io.StringIO()
    objectives = recounted.measured.objectives
    table = ClosingTable(recounted, objectives, recounted.minimised, {})
    table.print(Console(file=text, width=200))
    return text.getvalue()


def test_a_validated_run_answers_by_its_longer_trainings(tmp_path: Path) -> None:
    searched = search(tmp_path / "run")
    trained = searched.population.query("status == 'ok'").head(6)
    rows = pd.DataFrame({"genome_id": trained["genome_id"], "status": ["ok"] * 5 + ["infeasible"]})
    # The order of the search is turned round; the last of them failed.
    rows["validation_loss"] = 6.0 - trained["validation_loss"]
    rows.to_csv(searched.path / "validated.csv", index=False)
    longer = Recounted(searched, Question(MODEL, LONG, ("validation_loss",)))
    expected = rows.iloc[:-1].sort_values("validation_loss")["genome_id"].iloc[0]
    assert longer.is_validated and ids(longer) == [expected] and len(longer.candidates) == 5
    assert "alone" not in lines(longer)
    alone = Recounted(searched, Question(MODEL, LONG, ("validation_loss",), validated=False))
    assert "short trainings alone" in lines(alone)
    assert not alone.is_validated and len(alone.candidates) > 5


def test_names_of_baselines_are_those_of_designs(run: Run) -> None:
    found = Recounted(run, Question(MODEL, LONG)).baseline_ids()
    assert found == {
        name: load_genome(name, 4)[0].canonical().id for name in ("transformer_pp", "striped_mamba")
    }


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (Question(MODEL, LONG, ("nope",)), "^objectives: 'nope' is unknown; available: valid"),
        (Question(MODEL, LONG, ("parameters",) * 2), r"^objectives=\['parameters', 'parameters'\]"),
        (
            Question(MODEL, LONG, ("tests.search.objectives:Margin",)),
            "^objectives: margin was not measured in .* measured are validation_loss, bits_per",
        ),
        (Question(MODEL, LONG, (), {"nope": 1}), "^constraints.nope: no such objective"),
        (Question(MODEL, LONG, (), {"cache_bytes": "5s"}), "^constraints.cache_bytes=5s: expected"),
        (
            Question(MODEL, LONG, (), {"recall_error": 2}),
            "^constraints.recall_error=2: expected above 0 and at most 1, since it is 0 at best",
        ),
        (Question(MODEL, LONG, (), {"cache_bytes": -1}), "^constraints.cache_bytes=-1: expected a"),
    ],
)
def test_what_cannot_be_answered_is_said_in_one_line(
    run: Run, question: Question, expected: str
) -> None:
    with pytest.raises(UserError, match=expected):
        Recounted(run, question)


def test_a_limit_that_nothing_keeps_names_the_closest(run: Run) -> None:
    question = Question(MODEL, LONG, (), {"parameters": 3})
    with pytest.raises(UserError, match=r"^constraints.parameters=3: the least of the \d+ trained"):
        Recounted(run, question).check_answer()


def test_sizes_that_a_design_cannot_have_are_an_error(run: Run) -> None:
    with pytest.raises(GenomeError):
        _ = Recounted(run, Question(ModelConfig(width=24), LONG)).candidates


def test_the_command_prints_and_writes_and_overwrites_nothing(
    run: Run, command: Callable[..., Any], tmp_path: Path
) -> None:
    arguments = (f"run={run.path}", "context=32768", "constraints.validation_loss=2.8", "to=f.csv")
    result = command("front", *arguments)
    assert result.returncode == 0, result.stderr
    assert "cache.context=32768 instead of 4096" in " ".join(result.stdout.split())
    assert "Pareto front" in result.stdout and "from the search alone" in result.stdout
    question = Question(MODEL, LONG, (), {"validation_loss": 2.8})
    written = pd.read_csv(tmp_path / "f.csv")
    assert list(written["genome_id"]) == ids(Recounted(run, question))
    assert list(written.columns) == list(run.front.columns)
    again = command("front", *arguments)
    assert again.returncode == 2
    assert again.stderr == "error: to=f.csv: is a file already; choose another name\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "run: a value is required"),
        (["run=nowhere"], "nowhere: not a run, it has no population.csv"),
        (["run=empty"], "run=empty: no candidate of it was trained to the end"),
    ],
)
def test_mistakes_are_one_line(
    run: Run, command: Callable[..., Any], tmp_path: Path, arguments: list[str], expected: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.yaml").write_bytes((run.path / "config.yaml").read_bytes())
    header = (run.path / "population.csv").read_text().splitlines()[0]
    (tmp_path / "empty" / "population.csv").write_text(header + "\n")
    result = command("front", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"error: {expected}\n"


def test_candidates_with_widths_of_their_own_are_counted_at_them(tmp_path: Path) -> None:
    model = SearchModelConfig(match="parameters:60k")
    config = EvolveConfig(depth=4, run_dir=str(tmp_path / "run"), model=model)
    config.search = SearchConfig(
        objectives=["validation_loss", "cache_bytes"], population=4, generations=1, baselines=[]
    )
    run = Search.from_config(config, MadeUp()).run()
    found = Recounted(run, Question(MODEL, LONG)).candidates
    assert found
    for candidate in found.values():
        sizes = model.matched(candidate.genome, CacheSetting().context)
        assert candidate.metrics["cache_bytes"] == cache_bytes(candidate.genome, sizes, LONG)
    with pytest.raises(UserError, match=r"^model.width=128: expected 64.*model.match=parameters"):
        Recounted(run, Question(ModelConfig(width=128), LONG))
