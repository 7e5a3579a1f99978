"""A genome of a run keeps the sizes, the data and the training that it was found with."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

import star
from star.base.command_line import compose_config
from star.genomes import Genome, GenomeFile, ModelConfig, load_genome
from star.models import decode
from star.models.checkpoint import save_checkpoint
from star.runs.origin import configured, load_reference, origin_settings, read_origin
from star.search import Search
from star.search.space.problem import GenomeProblem
from star.search.space.seeds import read_seeds

Command = Callable[..., Any]  # the fixture: a command in this process
# Widths: 48 in the search, 64 is the default of star.train and 768 that of star.describe.
SEARCH = (
    *("+experiment=smoke", "scale=cpu", "data=files", "data.path=texts", "width=48", "context=96"),
    *("search.baselines=[]", "search.population=4", "search.generations=1", "run_dir=run"),
    *("training.steps=1", "training.length=48", "model.window=16"),
)
TRAIN = ("steps=1", "tensorboard=never")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a run over texts of its own, searched with relative paths."""
    folder = tmp_path_factory.mktemp("origin")
    (folder / "texts").mkdir()
    for number in range(40):
        (folder / "texts" / f"{number}.txt").write_text(f"text {number} of our own. " * 40)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Search.from_config(compose_config("evolve", SEARCH)).run()
        yield folder


@pytest.fixture
def genome(folder: Path) -> Path:
    return sorted((folder / "run" / "genomes").glob("*.yaml"))[0]


def row(folder: Path, genome: Path) -> dict[str, Any]:
    front = pd.read_csv(folder / "run" / "pareto.csv", dtype={"genome_id": str})
    (found,) = front[front["genome_id"] == genome.stem].to_dict("records")
    return {str(key): value for key, value in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["file", "reference", "copied file", "file of before"])
def test_train_and_describe_take_size_and_data_of_the_run(
    how: str, folder: Path, genome: Path, tmp_path: Path, command: Command
) -> None:
    expected, reference, cwd = row(folder, genome), str(genome), tmp_path
    if how == "reference":
        reference = f"{folder}/run/{genome.stem}"
    if how == "copied file":
        reference = str(tmp_path / "copy.yaml")
        Path(reference).write_text(genome.read_text())
    if how == "file of before":
        old = Path(shutil.copytree(folder / "run", tmp_path / "run")) / "genomes" / genome.name
        content = yaml.safe_load(genome.read_text())
        del content["settings"]
        old.write_text(yaml.safe_dump(content))
        reference, cwd = str(old), folder  # whose config.yaml has a relative path
    described = command("describe", f"genome={reference}", "format=json", cwd=cwd)
    content = json.loads(described.stdout)
    for name in ("parameters", "cache_bytes"):
        assert content[name] == expected[name]
    trained = command(
        "train", f"genome={reference}", *TRAIN, f"run_dir={tmp_path}/trained", cwd=cwd
    )
    assert trained.returncode == 0, trained.stderr
    found = json.loads((tmp_path / "trained" / "evaluation.json").read_text())
    for name in ("parameters", "cache_bytes", "validation_loss"):  # one step is the same anyway
        assert found[name] == pytest.approx(expected[name])
    shown = " ".join(trained.stdout.split())
    assert "model.width=48" in shown and "cache.context=96" in shown
    assert "data.path=texts" in shown if how == "file of before" else f"{folder}/texts" in shown


def test_what_is_typed_wins_and_is_said(
    folder: Path, genome: Path, tmp_path: Path, command: Command
) -> None:
    typed = ("width=32", "cache.context=64", "data=stdlib", f"run_dir={tmp_path}/trained")
    trained = command("train", f"genome={genome}", *TRAIN, *typed)
    shown = " ".join(trained.stdout.split())
    assert f"other than in {genome.name}" in shown.replace(f"{genome.parent}/", "")
    assert "model.width=32 instead of 48" in shown
    assert "cache.context=64 instead of 96" in shown
    assert "data.kind=stdlib instead of files" in shown
    settings = yaml.safe_load((tmp_path / "trained" / "config.yaml").read_text())
    assert (settings["width"], settings["model"]["width"]) == (32, 32)
    assert settings["model"]["window"] == 16  # nothing else was typed


