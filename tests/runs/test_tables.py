"""The closing table and its arithmetic."""

import io

import pytest
from rich.console import Console

from star.evaluation import Evaluation, select_objectives
from star.genomes import Genome
from star.runs.tables import composition, percent, print_closing_table, share_percent
from star.search.archive import Archive
from star.search.candidates import BASELINE, OFFSPRING, Candidate, Evaluated


def evaluated(text: str, origin: str, loss: float, parameters: int, cache: int) -> Evaluated:
    metrics = {"validation_loss": loss, "parameters": parameters, "cache_bytes": cache}
    return Evaluated(
        Candidate(Genome.from_text(text), origin, 0), Evaluation("ok", "", metrics), seed=0
    )


def printed(archive: Archive, baseline_ids: dict[str, str]) -> str:
    stream = io.StringIO()
    print_closing_table(Console(file=stream, width=100), archive, baseline_ids)
    return stream.getvalue()


@pytest.fixture
def archive() -> Archive:
    archive = Archive(select_objectives(["validation_loss", "cache_bytes"]))
    archive.add(evaluated("11111-91111", BASELINE, 2.0, 1000, 4000))
    archive.add(evaluated("71111-91111", OFFSPRING, 1.9, 1100, 400))
    archive.add(evaluated("91111-91111", OFFSPRING, 2.5, 900, 0))
    archive.add(evaluated("51111-91111", OFFSPRING, 2.4, 900, 500))
    return archive


def test_the_table_shows_front_baselines_and_differences(archive: Archive) -> None:
    better = Genome.from_text("71111-91111").id
    text = printed(archive, {"transformer_pp": Genome.from_text("11111-91111").id})
    assert better in text and Genome.from_text("91111-91111").id in text
    assert Genome.from_text("51111-91111").id not in text  # dominated
    assert "-5.0%  +10.0%  -90.0%" in text
    line = next(
        line for line in text.splitlines() if line.startswith("at or below transformer_pp's loss")
    )
    assert f"{better}, 10% of its cache, loss -5.0%, parameters +10.0%" in line
    assert max(len(line) for line in text.splitlines() if not line.startswith("at or")) <= 100


def test_a_baseline_that_nothing_reaches(archive: Archive) -> None:
    archive.add(evaluated("21111-91111", BASELINE, 1.0, 1000, 4000))
    text = printed(
        archive,
        {
            "transformer_pp": Genome.from_text("11111-91111").id,
            "hyena": Genome.from_text("21111-91111").id,
        },
    )
    assert "hyena: no evolved genome reaches its loss of 1.0000" in text


def test_baselines_that_agree_at_this_depth_are_all_shown(archive: Archive) -> None:
    same = Genome.from_text("11111-91111").id
    text = printed(archive, {"transformer_pp": same, "striped_mamba": same})
    rows = [
        line
        for line in text.splitlines()
        if line.split()[:1] in (["transformer_pp"], ["striped_mamba"])
    ]
    assert len(rows) == 2
    assert sum(line.startswith("at or below") for line in text.splitlines()) == 2


def test_a_baseline_without_cache(archive: Archive) -> None:
    archive.add(evaluated("91111-91111", BASELINE, 2.5, 900, 0))
    text = printed(archive, {"memless": Genome.from_text("91111-91111").id})
    assert "400 bytes of cache where it needs none" in text and "nan" not in text


def test_a_run_in_which_nothing_could_be_measured_says_so() -> None:
    archive = Archive(select_objectives(["validation_loss", "cache_bytes"]))
    text = printed(archive, {"transformer_pp": Genome.from_text("11111-91111").id})
    assert "no candidate could be measured" in text and "population.csv" in text


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


def test_hypervolume_and_failures(archive: Archive) -> None:
    assert archive.hypervolume() > 0
    before = archive.hypervolume()
    archive.add(evaluated("31111-91111", OFFSPRING, 1.5, 900, 300))
    assert archive.hypervolume() > before
    assert not archive.failures()


def test_the_lines_speak_of_parameters_where_those_are_the_objective() -> None:
    archive = Archive(select_objectives(["validation_loss", "parameters"]))
    archive.add(evaluated("11111-91111", BASELINE, 2.0, 1000, 4000))
    archive.add(evaluated("71111-91111", OFFSPRING, 1.9, 800, 4400))
    archive.add(evaluated("91111-91111", OFFSPRING, 1.8, 900, 0))
    text = printed(archive, {"transformer_pp": Genome.from_text("11111-91111").id})
    smallest = Genome.from_text("71111-91111").id
    assert (
        f"with the fewest parameters: {smallest}, 80% of its parameters, loss -5.0%, cache +10.0%"
        in text
    )
