"""Baselines: designs of the library and of the user's own."""

from pathlib import Path
from typing import Any

import pytest

from star.base.errors import UserError
from star.genomes import Genome, GenomeFile, fit_depth, load_genome, write_genome_file
from star.runs.run import Run
from star.search import EvolveConfig, Search, SearchConfig
from star.search.space.baselines import read_baselines
from tests.search.made_up import MadeUp

DEPTH = 4


def config(*references: str, **settings: Any) -> EvolveConfig:
    search = SearchConfig(
        objectives=["validation_loss", "cache_bytes"],
        population=8,
        generations=3,
        baselines=list(references),
    )
    return EvolveConfig(depth=DEPTH, search=search, **settings)


def read(*references: str) -> tuple[dict[str, Genome], list[str]]:
    return read_baselines(config(*references))


def write(path: Path, text: str, name: str = "a name", alphabet: str = "star") -> str:
    path.parent.mkdir(exist_ok=True)
    write_genome_file(path, GenomeFile(name, Genome.from_text(text, alphabet)))
    return str(path)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A finished search with made-up results."""
    return Search.from_config(config(run_dir=str(tmp_path / "run")), MadeUp()).run()


def test_files_folders_and_library_names_mix(tmp_path: Path) -> None:
    mine = write(tmp_path / "mine.yaml", "71111-91111-71111-91111")
    write(
        tmp_path / "more" / "b.yaml",
        "18.1.1.1.1-9.1.1.1.1-9.1.1.1.1-9.1.1.1.1",
        alphabet="extended",
    )
    write(tmp_path / "more" / "a.yaml", "51111-91111")
    (tmp_path / "more" / "notes.txt").write_text("no genome")
    baselines, notices = read(mine, str(tmp_path / "more"), "lfm2")
    assert list(baselines) == ["mine", "a", "b", "lfm2"]
    assert baselines["mine"].to_text() == "71111-91111-71111-91111"
    assert baselines["lfm2"] == load_genome("lfm2", DEPTH)[0].canonical()
    assert baselines["b"].classes()[0].name == "LinAttn"
    assert {genome.depth for genome in baselines.values()} == {DEPTH}
    path = tmp_path / "more" / "a.yaml"
    assert notices == [f"baseline {path}: repeated from depth 2 to 4"]


def test_the_front_of_a_run_folder(run: Run) -> None:
    baselines, notices = read(str(run.path))
    assert list(baselines) == list(run.front["genome_id"]) and not notices
    for genome_id, genome in baselines.items():
        assert genome.id == genome_id == run.genome(genome_id).id


def test_designs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / folder / "x.yaml", f"{n}1111-91111") for n, folder in ((7, "a"), (5, "b"))
    ]
    baselines, _ = read(*paths, paths[0])
    assert list(baselines) == ["x", paths[1]]
    assert baselines["x"] == fit_depth(Genome.from_text("71111-91111"), DEPTH).canonical()


def test_they_are_trained_and_shown_under_their_names(tmp_path: Path) -> None:
    mine = write(tmp_path / "mine.yaml", "71111-91111-71111-91111")
    search = Search.from_config(config(mine, run_dir=str(tmp_path / "run")), MadeUp())
    run = search.run()
    first = run.population.iloc[0]
    assert first["origin"] == "baseline" and first["genome_id"] == search.baselines["mine"].id


def test_a_text_longer_than_a_path_is_a_design() -> None:
    text = "-".join(["71111", "91111"] * 60)
    baselines, _ = read(text)
    assert list(baselines) == [text]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nope", "search.baselines: library genome 'nope' is unknown"),
        ("missing.yaml", "search.baselines: missing.yaml: cannot be read"),
        ("empty", "search.baselines: the folder empty holds no genome files"),
        ("broken.yaml", "search.baselines: broken.yaml: expected exactly one of the keys"),
    ],
)
def test_what_is_no_design_is_named(
    reference: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("broken.yaml").write_text("schema: 1\n")
    with pytest.raises(UserError) as caught:
        read(reference)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_run_without_a_front_is_refused(run: Run) -> None:
    header = (run.path / "pareto.csv").read_text().splitlines()[0]
    (run.path / "pareto.csv").write_text(f"{header}\n")
    with pytest.raises(UserError, match="the front of .* is empty; choose a run with results"):
        read(str(run.path))
