"""The commands as a user runs them: files, exit codes, one-line errors."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from star.base.command_line import default_scale, one_line
from star.genomes import Genome, ModelConfig, cache_bytes, load_genome, parameter_count
from star.search.candidates import TIMING_COLUMNS

SMOKE = ("+experiment=smoke", "scale=cpu")
PLAIN_GA = "search.algorithm._target_=pymoo.algorithms.soo.nonconvex.ga.GA"


def run(verb: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"star.{verb}", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, timeout=240, check=False
    )


def test_describe_json(tmp_path: Path) -> None:
    result = run(
        "describe",
        "genome=transformer_pp",
        "depth=48",
        "width=2048",
        "context=4096",
        "format=json",
        cwd=tmp_path,
    )
    content = json.loads(result.stdout)
    genome, _, _ = load_genome("transformer_pp", 48)
    model = ModelConfig(width=2048)
    assert (
        content["genome"] == genome.to_text()
        and content["depth"] == 48
        and content["width"] == 2048
    )
    assert content["parameters"] == parameter_count(genome, model).non_embedding
    assert content["embedding_parameters"] == 256 * 2048
    assert content["cache_bytes"] == cache_bytes(genome, model)
    assert list(tmp_path.iterdir()) == []


def test_describe_table_shows_sharing_and_totals(tmp_path: Path) -> None:
    result = run("describe", "genome=11112-91111-11112", "width=256", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (
        "softmax attention" in result.stdout
        and "B, V of LIV 0" in result.stdout
        and "total" in result.stdout
    )


@pytest.mark.parametrize(
    ("verb", "arguments", "message"),
    [
        (
            "evolve",
            ["+experiment=nope"],
            "error: experiment 'nope' is unknown; available: cache_frontier",
        ),
        (
            "evolve",
            [*SMOKE, "search.objectives=[speed]"],
            "error: search.objectives: 'speed' is unknown",
        ),
        (
            "evolve",
            [*SMOKE, "search.baselines=[nope]"],
            "error: search.baselines: library genome 'nope' is unknown",
        ),
        ("evolve", [*SMOKE, "search.seeds=[21x11]"], "error: search.seeds: "),
        ("evolve", [*SMOKE, "search.seeds=[1111-91111]"], "LIV 0 is '1111'"),
        (
            "evolve",
            [*SMOKE, "search.seeds=[11119-91111]"],
            "LIV 0 gene feature_sharing: 9 is not allowed",
        ),
        (
            "evolve",
            [*SMOKE, "data=files", "data.path=no/folder"],
            "error: data.path=no/folder: no such file",
        ),
        (
            "evolve",
            [*SMOKE, "data=files", "data.path=empty"],
            "error: data.path=empty: no file found",
        ),
        ("evolve", [*SMOKE, "workers=0"], "error: workers=0: expected 'auto' or a whole number"),
        ("evolve", [*SMOKE, "run_dir=/proc/run"], "error: run_dir=/proc/run: cannot be written"),
        ("evolve", [*SMOKE, "seed=-1"], "error: seed=-1: expected a whole number from 0"),
        ("evolve", [*SMOKE, "context=0"], "error: cache.context=0: expected a whole number"),
        (
            "evolve",
            [*SMOKE, "model.vocabulary=10"],
            "error: model.vocabulary=10: expected at least the data's 256",
        ),
        (
            "evolve",
            [*SMOKE, PLAIN_GA],
            "minimises one objective, but search.objectives names 2",
        ),
        ("evolve", [*SMOKE, "colour=red"], "error: colour: unknown key"),
        ("evolve", [*SMOKE, "training.steps=few"], "error: training.steps=few: "),
        ("evolve", [*SMOKE, "width=40"], "error: model.width=40: expected a multiple of 16"),
        (
            "describe",
            ["genome=nope"],
            "error: library genome 'nope' is unknown; available: gqa_transformer",
        ),
        ("describe", ["format=xml"], "error: format='xml': expected one of table, json"),
    ],
)
def test_mistakes_end_with_one_line_and_exit_code_2(
    tmp_path: Path, verb: str, arguments: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    result = run(verb, *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def table_without_times(path: Path) -> str:
    return pd.read_csv(path, dtype=str).drop(columns=list(TIMING_COLUMNS)).to_csv(index=False)


@pytest.mark.slow
def test_smoke_leaves_the_same_front_with_one_and_two_workers(tmp_path: Path) -> None:
    for workers in (1, 2):
        result = run(
            "evolve",
            "+experiment=smoke",
            f"workers={workers}",
            f"run_dir=run{workers}",
            cwd=tmp_path,
        )
        assert result.returncode == 0, result.stderr
        assert (
            "at or below transformer_pp's loss" in result.stdout
            or "no evolved genome" in result.stdout
        )
    first, second = tmp_path / "run1", tmp_path / "run2"
    assert table_without_times(first / "pareto.csv") == table_without_times(second / "pareto.csv")
    assert table_without_times(first / "population.csv") == table_without_times(
        second / "population.csv"
    )
    assert len(pd.read_csv(first / "population.csv")) == 14
    config = yaml.safe_load((first / "config.yaml").read_text())
    assert config["training"]["steps"] == 5 and config["search"]["population"] == 6
    environment = json.loads((first / "environment.json").read_text())
    assert environment["packages"]["torch"] and len(environment["data_fingerprint"]) == 64
    assert (
        first / "command.txt"
    ).read_text() == f"python -m star.evolve +experiment=smoke workers=1 scale={default_scale()}\n"
    again = run("evolve", *SMOKE, "training.steps=4", "run_dir=run1", cwd=tmp_path)
    assert again.returncode == 2 and "training.steps is 5 there, 4 here" in again.stderr


def group_ends(group: int) -> bool:
    """Whether every process of the group is gone within ten seconds of its leader's end."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_ctrl_c_ends_the_workers_and_leaves_whole_files(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "star.evolve", *SMOKE, "search.generations=500", "run_dir=run"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    population = tmp_path / "run" / "population.csv"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (
        population.exists() and population.read_text().count("\n") > 10
    ):
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "finished candidates are in run" in output and "Traceback" not in errors
    rows = pd.read_csv(population)
    assert len(rows) >= 10 and rows["genome_id"].is_unique
    assert group_ends(process.pid)
    assert not list(tmp_path.rglob(".*.csv.*"))


EXPERIMENTS = sorted(
    path.stem for path in (Path(__file__).parents[1] / "conf" / "experiment").glob("*.yaml")
)
SCALES = sorted(path.stem for path in (Path(__file__).parents[1] / "conf" / "scale").glob("*.yaml"))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_at_every_scale(experiment: str, scale: str) -> None:
    import star.evolve  # noqa: F401  # registers the schema

    OmegaConf.register_new_resolver("star.default_scale", default_scale, replace=True)
    with initialize_config_module("star.conf", version_base="1.3"):
        config = OmegaConf.to_object(
            compose("evolve", [f"+experiment={experiment}", f"scale={scale}"])
        )
    config.training.check()  # type: ignore[union-attr]
    config.model.check()  # type: ignore[union-attr]
    assert config.experiment_name == experiment  # type: ignore[union-attr]
    assert config.model.width == config.width  # type: ignore[union-attr]


def test_errors_fit_on_one_line() -> None:
    assert one_line(ValueError("a\n  b\n")) == "a b"
    assert Genome.from_text("91111").depth == 1