def test_a_text_that_changed_since_is_said(
    folder: Path, genome: Path, tmp_path: Path, command: Command
) -> None:
    (folder / "texts" / "new.txt").write_text("something new " * 100)
    trained = command("train", f"genome={genome}", *TRAIN, f"run_dir={tmp_path}/trained")
    assert "the text has changed since" in trained.stdout
    (folder / "texts" / "new.txt").unlink()


def test_a_checkpoint_s_genome_and_the_python_face_remember_too(
    folder: Path, genome: Path, tmp_path: Path, command: Command
) -> None:
    expected = row(folder, genome)
    assert star.costs(genome).parameters == expected["parameters"]
    assert star.costs(genome).cache_bytes == expected["cache_bytes"]
    assert star.describe(genome)["cache_bytes"] == expected["cache_bytes"]
    assert star.describe(genome, width=64, context=128)["width"] == 64
    assert star.decode(genome).embedding.weight.shape == (256, 48)
    command("train", f"genome={genome}", *TRAIN, f"run_dir={tmp_path}/first")
    again = ("train", f"genome={tmp_path}/first/genome.yaml", *TRAIN, f"run_dir={tmp_path}/second")
    assert command(*again).returncode == 0
    first, second = (
        json.loads((tmp_path / name / "evaluation.json").read_text())
        for name in ("first", "second")
    )
    assert first == second


def test_paths_of_data_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("bpe", "bytes", "mine"):
        (tmp_path / name).mkdir()
    given = {"path": "texts", "tokenizer": "mine", "name": "owner/texts"}
    kept = {"path": f"{tmp_path}/texts", "tokenizer": f"{tmp_path}/mine", "name": "owner/texts"}
    assert origin_settings({"data": given}) == {"data": kept}
    for tokenizer in ("bpe", "bytes", "owner/model"):
        there = {"data": {"tokenizer": tokenizer}}
        assert origin_settings(there) == there


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": 3}, "settings.model is 3, expected a mapping"),
        ({"model": {"width": "wide"}}, "settings.model.width='wide'"),
        ({"model": {"width": 20}}, "width=20: expected a multiple of 16"),
        ({"data": {"kind": "files", "path": "/nowhere/x"}}, "data.path=/nowhere/x"),
        ([], "key 'settings' is []"),
    ],
)
def test_settings_that_cannot_be_used_are_one_line(
    settings: Any, message: str, tmp_path: Path, command: Command
) -> None:
    content = {"schema": 1, "name": "mine", "genome": "91111-71111", "settings": settings}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    result = command("train", f"genome={path}", *TRAIN, f"run_dir={tmp_path}/run")
    assert result.returncode == 2 and message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("word", ["bpe", "bytes"])
def test_a_folder_that_is_called_as_a_tokenizer_is_not_taken_for_one(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / word).mkdir()
    assert origin_settings({"data": {"tokenizer": word}}) == {"data": {"tokenizer": word}}
    (tmp_path / "mine").mkdir()
    found = origin_settings({"data": {"tokenizer": "mine"}})
    assert found == {"data": {"tokenizer": str(tmp_path / "mine")}}


def test_a_width_that_is_the_designs_own_keeps_the_sizes_beside_it() -> None:
    own = compose_config("train", ["genome=lfm3", "width=2048"])
    assert own.model == compose_config("train", ["genome=lfm3"]).model
    assert compose_config("train", ["genome=lfm3", "width=1024"]).model.head_width is None


def test_a_checkpoint_folder_is_its_genome_unless_a_design_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genome, sizes = Genome.from_text("31111-91111"), ModelConfig(width=32, head_width=4)
    own = GenomeFile("mine", genome, settings={"model": sizes.content()})
    for name in ("lfm2", "mine"):
        (tmp_path / name).mkdir()
        save_checkpoint(tmp_path / name, decode(genome, sizes), own, sizes)
    monkeypatch.chdir(tmp_path)
    assert load_reference("mine")[:2] == (genome, "mine")
    assert load_reference("lfm2")[0] == load_genome("lfm2")[0] and read_origin("lfm2") is None
    assert configured(ModelConfig(), read_origin("mine"), "model") == sizes
    problem = GenomeProblem(2, 1)
    assert read_seeds(["mine"], problem)[0] == [genome]
