"""`python -m star.report`, and `picture=` of `star.describe`: what they write and refuse."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from star.base.locks import locked
from star.runs.claim import LOCK
from star.runs.report.live import FIGURES, REPORT
from star.runs.run import Run
from star.search import Search
from tests.conftest import Result

Made = Callable[..., tuple[Search, Run]]
Command = Callable[..., Result]


@pytest.mark.slow
def test_the_page_of_a_run(made: Made, command: Command) -> None:
    _, run = made()
    shutil.rmtree(run.path / FIGURES, ignore_errors=True)
    (run.path / REPORT).unlink()
    result = command("report", f"run={run.path}")
    assert result.returncode == 0 and result.stdout.startswith(f"report: {run.path / REPORT}, ")
    assert (run.path / REPORT).exists() and (run.path / FIGURES / "front.svg").exists()
    again = command("report", f"run=[{run.path}]", "figures=false")
    assert again.stdout == f"report: {run.path / REPORT}\n"


def test_the_page_of_several_runs(made: Made, command: Command, tmp_path: Path) -> None:
    _, run = made()
    shutil.copytree(run.path, tmp_path / "copy")
    result = command("report", f"run=[{run.path},copy]", "figures=false")
    assert result.stdout == f"report: star_report/{REPORT}\n", result.stderr
    chosen = command("report", f"run=[{run.path},copy]", "to=my pages", "figures=false")
    assert chosen.stdout == f"report: my pages/{REPORT}\n"


def test_a_run_that_goes_on_is_seen(made: Made, command: Command) -> None:
    _, run = made()
    with locked(run.path / LOCK):
        command("report", f"run={run.path}", "figures=false")
    assert 'id="live"' in (run.path / REPORT).read_text()
    command("report", f"run={run.path}", "figures=false")
    assert 'id="live"' not in (run.path / REPORT).read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "run: expected the folder of a search, or several: run=[a,b]"),
        (["run=nowhere"], "nowhere: not a run, it has no population.csv"),
        (["run=[run,run]"], "names a run twice"),
        (["run=empty"], "run=empty: no candidate has finished yet"),
        (["run=damaged"], "damaged: not a readable run"),
        (["run=run", "to=taken"], "taken/report.html: is there already and is no report"),
        (["run=run", "to=mine"], "mine/figures: is there already without a report; choose another"),
        (["run=run", "to=file"], "to=file: cannot be written (File exists)"),
        (["run=run", "figure=false"], "figure: unknown key"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], expected: str, made: Made, command: Command, tmp_path: Path
) -> None:
    _, run = made()
    for name in ("empty", "damaged"):
        shutil.copytree(run.path, tmp_path / name)
    text = (run.path / "population.csv").read_text()
    (tmp_path / "empty/population.csv").write_text(text.splitlines()[0] + "\n")
    (tmp_path / "damaged/population.csv").write_bytes(b"\xff\x00,\n1")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / REPORT).write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "mine/figures").mkdir(parents=True)
    result = command("report", *arguments)
    assert result.returncode == 2 and expected in result.stderr
    assert result.stderr.count("\n") == 1
    assert (tmp_path / "taken" / REPORT).read_text() == "mine"


CELLS = [
    *((column, value) for column in ("generation", "rank", "seeds", "train_tokens", "cache_bytes")
      for value in ("inf", "abc")),
    ("train_seconds", "abc"), ("variation", "5"), ("genome_id", ""), ("origin", "<b>"),
]  # fmt: skip
SETTINGS = [
    *(("depth", value) for value in ("null", "[1]", "abc", ".nan", "-1")),
    *(("training", value) for value in ("null", "3", "{steps: abc}", "{steps: null}")),
    *(("search", value) for value in ("null", "{objectives: null}", "{objectives: 5}")),
    *(("model", value) for value in ("3", "{width: abc}", "{match: 'state:10'}")),
    ("data", "null"), ("cache", "{context: -1}"), ("constraints", "{not_there: 1}"),
]  # fmt: skip
ENVIRONMENTS = ["null", "3", '"x"', '{"gpus": 3}', '{"packages": [1]}', "{", ""]
VALIDATED = ["steps", "seeds", "validation_loss", "validation_loss_low", "search_validation_loss",
             "on_front", "role", "status", "genome_id"]  # fmt: skip


def expect_page_or_line(result: Result) -> None:
    """A damaged file may not matter, or be named in one line; nothing else was raised."""
    assert result.returncode in (0, 2), result.stderr
    assert result.stderr.count("\n") == (result.returncode == 2), result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("column", "value"), CELLS)
def test_a_damaged_cell(column: str, value: str, made: Made, command: Command) -> None:
    _, run = made(generations=1)
    frame = pd.read_csv(run.path / "population.csv", dtype=str, keep_default_na=False)
    frame.loc[1, column] = value
    frame.to_csv(run.path / "population.csv", index=False)
    expect_page_or_line(command("report", f"run={run.path}", "figures=false"))


def test_a_row_that_is_there_twice(made: Made, command: Command) -> None:
    _, run = made(generations=1)
    path = run.path / "population.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[2]]) + "\n")
    expect_page_or_line(command("report", f"run={run.path}", "figures=false"))


@pytest.mark.slow
@pytest.mark.parametrize(("key", "value"), SETTINGS)
def test_damaged_settings(key: str, value: str, made: Made, command: Command) -> None:
    _, run = made(generations=1)
    path = run.path / "config.yaml"
    settings = yaml.safe_load(path.read_text())
    given = yaml.safe_load(value)
    both = isinstance(given, dict) and isinstance(settings[key], dict)
    settings[key] = {**settings[key], **given} if both else given
    path.write_text(yaml.safe_dump(settings))
    expect_page_or_line(command("report", f"run={run.path}", "figures=false"))


@pytest.mark.slow
@pytest.mark.parametrize("text", ENVIRONMENTS)
def test_a_damaged_environment(text: str, made: Made, command: Command) -> None:
    _, run = made(generations=1)
    (run.path / "environment.json").write_text(text)
    result = command("report", f"run={run.path}", "figures=false")
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("value", ["inf", "abc"])
@pytest.mark.parametrize("column", VALIDATED)
def test_a_damaged_validation(column: str, value: str, made: Made, command: Command) -> None:
    _, run = made(generations=1)
    rows = [
        {"genome_id": c.genome_id, "role": "front", "status": "ok", "seeds": 3, "steps": 2000,
         "search_validation_loss": 2.0 + n, "validation_loss": 1.0 + n, "validation_loss_low": 0.5,
         "validation_loss_high": 1.5, "on_front": True}
        for n, c in enumerate(run.candidates.values())
    ]  # fmt: skip
    rows[1][column] = value
    pd.DataFrame(rows).to_csv(run.path / "validated.csv", index=False)
    result = command("report", f"run={run.path}", "figures=false")
    assert result.returncode == 0, result.stderr


def test_a_pipe_is_not_waited_for(made: Made, command: Command) -> None:
    _, run = made(generations=1)
    (run.path / REPORT).unlink()
    os.mkfifo(run.path / REPORT)
    result = command("report", f"run={run.path}", "figures=false")
    assert result.returncode == 2 and "is there already and is no report" in result.stderr


def test_a_half_finished_run_has_a_page(made: Made, command: Command) -> None:
    _, run = made()
    for name in ("pareto.csv", "environment.json", "command.txt", "ledger.sqlite"):
        (run.path / name).unlink(missing_ok=True)
    text = (run.path / "population.csv").read_text().splitlines()
    (run.path / "population.csv").write_text("\n".join(text[:3]) + "\n")
    result = command("report", f"run={run.path}", "figures=false")
    assert result.returncode == 0, result.stderr


def test_a_genome_is_drawn(command: Command, tmp_path: Path) -> None:
    result = command("describe", "genome=lfm2", "depth=4", "width=64", "picture=card.svg")
    assert result.stdout.endswith("picture: card.svg\n")
    svg = (tmp_path / "card.svg").read_text()
    assert "SA-3" in svg or "GConv-1" in svg
    assert "lfm2, 4 LIVs of width 64" in svg


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        ("card.jpg", "picture=card.jpg: expected a name that ends in .svg or .png"),
        ("there.svg", "picture=there.svg: is a file already; choose another name"),
        ("nowhere/card.png", "picture=nowhere/card.png: cannot be written"),
    ],
)
def test_pictures_that_cannot_be(
    picture: str, expected: str, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "there.svg").write_text("mine")
    result = command("describe", "genome=lfm2", f"picture={picture}")
    assert result.returncode == 2 and expected in result.stderr
    assert (tmp_path / "there.svg").read_text() == "mine"
