"""The commands as a user runs them: files, exit codes, one-line errors."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from star.base.command_line import compose_config, default_scale
from star.genomes import ModelConfig, cache_bytes, load_genome, parameter_count
from star.genomes.hybrids import write_hybrid
from star.runs.columns import TIMING_COLUMNS
from tests.mixtures import hybrid_of

ROOT = Path(__file__).resolve().parents[1]
SMOKE = ("+experiment=smoke", "scale=cpu")
PLAIN_GA = "search.algorithm._target_=pymoo.algorithms.soo.nonconvex.ga.GA"


def run(verb: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"star.{verb}", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, timeout=240, check=False
    )


def test_describe_json(command: Callable[..., Any], tmp_path: Path) -> None:
    arguments = ("genome=transformer_pp", "depth=48", "width=2048", "context=4096", "format=json")
    content = json.loads(command("describe", *arguments).stdout)
    genome, _, _ = load_genome("transformer_pp", 48)
    model = ModelConfig(width=2048)
    assert content["genome"] == genome.to_text()
    assert (content["depth"], content["width"]) == (48, 2048)
    assert content["parameters"] == parameter_count(genome, model).non_embedding
    assert content["embedding_parameters"] == 256 * 2048
    assert content["cache_bytes"] == cache_bytes(genome, model)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("width=128", "width"),
        ("model.width=128", "width"),
        ("context=128", "context"),
        ("cache.context=128", "context"),
        ("batch=128", "batch"),
        ("cache.batch=128", "batch"),
    ],
)
def test_describe_shows_the_value_that_acts(
    given: str, shown: str, command: Callable[..., Any]
) -> None:
    """Whichever of a short name and the setting behind it was typed."""
    plain = json.loads(command("describe", "format=json").stdout)
    changed = json.loads(command("describe", "format=json", given).stdout)
    assert changed[shown] == 128 != plain[shown]
    assert changed["cache_bytes"] != plain["cache_bytes"]


def test_describe_table_shows_sharing_and_totals(command: Callable[..., Any]) -> None:
    result = command("describe", "genome=11112-91111-11112", "width=256")
    assert result.returncode == 0, result.stderr
    for words in ("softmax attention", "B, V of LIV 0", "total", "cache: 4.19 MB at context 4096"):
        assert words in result.stdout


@pytest.mark.parametrize(
    ("verb", "arguments", "message"),
    [
        ("evolve", ["search.objectives=[speed]"], "error: search.objectives: 'speed' is unknown"),
        (
            "evolve",
            ["search.baselines=[nope]"],
            "error: search.baselines: library genome 'nope' is unknown",
        ),
        ("evolve", ["search.seeds=[21x11]"], "error: search.seeds: "),
        ("evolve", ["search.seeds=[1111-91111]"], "LIV 0 is '1111'"),
        ("evolve", ["search.seeds=[11119-91111]"], "LIV 0 gene feature_sharing: 9 is not allowed"),
        ("evolve", ["data=files", "data.path=no/folder"], "data.path=no/folder: no such file"),
        ("evolve", ["data=files", "data.path=empty"], "data.path=empty: no file found"),
        ("evolve", ["data.kind=texts"], "data.kind='texts': expected one of stdlib, files"),
        ("evolve", ["data.kind=texts:letters"], "data.kind=texts: cannot be imported (ModuleNotFo"),
        ("evolve", ["executor.workers=0"], "executor.workers=0: expected 'auto' or a whole number"),
        ("evolve", ["executor=table"], "made by another recipe ("),
        (
            "evolve",
            ["executor=table", "executor.path=x.csv"],
            "executor.path=x.csv: cannot be used",
        ),
        ("evolve", ["plugins=[nothing_here]"], "plugins=nothing_here: cannot be imported ("),
        ("evolve", ["plugins=[nothing.py]"], "plugins=nothing.py: cannot be imported ("),
        ("evolve", ["run_dir=/proc/run"], "error: run_dir=/proc/run: cannot be written"),
        ("evolve", ["ledger=empty"], "error: ledger empty: "),
        ("evolve", ["seed=-1"], "error: seed=-1: expected a whole number from 0"),
        ("evolve", ["context=0"], "error: context=0: expected at least 1"),
        (
            "evolve",
            ["model.vocabulary=10"],
            "model.vocabulary=10: expected at least the data's 256",
        ),
        ("evolve", [PLAIN_GA], "minimises one objective, but search.objectives names 2"),
        ("evolve", ["training.steps=few"], "error: training.steps=few: "),
        ("evolve", ["width=40"], "error: width=40: expected a multiple of 16"),
        ("describe", ["genome=nope"], "error: library genome 'nope' is unknown; available"),
        ("describe", ["genome=lfm2", "alphabet=nope"], "error: alphabet 'nope' is unknown; avail"),
        ("describe", ["format=xml"], "error: format=xml: expected one of table, json"),
        ("describe", ["lineage=true"], "lineage=true expects <run folder>/<genome id>"),
    ],
)
def test_mistakes_end_with_one_line_and_exit_code_2(
    tmp_path: Path, verb: str, arguments: list[str], message: str, command: Callable[..., Any]
) -> None:
    (tmp_path / "empty").mkdir()
    given = [*SMOKE, *arguments] if verb == "evolve" else arguments
    result = command(verb, *given)
    assert result.returncode == 2, result.stderr
    assert message in result.stderr and result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.slow
def test_a_mistake_in_a_process_of_its_own_leaves_nothing(tmp_path: Path) -> None:
    result = run("evolve", *SMOKE, "ledger=/proc/ledger.sqlite", "run_dir=run", cwd=tmp_path)
    assert result.returncode == 2 and result.stdout == "" and result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_genome_of_a_run_is_described_by_its_id(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    assert command("evolve", "+experiment=tabular", "run_dir=run").returncode == 0
    front = pd.read_csv(tmp_path / "run" / "pareto.csv", dtype={"genome_id": str})
    population = pd.read_csv(tmp_path / "run" / "population.csv", dtype={"genome_id": str})
    row = front[front["origin"] == "offspring"].iloc[0]
    for reference in (f"run/{row.genome_id}", f"run/genomes/{row.genome_id}.yaml"):
        content = json.loads(
            command("describe", f"genome={reference}", "width=32", "format=json").stdout
        )
        assert content["genome"] == row.genome and content["parameters"] == row.parameters
        tree = command("describe", f"genome={reference}", "lineage=true")
        assert tree.returncode == 0 and tree.stdout.startswith(f"{row.genome_id}  generation ")
        for parent in str(row.parents).split():
            assert parent in tree.stdout and parent in set(population["genome_id"])
    result = command("describe", "genome=run/000000000000", "lineage=true")
    assert (
        result.returncode == 2 and "no candidate of that id in run/population.csv" in result.stderr
    )


def table_without_times(path: Path) -> str:
    return pd.read_csv(path, dtype=str).drop(columns=list(TIMING_COLUMNS)).to_csv(index=False)


@pytest.mark.slow
def test_smoke_leaves_the_same_front_with_one_and_two_workers(tmp_path: Path) -> None:
    for workers in (1, 2):
        arguments = ("+experiment=smoke", f"executor.workers={workers}", f"run_dir=run{workers}")
        result = run("evolve", *arguments, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        ends = ("at or below transformer_pp's loss", "no evolved genome")
        assert any(end in result.stdout for end in ends)
    first, second = tmp_path / "run1", tmp_path / "run2"
    for name in ("pareto.csv", "population.csv"):
        assert table_without_times(first / name) == table_without_times(second / name)
    assert len(pd.read_csv(first / "population.csv")) == 14
    config = yaml.safe_load((first / "config.yaml").read_text())
    assert config["training"]["steps"] == 5 and config["search"]["population"] == 6
    environment = json.loads((first / "environment.json").read_text())
    assert environment["packages"]["torch"] and len(environment["data_fingerprint"]) == 64
    repeat = f"+experiment=smoke executor.workers=1 run_dir=run1 scale={default_scale()}"
    assert (first / "command.txt").read_text() == f"python -m star.evolve {repeat}\n"
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


@pytest.mark.slow
def test_a_tilde_in_run_dir_is_the_home_folder(
    tmp_path: Path, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    small = ("search.baselines=[]", "search.population=2", "search.generations=1")
    assert command("evolve", "+experiment=tabular", *small, "run_dir=~/run").returncode == 0
    assert (tmp_path / "home" / "run" / "pareto.csv").exists()


@pytest.mark.slow
def test_a_search_without_any_measurement_fails(tmp_path: Path) -> None:
    arguments = ("training.learning_rate=1e9", "search.generations=1", "executor.workers=1")
    result = run("evolve", *SMOKE, "run_dir=run", *arguments, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("error: no candidate could be measured (8 diverged; diverged: ")
    assert result.stderr.endswith("; run/population.csv says why\n")
    assert result.stderr.count("\n") == 1
    assert set(pd.read_csv(tmp_path / "run" / "population.csv")["status"]) == {"infeasible"}


@pytest.mark.slow
def test_a_script_without_a_main_guard_searches(tmp_path: Path) -> None:
    script = tmp_path / "plain.py"
    script.write_text(
        "import star\n"
        "overrides = ['+experiment=smoke', 'scale=cpu', 'search.generations=1', 'run_dir=run']\n"
        "run = star.Search.from_config(star.compose_config('evolve', overrides)).run()\n"
        "print(sorted(set(run.population['status'])), len(run.front) > 0)\n"
    )
    for arguments in ([str(script)], ["-c", script.read_text().replace("'run'", "'run2'")]):
        result = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=240
        )
        assert result.stdout == "['ok'] True\n", result.stderr


def test_an_algorithms_own_arguments_can_be_given(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    own = ("search.algorithm.n_offsprings=3", "search.baselines=[]", "search.generations=2")
    result = command("evolve", "+experiment=tabular", *own, "run_dir=run")
    assert result.returncode == 0, result.stderr
    assert len(pd.read_csv(tmp_path / "run" / "population.csv")) == 16 + 3


EXPERIMENTS = sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml"))
SCALES = sorted(path.stem for path in (ROOT / "conf" / "scale").glob("*.yaml"))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_at_every_scale(
    experiment: str, scale: str, tmp_path: Path
) -> None:
    settings = [f"+experiment={experiment}", f"scale={scale}"]
    if experiment == "hybrid_frontier":
        write_hybrid(tmp_path, hybrid_of("attention", "lfm2"))
        settings.append(f"search.space.alphabet=hybrid:{tmp_path}")
    config = compose_config("evolve", settings)
    config.check()
    config.training.check()
    config.model.check()
    assert config.experiment_name == experiment
    assert config.model.width == config.width


def test_files_of_the_configuration_only_override() -> None:
    """No value stands in a YAML file that the dataclass has as its default."""
    from dataclasses import asdict

    from star.search.config import EvolveConfig

    defaults = asdict(EvolveConfig())

    def repeated(content: dict, default: Any, path: str) -> list[str]:
        found = []
        for key, value in content.items():
            known = default.get(key) if isinstance(default, dict) else None
            if isinstance(value, dict) and key != "algorithm":
                found += repeated(value, known, f"{path}.{key}")
            elif value == known and value is not None:
                found.append(f"{path}.{key}")
        return found

    for folder in ("search", "experiment", "data"):
        for path in (ROOT / "conf" / folder).glob("*.yaml"):
            if path.stem in ("tabular", "stdlib", "nsga2", "deep_frontier"):
                # a whole recipe; names of defaults; over another experiment
                continue
            content = yaml.safe_load(path.read_text())
            content.pop("defaults", None)
            base = defaults.get(folder, defaults) if folder != "experiment" else defaults
            assert repeated(content, base, path.name) == []
