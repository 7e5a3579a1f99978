"""The closing table and its arithmetic."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from star.evaluation import Evaluation
from star.genomes import Genome
from star.runs.folder import RunFolder
from star.runs.names import composition
from star.runs.run import Run
from star.runs.tables import WIDTH, ClosingTable, percent, share_percent
from star.search import EvolveConfig, Search, SearchConfig
from star.search.candidates import BASELINE, OFFSPRING, Candidate, Evaluated
from tests.search.made_up import MadeUp

TRANSFORMER = "11111-91111"


def evaluated(
    text: str, origin: str, loss: float, parameters: int, cache: int, **others: float
) -> Evaluated:
    metrics = {"validation_loss": loss, "parameters": parameters, "cache_bytes": cache, **others}
    candidate = Candidate(Genome.from_text(text), origin, 0)
    return Evaluated(candidate, Evaluation("ok", "", metrics), seed=0)


def make(*objectives: str) -> Search:
    """A search that has not begun, to be filled by hand."""
    settings = SearchConfig(objectives=list(objectives), baselines=[])
    return Search.from_config(EvolveConfig(depth=2, search=settings), MadeUp())


@pytest.fixture
def search() -> Search:
    search = make("validation_loss", "cache_bytes")
    search.archive.add(evaluated(TRANSFORMER, BASELINE, 2.0, 1000, 4000))
    search.archive.add(evaluated("71111-91111", OFFSPRING, 1.9, 1100, 400))
    search.archive.add(evaluated("91111-91111", OFFSPRING, 2.5, 900, 0))
    search.archive.add(evaluated("51111-91111", OFFSPRING, 2.4, 900, 500))
    return search


def printed(
    search: Search, folder: Path, baselines: dict[str, str], terminal: int | None = None
) -> str:
    """The table of a search whose folder is written here.

    Args:
        search: with what it found.
        folder: where it is written.
        baselines: genomes by name.
        terminal: columns of one; None prints into a file.
    """
    names = search.measured.names
    RunFolder(folder, names).write_views(*search.views())
    (folder / "config.yaml").write_text(yaml.safe_dump(search.settings()))
    minimised = [objective.name for objective in search.archive.objectives]
    ids = {name: Genome.from_text(text).id for name, text in baselines.items()}
    stream = io.StringIO()
    console = Console(
        file=stream, width=terminal or WIDTH, force_terminal=terminal is not None, no_color=True
    )
    objectives, also = search.measured.objectives, search.reported
    table = ClosingTable(Run.open(folder), objectives, minimised, ids, also)
    table.print(console)
    return stream.getvalue()


def test_the_table_shows_front_baselines_and_differences(search: Search, tmp_path: Path) -> None:
    better = Genome.from_text("71111-91111").id
    text = printed(search, tmp_path, {"transformer_pp": TRANSFORMER})
    assert better in text and Genome.from_text("91111-91111").id in text
    assert Genome.from_text("51111-91111").id not in text  # dominated
    assert "-5.0%  +10.0%  -90.0%" in text
    lines = text.splitlines()
    line = next(line for line in lines if line.startswith("at or below transformer_pp's loss"))
    assert f"{better}, 10% of its cache, loss -5.0%, parameters +10.0%" in line
    words = ("at or", "losses are", "recall was")
    assert max(len(line) for line in lines if not line.startswith(words)) <= 100


def test_a_baseline_that_nothing_reaches(search: Search, tmp_path: Path) -> None:
    search.archive.add(evaluated("21111-91111", BASELINE, 1.0, 1000, 4000))
    text = printed(search, tmp_path, {"transformer_pp": TRANSFORMER, "hyena": "21111-91111"})
    assert "hyena: no evolved genome reaches its loss of 1.0000" in text


def test_baselines_that_agree_at_this_depth_are_all_shown(search: Search, tmp_path: Path) -> None:
    names = {"transformer_pp": TRANSFORMER, "striped_mamba": TRANSFORMER}
    lines = printed(search, tmp_path, names).splitlines()
    rows = [line for line in lines if line.split()[:1] in (["transformer_pp"], ["striped_mamba"])]
    assert len(rows) == 2
    assert sum(line.startswith("at or below") for line in lines) == 2


def test_a_narrow_terminal_gets_one_comparison(search: Search, tmp_path: Path) -> None:
    names = {"transformer_pp": TRANSFORMER, "striped_mamba": TRANSFORMER}
    wide, narrow = (printed(search, tmp_path, names, terminal=width) for width in (120, 70))
    assert "against Transformer++" in wide and "against StripedMamba" in wide
    assert "against Transformer++" in narrow and "against StripedMamba" not in narrow


def test_a_baseline_without_cache(search: Search, tmp_path: Path) -> None:
    search.archive.add(evaluated("91111-91111", BASELINE, 2.5, 900, 0))
    text = printed(search, tmp_path, {"memless": "91111-91111"})
    assert "400 bytes of cache where it needs none" in text and "nan" not in text


def test_a_run_in_which_nothing_could_be_measured_has_an_empty_table(tmp_path: Path) -> None:
    search = make("validation_loss", "cache_bytes")
    candidate = Candidate(Genome.from_text(TRANSFORMER), BASELINE, 0)
    failed = Evaluation("infeasible", "diverged: loss is nan")
    search.archive.add(Evaluated(candidate, failed, seed=0))
    text = printed(search, tmp_path, {"transformer_pp": TRANSFORMER})
    assert (
        "Pareto front" in text and "transformer_pp" not in text and candidate.genome.id not in text
    )


def test_an_objective_of_a_users_own_has_a_column_with_its_heading(tmp_path: Path) -> None:
    search = make("validation_loss", "tests.search.objectives:Attention")
    search.archive.add(evaluated(TRANSFORMER, BASELINE, 2.0, 1000, 4000, attention=1))
    search.archive.add(evaluated("21111-11111", OFFSPRING, 1.5, 1000, 4000, attention=2))
    lines = printed(search, tmp_path, {"transformer_pp": TRANSFORMER}).splitlines()
    (heading,) = (line for line in lines if line.strip().startswith("genome"))
    assert heading.split()[:5] == ["genome", "loss", "params", "cache", "attn"]
    evolved = Genome.from_text("21111-11111").id
    (row,) = (line.split() for line in lines if line.strip().startswith(evolved))
    assert row[4] == "2" and row[-3:] == ["+100.0%", "SA-2", "SA-1"]


def test_the_lines_below_say_what_the_numbers_do_not_show(search: Search, tmp_path: Path) -> None:
    *_, losses, recall = printed(search, tmp_path / "a run", {}).splitlines()
    steps = search.config.training.steps
    assert losses.startswith(f"losses are of the search's short trainings alone ({steps} steps); ")
    command = f"python -m star.validate run='{tmp_path}/a run' training.steps={10 * steps} trains"
    assert command in losses
    assert recall.startswith("recall was not measured")
    (tmp_path / "a run" / "validated.csv").write_text("genome_id\n")
    *_, losses, recall = printed(search, tmp_path / "a run", {}).splitlines()
    assert losses.endswith(f"longer ones of these designs are in {tmp_path}/a run/validated.csv")


def test_a_design_whose_recall_is_at_chance_is_marked(tmp_path: Path) -> None:
    search = make("validation_loss", "recall_error")
    search.archive.add(evaluated(TRANSFORMER, BASELINE, 2.0, 1000, 4000, recall_error=0.1))
    search.archive.add(evaluated("71111-91111", OFFSPRING, 1.5, 1000, 4000, recall_error=0.95))
    lines = printed(search, tmp_path, {"transformer_pp": TRANSFORMER}).splitlines()
    names = {line.split()[0] for line in lines if line.strip()}
    assert {f"{Genome.from_text('71111-91111').id}*", "transformer_pp"} <= names
    assert (
        "transformer_pp: no evolved genome reaches its loss of 2.0000 and recall error of 0.100"
        in (lines)
    )
    assert lines[-1] == "* recall at chance (recall_error of 0.9 or more): looks nothing up"


def test_shares_have_three_digits_and_no_exponent() -> None:
    assert [share_percent(share) for share in (0.00123, 0.1, 0.6301, 1.0, 108.026)] == [
        "0.123%", "10%", "63%", "100%", "10,803%",
    ]  # fmt: skip


def test_percent_and_composition() -> None:
    assert [percent(1.1, 1.0), percent(0.5, 1.0), percent(25.0, 1.0), percent(1.0, 0.0)] == [
        "+10.0%",
        "-50.0%",
        "x25",
        "n/a",
    ]
    assert composition(Genome.from_text("71111-71111-91111")) == "2xGConv-1 GMemless"


def test_hypervolume_and_failures(search: Search) -> None:
    archive = search.archive
    assert archive.hypervolume() > 0
    before = archive.hypervolume()
    archive.add(evaluated("31111-91111", OFFSPRING, 1.5, 900, 300))
    assert archive.hypervolume() > before
    assert not archive.failures() and search.failures() == "none"


def test_the_lines_speak_of_parameters_where_those_are_the_objective(tmp_path: Path) -> None:
    search = make("validation_loss", "parameters")
    search.archive.add(evaluated(TRANSFORMER, BASELINE, 2.0, 1000, 4000))
    search.archive.add(evaluated("71111-91111", OFFSPRING, 1.9, 800, 4400))
    search.archive.add(evaluated("91111-91111", OFFSPRING, 1.8, 900, 0))
    text = printed(search, tmp_path, {"transformer_pp": TRANSFORMER})
    smallest = Genome.from_text("71111-91111").id
    words = f"{smallest}, 80% of its parameters, loss -5.0%, cache +10.0%"
    assert f"with the fewest parameters: {words}" in text


def test_baselines_above_a_constraint_stand_apart_and_are_compared_with(tmp_path: Path) -> None:
    search = make("validation_loss", "cache_bytes")
    above = evaluated(TRANSFORMER, BASELINE, 2.0, 1000, 4000)
    reason = "over_budget: cache_bytes 4,000 above 1,000"
    judged = replace(above.evaluation, status="infeasible", reason=reason)
    search.archive.add(replace(above, evaluation=judged))
    search.archive.add(evaluated("71111-91111", OFFSPRING, 1.9, 1100, 400))
    search.archive.add(evaluated("31111-91111", BASELINE, 2.2, 1000, 900))
    text = printed(search, tmp_path, {"transformer_pp": TRANSFORMER, "mine": "31111-91111"})
    rows = [line.split()[0] for line in text.splitlines() if line.startswith(" ") and line.strip()]
    evolved = Genome.from_text("71111-91111").id
    assert rows[-4:] == [evolved, "mine", "above", "transformer_pp"]
    assert "above the constraint:" in text and "at or below transformer_pp's loss" in text
    assert list(Run.open(tmp_path).front["genome_id"]) == [evolved]
    assert Run.open(tmp_path).candidate(above.genome_id).rank is None


def test_what_is_measured_for_the_record_has_a_column(search: Search, tmp_path: Path) -> None:
    for kept in search.archive.all:
        search.archive.add(replace(kept, evaluation=with_metric(kept, perplexity=7.25)))
    plain = printed(search, tmp_path, {"transformer_pp": TRANSFORMER})
    assert "perplexity" not in plain
    search.config.search.also_measure = ["perplexity"]
    text = printed(search, tmp_path, {"transformer_pp": TRANSFORMER})
    assert "perplexity" in text and "7.25" in text


def with_metric(known: Evaluated, **metrics: float) -> Evaluation:
    return replace(known.evaluation, metrics={**known.evaluation.metrics, **metrics})


def test_a_genome_that_a_line_names_is_in_the_table(tmp_path: Path) -> None:
    """The smallest cache may be dominated where it is no objective."""
    search = make("validation_loss", "tests.search.objectives:Attention")
    search.archive.add(evaluated(TRANSFORMER, BASELINE, 2.0, 1000, 4000, attention=1))
    search.archive.add(evaluated("71111-91111", OFFSPRING, 1.5, 1000, 3000, attention=0))
    search.archive.add(evaluated("51111-91111", OFFSPRING, 1.9, 1000, 10, attention=0))
    text = printed(search, tmp_path, {"transformer_pp": TRANSFORMER})
    smallest = Genome.from_text("51111-91111").id
    rows = [line.split()[0] for line in text.splitlines() if line.startswith(" ") and line.strip()]
    assert f"smallest cache: {smallest}" in text
    assert rows[-4:] == [Genome.from_text("71111-91111").id, "named", smallest, "transformer_pp"]


def test_names_of_a_users_own_are_no_markup_and_are_compared_with(
    search: Search, tmp_path: Path
) -> None:
    text = printed(search, tmp_path, {"[bold]mine[/x]": TRANSFORMER})
    assert "against [bold]mine[/x]:" in text and "\n [bold]mine[/x]  " in text


def test_small_caches_are_shown_in_bytes(search: Search, tmp_path: Path) -> None:
    text = printed(search, tmp_path, {"transformer_pp": TRANSFORMER})
    assert " 400B " in text and " 4.0kB " in text and " 0B " in text
