"""Searches over the letters of a hybrid."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest

from star.base.command_line import compose_config
from star.base.errors import UserError
from star.genomes import Genome, GenomeError, GenomeFile, write_genome_file
from star.genomes.hybrids import read_hybrid
from star.runs.columns import TIMING_COLUMNS
from star.runs.names import baseline_ids, is_over_hybrid
from star.runs.recall import recall_lines
from star.search import Search
from star.training_runs import opened_training
from tests.mixtures import hybrid_of, written

QUICK = ("search.population=4", "search.generations=3", "training.steps=2", "training.length=16")
EXPERIMENT = ("+experiment=hybrid_frontier", "scale=cpu", *QUICK, "training.validation_batches=1")


@pytest.fixture
def hybrid(tmp_path: Path) -> str:
    written(tmp_path / "hybrid", hybrid_of("attention", "lfm2", blocks=3, parts=2))
    return f"search.space.alphabet=hybrid:{tmp_path / 'hybrid'}"


@pytest.mark.slow
def test_sizes_follow_from_the_hybrid(hybrid: str) -> None:
    search = Search.from_config(compose_config("evolve", [*EXPERIMENT, hybrid, "depth=9"]))
    assert (search.config.depth, search.config.model.width) == (3, 64)
    assert list(search.baselines) == ["attention", "lfm2"]
    assert "of hybrid test follow depth=3, model.width=64, vocabulary=256" in search.notices
    assert "letters Mix-a-b: of 2 parts, a of attention, b of lfm2" in search.notices
    assert not any("no pretrained components" in notice for notice in search.notices)


def test_tables_of_a_run_know_the_components(hybrid: str) -> None:
    search = Search.from_config(compose_config("evolve", [*EXPERIMENT, hybrid]))
    expected = {name: genome.canonical().id for name, genome in search.baselines.items()}
    assert baseline_ids(asdict(search.config), set(expected.values())) == expected
    moved = replace(search.config.search.space, alphabet="hybrid:nowhere")
    settings = {"depth": 3, "search": {"space": asdict(moved), "baselines": []}}
    ids = {genome_id: genome_id for genome_id in expected.values()}
    assert baseline_ids(settings, ids) == ids  # where the hybrid has gone


def test_recall_is_not_advised_where_it_is_refused() -> None:
    assert is_over_hybrid({"search": {"space": {"alphabet": "hybrid:there"}}})
    assert not is_over_hybrid({"search": {}}) and not is_over_hybrid({})
    assert (
        "also_measure" in recall_lines({})[0] and "also_measure" not in recall_lines({}, False)[0]
    )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("search.also_measure=[recall_error]", "recall_error: trains a genome from nothing"),
        ("constraints.mad_score=0.5", "mad_score: trains a genome from nothing"),
        ("search.space.depths=[2,4]", "search.space.depths: not together with"),
        ("search.space.motif=1", "search.space.motif: not together with"),
        ("model.search_width=32", "model.search_width: not together with"),
    ],
)
def test_what_hybrids_do_not_have(hybrid: str, setting: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Search.from_config(compose_config("evolve", [*EXPERIMENT, hybrid, setting]))


def test_a_text_of_other_tokens(hybrid: str) -> None:
    """Bytes, where the components learnt those of a tokenizer, which lies beside them."""
    folder = Path(hybrid.partition("hybrid:")[2])
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match="its components know other tokens than those of the text"):
        Search.from_config(compose_config("evolve", [*EXPERIMENT, hybrid]))
    alphabet = read_hybrid(str(folder))
    genome = Genome.from_genes([[1, 1, 1, 1, 1]] * 3, alphabet)
    write_genome_file(folder / "genome.yaml", GenomeFile("test", genome))
    asked = [f"genome={folder / 'genome.yaml'}", "width=64", "training.length=16"]
    config = compose_config("train", [*asked, f"run_dir={folder / 'run'}"])
    with (
        pytest.raises(UserError, match="its components know other tokens"),
        opened_training(config, None),
    ):
        pass
    assert not (folder / "run").exists()


def test_no_hybrid_there(tmp_path: Path) -> None:
    for folder, message in (("", "expected the folder of a hybrid"), (tmp_path, "is missing")):
        setting = f"search.space.alphabet=hybrid:{folder}"
        with pytest.raises((GenomeError, UserError), match=message):
            Search.from_config(compose_config("evolve", [*EXPERIMENT, setting]))


def command(hybrid: str, folder: Path) -> list[str]:
    settings = (*EXPERIMENT, hybrid, "report=false", f"run_dir={folder}")
    return [sys.executable, "-m", "star.evolve", *settings]


def rows_of(folder: Path) -> int:
    path = folder / "population.csv"
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.mark.slow
def test_a_killed_search_ends_as_one_left_alone(hybrid: str, tmp_path: Path) -> None:
    subprocess.run(
        command(hybrid, tmp_path / "whole"), check=True, capture_output=True, timeout=600
    )
    killed = tmp_path / "killed"
    for rows in (5, 9):
        process = subprocess.Popen(
            command(hybrid, killed), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + 300
        while process.poll() is None and rows_of(killed) < rows:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(command(hybrid, killed), check=True, capture_output=True, timeout=600)
    for name in ("population.csv", "pareto.csv"):
        found, expected = (
            pd.read_csv(tmp_path / run / name).drop(columns=list(TIMING_COLUMNS))
            for run in ("killed", "whole")
        )
        pd.testing.assert_frame_equal(found, expected)


def test_a_hybrid_without_its_weights_is_refused(hybrid: str, tmp_path: Path) -> None:
    (tmp_path / "hybrid" / "components").rename(tmp_path / "away")
    with pytest.raises(UserError, match="holds no pretrained components"):
        Search.from_config(compose_config("evolve", [*EXPERIMENT, hybrid]))
