"""Files of the user's own groups: bad ones end with one line that names them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from star.base.command_line import compose_config
from star.base.errors import UserError
from tests.base.test_safe_yaml import BOMB

HEADER = "# @package _global_\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training:\n  steps: !!int abc\n", "mine.yaml: not readable as YAML ('abc' is no int"),
        ("seed: " + "9" * 5000, "is no int that can be read, line 2"),
        ("seed: " + "[" * 900, "levels are nested"),
        (f"constraints:\n  {BOMB.replace(chr(10), chr(10) + '  ')}", "values"),
        ("seed: 1\nseed: 2\n", "the key 'seed' occurs twice"),
        ("seed: &a [*a]\n", "refers to itself"),
        ("- seed\n", "mine.yaml: expected a mapping of settings"),
        ("seed: \xff\n", "mine.yaml: cannot be read (byte 26 is not UTF-8)"),
        ("seed: [\n", "not readable as YAML"),
        ("sed: 1\n", "sed: unknown key"),
        ("seed: x\n", "error: In 'experiment/mine': seed: Value 'x'"),
        ("run_dir: [a]\n", "error: In 'experiment/mine': run_dir: "),
        ("search:\n  seeds: a\n", "search.seeds: expected a list, such as [a,b]"),
    ],
    ids=lambda text: text[:24],
)
def test_a_bad_experiment_is_named(
    text: str, message: str, tmp_path: Path, command: Callable[..., Any]
) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_bytes((HEADER + text).encode("latin-1"))
    result = command("evolve", "--config-dir", str(tmp_path), "+experiment=mine")
    assert result.returncode == 2 and message in result.stderr, result.stderr
    assert result.stderr.count("\n") == 1 and len(result.stderr) < 600


def test_a_pipe_is_no_experiment(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    os.mkfifo(tmp_path / "experiment" / "mine.yaml")
    with pytest.raises(UserError, match="experiment 'mine' is unknown"):
        compose_config("evolve", ["+experiment=mine"], tmp_path)


@pytest.mark.parametrize("name", ["my [files], 'mine'", "caf\udce9", "2026_11_25", "a=b"])
def test_any_name_of_a_folder_will_do(name: str, tmp_path: Path) -> None:
    (tmp_path / name / "experiment").mkdir(parents=True)
    file = tmp_path / name / "experiment" / "mine.yaml"
    file.write_text(f"{HEADER}experiment_name: 2024-13-01\nseed: 7\n")
    config = compose_config("evolve", ["+experiment=mine"], tmp_path / name)
    assert (config.seed, config.experiment_name) == (7, "2024-13-01")


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    for folder in ("missing", "n" * 300):
        with pytest.raises(UserError, match="--config-dir="):
            compose_config("evolve", [], tmp_path / folder)
