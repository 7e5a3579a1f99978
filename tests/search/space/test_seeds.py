"""Seeds: names, files, folders, CSVs and runs, and what is wrong with them."""

import os
from pathlib import Path

import pandas as pd
import pytest

from star.base.errors import UserError
from star.genomes import Genome
from star.runs.run import Run
from star.search import EvolveConfig, Search, SearchConfig
from star.search.space.problem import GenomeProblem
from star.search.space.seeds import read_seeds
from tests.search.made_up import MadeUp

DEPTH = 4


def read(*references: str) -> tuple[list[Genome], list[str]]:
    return read_seeds(references, GenomeProblem(DEPTH, 2))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A finished search with made-up results."""
    settings = SearchConfig(
        objectives=["validation_loss", "cache_bytes"], population=8, generations=3, baselines=[]
    )
    config = EvolveConfig(depth=DEPTH, run_dir=str(tmp_path / "run"), search=settings)
    return Search.from_config(config, MadeUp()).run()


def test_seeds_mix_names_files_folders_csvs_and_runs(run: Run) -> None:
    front = list(run.front["genome_id"])
    single = next((run.path / "genomes").iterdir())
    seeds, notices = read("mamba", str(single), str(run.path / "pareto.csv"))
    assert len(seeds) == len(front) + 1 and notices == []
    assert seeds[0].id == Genome.from_text("51111-51111-51111-51111").id
    for reference in (run.path / "genomes", run.path):
        from_folder, _ = read(str(reference))
        assert {seed.id for seed in from_folder} == set(front)


def test_infeasible_rows_of_a_population_are_no_seeds(run: Run) -> None:
    seeds, _ = read(str(run.path / "population.csv"))
    population = pd.read_csv(run.path / "population.csv", dtype={"genome_id": str})
    measured = population[population["status"] == "ok"]
    assert 0 < len(measured) < len(population)
    assert {seed.id for seed in seeds} == set(measured["genome_id"])


def test_seeds_of_another_depth_are_fitted_with_a_notice(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("genome\n11111-91111\n")
    seeds, notices = read(str(tmp_path / "p.csv"), "71111-91111-71111-91111-71111")
    assert [seed.depth for seed in seeds] == [DEPTH, DEPTH]
    assert "repeated from depth 2 to 4" in notices[0] and "cut from depth 5 to 4" in notices[1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("genome,status\n", r"p.csv holds no measured genome"),
        ("genome,status\n11111,infeasible\n", r"p.csv holds no measured genome"),
        ("genome\n11111-91114\n", r"p.csv line 2: .*LIV 1 gene feature_sharing: 4"),
        ("genome\n11111\n1111\n", r"p.csv line 3: .*LIV 0 is '1111'"),
        ("name\nx\n", r"p.csv has no column 'genome'"),
        ("genome\n18.1.1.1.1\n", r"p.csv line 2: .*LIV 0 gene liv_class: 18"),
    ],
)
def test_bad_csv_seeds(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "p.csv").write_text(content)
    with pytest.raises(UserError, match=message):
        read(str(tmp_path / "p.csv"))


def test_a_text_longer_than_a_file_name_and_a_folder_that_looks_like_a_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(read("-".join(["11111", "91111"] * 24))[0]) == 1
    monkeypatch.chdir(tmp_path)
    (tmp_path / "2026-11-25").mkdir()
    (tmp_path / "2026-11-25" / "g.yaml").write_text("schema: 1\ngenome: 71111-91111\n")
    assert len(read("2026-11-25")[0]) == 1


def test_a_folder_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(path: Path | str) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", locked)
    with pytest.raises(UserError, match=r"search.seeds: the folder .* cannot be read \(Permission"):
        read(str(tmp_path))


def test_seeds_that_are_no_regular_files(tmp_path: Path) -> None:
    for name in ("pipe.csv", "pipe.yaml", "pipe"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(UserError, match=rf"search.seeds: .*{name}: is a named pipe"):
            read(str(tmp_path / name))
    for name in ("n" * 300, "n" * 300 + ".csv", "n" * 300 + ".yaml"):
        with pytest.raises(UserError, match=r"search.seeds.*File name too long"):
            read(str(tmp_path / name))


@pytest.mark.parametrize("reference", ["no_design", "missing.csv", "missing.yaml", "11111-11116"])
def test_bad_seeds(reference: str) -> None:
    with pytest.raises(UserError, match="search.seeds"):
        read(reference)


def test_a_library_seed_of_a_larger_alphabet_is_left_out() -> None:
    seeds, notices = read("lfm2", "gated_deltanet")
    assert len(seeds) == 1
    assert notices[-1].startswith("seed gated_deltanet is left out: LIV 0 is GatedDelta, expected")


def test_a_baseline_of_a_larger_alphabet_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "pareto.csv"
    rows = "genome,origin\n18.1.1.1.1-9.1.1.1.1,{}\n11111-91111,offspring\n"
    path.write_text(rows.format("baseline"))
    seeds, notices = read(str(path))
    assert list(map(str, seeds)) == ["11111-91111-11111-91111"]
    assert notices[0].startswith(f"seed {path} line 2 is left out: LIV 0 is LinAttn, expected")
    path.write_text(rows.format("offspring"))
    with pytest.raises(UserError, match="line 2: .*LIV 0.*expected"):
        read(str(path))


def test_a_file_seed_of_a_larger_alphabet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "g.yaml").write_text(
        "schema: 1\nalphabet: extended\ngenome: 18.1.1.1.1-9.1.1.1.1\n"
    )
    message = r"g.yaml: LIV 0 is LinAttn, expected one of SA-1.*search.space.alphabet=star"
    with pytest.raises(UserError, match=message):
        read(str(tmp_path / "g.yaml"))
