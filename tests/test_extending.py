"""The snippets of docs/extending.md and docs/python.md, run as they stand in a folder."""

import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from star.evaluation.evaluate import _measured
from tests import registrations

DOCS = Path(__file__).parents[1] / "docs"
EXTENDING = (DOCS / "extending.md").read_text(encoding="utf-8")
LONGEST = 30  # lines of a snippet
TINY = ("scale=cpu", "search.generations=1", "training.steps=2", "executor.workers=1")


def snippets(text: str) -> dict[str, str]:
    """Code blocks by the file name in their first line."""
    blocks = re.findall(r"^```\w+\n# (\S+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return dict(blocks)


def commands(text: str) -> list[str]:
    return re.findall(r"^    (python -m star\..*)$", text, re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with every file of the page, as a user has it; what was registered is forgotten."""
    for name, content in snippets(EXTENDING).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    with registrations.temporary():
        yield tmp_path
    _measured.cache_clear()
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(tmp_path):
            del sys.modules[name]


def test_every_snippet_is_short() -> None:
    found = snippets(EXTENDING)
    assert len(found) >= 7
    for name, content in found.items():
        assert sum(bool(line.strip()) for line in content.splitlines()) <= LONGEST, name


COMMANDS = [
    pytest.param(line, id=line[15:60], marks=[pytest.mark.slow] if "evolve" in line else [])
    for line in commands(EXTENDING)
]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_runs(line: str, folder: Path, command: Callable[..., Any]) -> None:
    _, _, module, *arguments = shlex.split(line)
    verb = module.removeprefix("star.")
    if verb == "generate":  # from what the line before it trained
        (before,) = [text for text in commands(EXTENDING) if text.endswith("run_dir=mine")]
        assert command("train", *shlex.split(before)[3:], cwd=folder).returncode == 0
    if verb == "evolve":
        arguments += [*TINY, "run_dir=run"]
    result = command(verb, *arguments, cwd=folder)
    assert result.returncode == 0, result.stderr
    if verb != "evolve":
        return
    population = pd.read_csv(folder / "run" / "population.csv")
    assert (population["status"] == "ok").any()
    if "Mixers" in line:
        (heading,) = [row for row in result.stdout.splitlines() if row.startswith(" genome ")]
        assert heading.split()[1:5] == ["loss", "params", "cache", "mixers"]
        evolved = population[population["origin"] != "baseline"]
        assert (evolved["status"] == "ok").all() and (evolved["mixers"] <= 3).all()
    if "Certainty" in line:
        assert population["certainty"].between(0, 1).all() and population["certainty"].nunique() > 1
    if "baselines=[sandwich" in line:
        assert "\n sandwich " in result.stdout


@pytest.mark.slow
def test_the_suites_of_the_page_pass(folder: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "test_my_objectives.py",
        "-p",
        "no:cacheprovider",
    ]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0 and " passed" in result.stdout, result.stdout + result.stderr


def test_the_operator_passes_its_suite(folder: Path) -> None:
    from star.base.imports import import_plugins
    from star.testing.structures import check_class

    import_plugins(["my_operator.py"])
    check_class(10_000)


@pytest.mark.slow
def test_the_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = snippets((DOCS / "python.md").read_text(encoding="utf-8"))
    code = found["example.py"]
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 24
    monkeypatch.chdir(tmp_path)
    (tmp_path / "example.py").write_text(code)
    runpy.run_path("example.py", run_name="__main__")
    output = capsys.readouterr().out
    assert "nats per byte" in output and "validation_loss" in output
    front = pd.read_csv(tmp_path / "runs" / "notebook" / "pareto.csv")
    assert len(front) and (tmp_path / "runs" / "notebook" / "genomes").is_dir()
    assert not (tmp_path / "runs" / "notebook" / "command.txt").exists()


def test_a_search_in_memory_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = snippets((DOCS / "python.md").read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in_memory.py").write_text(found["in_memory.py"])
    runpy.run_path("in_memory.py", run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["-1", "0", "1", "2"]
    assert [path.name for path in tmp_path.iterdir()] == ["in_memory.py"]


def test_importing_star_loads_nothing() -> None:
    code = "import sys, star; print({'torch', 'numpy', 'pymoo', 'hydra'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.stdout.strip() == "set()", result.stderr


def test_the_face_holds_what_it_promises() -> None:
    import star

    table = (DOCS / "python.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(\w+)[.(]", table, re.MULTILINE))
    assert documented <= set(star.__all__)
    assert {"Genome", "Objective", "CacheSetting", "ModelConfig"} == set(star.__all__) - documented
    for name in star.__all__:
        assert getattr(star, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        star.nothing  # noqa: B018
    assert star.describe("lfm2", width=64, depth=6)["depth"] == 6
    assert star.costs("lfm2").cache_bytes == star.describe("lfm2", width=64)["cache_bytes"]
    infeasible = star.evaluate(
        "mamba", overrides=["+experiment=smoke", "training.learning_rate=1e30"]
    )
    assert infeasible.status == "infeasible" and infeasible.failure == "diverged"
