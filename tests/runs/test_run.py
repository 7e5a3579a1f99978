"""A run read back through `Run`."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from star.base.errors import UserError
from star.evaluation.ledger import Ledger
from star.genomes import Genome
from star.runs.columns import columns
from star.runs.origin import load_reference, read_origin
from star.runs.run import Run, split_reference

HEADER = "genome_id,generation,origin,parents,variation,genome,status,reason,validation_loss,rank\n"
# As pandas would read them: an infinite number, numbers that are equal, a number with zeros.
NUMBERS = ("9e9999999999", "000000000012", "000000000120", "123456789012")


def written(folder: Path, rows: str, settings: str = "search: {space: {alphabet: star}}\n") -> Run:
    """A run of these rows."""
    folder.mkdir(exist_ok=True)
    for name in ("population.csv", "pareto.csv"):
        (folder / name).write_text(HEADER + rows)
    (folder / "config.yaml").write_text(settings)
    return Run.open(folder)


def test_front_and_population_are_data_frames_with_the_right_types(made: Callable) -> None:
    search, run = made()
    for frame in (run.population, run.front):
        assert isinstance(frame, pd.DataFrame)
        expected = columns(search.measured.names)
        assert tuple(frame.columns[: len(expected)]) == expected
        for name in ("validation_loss", "parameters", "cache_bytes", "train_seconds", "rank"):
            assert pd.api.types.is_numeric_dtype(frame[name]), name
        for name in ("generation", "seed", "train_tokens"):
            assert pd.api.types.is_integer_dtype(frame[name]), name
        for name in ("genome_id", "genome", "parents", "reason", "variation"):
            assert all(isinstance(value, str) for value in frame[name]), name
    failed = run.population[run.population["status"] == "infeasible"]
    assert len(failed) and failed["validation_loss"].isna().all() and failed["rank"].isna().all()
    assert (run.front["rank"] == 0).all()
    best = run.population.nsmallest(1, "validation_loss")["genome_id"].item()
    assert best in set(run.front["genome_id"])


def test_candidates_are_those_of_the_search(made: Callable) -> None:
    search, run = made()
    ranks = search.archive.ranks()
    assert list(run.candidates) == [evaluated.genome_id for evaluated in search.archive.all]
    for evaluated in search.archive.all:
        found = run.candidate(evaluated.genome_id)
        candidate, evaluation = evaluated.candidate, evaluated.evaluation
        assert found.genome == candidate.genome == run.genome(evaluated.genome_id)
        assert (found.origin, found.generation) == (candidate.origin, candidate.generation)
        assert found.parents == candidate.parents and found.variation == candidate.variation
        assert (found.status, found.reason) == (evaluation.status, evaluation.reason)
        assert dict(found.metrics) == dict(evaluation.metrics)
        assert found.rank == ranks.get(evaluated.genome_id)
    assert {found.status for found in run.candidates.values()} == {"ok", "infeasible"}


def test_a_baseline_may_be_outside_of_the_alphabet(tmp_path: Path) -> None:
    outside = "18.1.1.1.1-9.1.1.1.1"
    row = "{},0,{},,,{},ok,,1.5,0\n".format
    run = written(tmp_path / "run", row("a" * 12, "baseline", outside))
    genome = run.genome("a" * 12)
    assert str(genome) == outside and genome.alphabet.name == "extended"
    run = written(tmp_path / "other", row("a" * 12, "offspring", outside))
    assert run.genome("a" * 12).alphabet.name == "star"


def test_settings_ledger_and_what_it_ran_on_are_read_back(made: Callable) -> None:
    search, run = made()
    assert run.settings == search.settings()
    assert run.metrics == search.measured.names
    assert run.environment["data_fingerprint"] == search.fingerprint
    assert run.environment["packages"]["torch"]
    assert run.command == ""  # started from Python
    with Ledger(run.ledger_path) as ledger:
        assert len(ledger) == len(run.candidates)
    assert repr(run) == f"Run({str(run.path)!r}, {len(run.candidates)} candidates)"


def test_what_is_on_disk_now_is_seen(tmp_path: Path) -> None:
    row = "aaaaaaaaaaaa,0,random,,,91111,ok,,2.5,0\n"
    run = written(tmp_path, row)
    assert len(run.population) == 1
    written(tmp_path, row + "bbbbbbbbbbbb,0,random,,,11111,ok,,2.0,0\n")
    assert len(run.population) == len(run.front) == 2


def test_ids_that_look_like_numbers_stay_texts(tmp_path: Path) -> None:
    rows = "".join(f"{name},1,offspring,{NUMBERS[1]},,91111,ok,,2.5,0\n" for name in NUMBERS)
    run = written(tmp_path, rows)
    ids = ["pe9999999999", "g00000000012", "g00000000120", "h23456789012"]  # those of now
    assert list(run.population["genome_id"]) == list(run.front["genome_id"]) == ids
    assert list(run.candidates) == ids
    assert run.candidate(NUMBERS[0]).parents == run.candidate(ids[0]).parents == (ids[1],)


def test_words_that_look_like_gaps_stay_texts(tmp_path: Path) -> None:
    run = written(tmp_path, "aaaaaaaaaaaa,0,random,,,91111,infeasible,nan,,\n")
    assert run.candidate("aaaaaaaaaaaa").reason == "nan"
    assert dict(run.candidate("aaaaaaaaaaaa").metrics) == {}


def test_a_run_of_before_columns_were_added_is_read(tmp_path: Path) -> None:
    run = written(tmp_path, "")
    (tmp_path / "population.csv").write_text(
        "genome_id,generation,origin,parents,genome,validation_loss\n"
        "aaaaaaaaaaaa,0,random,,91111,2.5\n"
    )
    found = run.candidate("aaaaaaaaaaaa")
    assert (found.variation, found.rank, found.genome) == ({}, None, Genome.from_text("91111"))


def test_references_into_a_run(tmp_path: Path) -> None:
    written(tmp_path, "")
    assert split_reference(f"{tmp_path}/abc") == (tmp_path, "abc")
    assert split_reference(f"{tmp_path}/genomes/abc.yaml") == (tmp_path, "abc")
    assert split_reference("lfm2") is None


def test_names_and_texts_are_none_of_a_run_that_one_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, "")
    monkeypatch.chdir(tmp_path)
    for reference in ("lfm2", "-".join(["21211"] * 48)):  # longer than the name of a file may be
        assert split_reference(reference) is None
        assert load_reference(reference)[0].depth > 1
        assert read_origin(reference) is None
    assert split_reference("./aaaaaaaaaaaa") == (Path(), "aaaaaaaaaaaa")


def test_a_genome_of_a_run_at_another_depth_is_noticed_as_a_file_is(tmp_path: Path) -> None:
    written(tmp_path, "aaaaaaaaaaaa,0,random,,,91111,ok,,2.5,0\n")
    reference = f"{tmp_path}/aaaaaaaaaaaa"
    genome, _, notices = load_reference(reference, 3)
    assert genome == Genome.from_text("91111-91111-91111")
    assert notices == [f"{reference}: repeated from depth 1 to 3"]
    assert load_reference(reference)[2] == []


def test_a_reference_behind_a_closed_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(path: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("star.base.reading.os.stat", closed)
    with pytest.raises(UserError, match=r"genome=own/mine\.yaml: cannot be read \(Permission"):
        split_reference("own/mine.yaml")


def test_what_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{tmp_path}: not a run, it has no population.csv"):
        Run.open(tmp_path)
    with pytest.raises(UserError, match="nowhere: not a run"):
        Run.open(tmp_path / "nowhere")


def test_an_id_that_is_not_there_is_named(tmp_path: Path) -> None:
    run = written(tmp_path, "aaaaaaaaaaaa,0,random,,,91111,ok,,2.5,0\n")
    with pytest.raises(UserError, match=f"genome={tmp_path}/zzz: no candidate of that id in "):
        run.candidate("zzz")


@pytest.mark.parametrize(
    ("rows", "settings"),
    [
        ("aaaaaaaaaaaa,0,random,,,91111,ok,,2.5,0\n", "a: 1\n"),  # the settings of something else
        ("aaaaaaaaaaaa,0,random,,,9111,ok,,2.5,0\n", "search: {alphabet: star}\n"),
        ("aaaaaaaaaaaa,x,random,,,91111,ok,,2.5,0\n", "search: {alphabet: star}\n"),
        ("aaaaaaaaaaaa,0,random,,{,91111,ok,,2.5,0\n", "search: {alphabet: star}\n"),
        ('"', "search: {alphabet: star}\n"),
        ("aaaaaaaaaaaa,0,random,,,91111,ok,,2.5,0\n", "search: [\n"),
        ("aaaaaaaaaaaa,0,random,,,91111,ok,,2.5,0\n", "search: mine\n"),
    ],
)
def test_a_run_that_cannot_be_read_is_one_line(tmp_path: Path, rows: str, settings: str) -> None:
    run = written(tmp_path, rows, settings)
    with pytest.raises(UserError) as caught:
        _ = run.candidates
    assert str(tmp_path) in str(caught.value)
    assert "readable" in str(caught.value) or "'search' is 'mine'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_front_that_is_gone_is_one_line(tmp_path: Path) -> None:
    run = written(tmp_path, "")
    (tmp_path / "pareto.csv").unlink()
    with pytest.raises(UserError, match="not a readable run"):
        _ = run.front
