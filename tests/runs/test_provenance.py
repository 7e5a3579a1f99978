"""What a run folder says of how it was made."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from star.runs.provenance import FROM_PYTHON, read_command, write_provenance


def commands(folder: Path) -> list[str]:
    return (folder / "command.txt").read_text(errors="surrogateescape").splitlines()


def note(folder: Path, *arguments: str, python: bool = False, fingerprint: str = "f00d") -> None:
    write_provenance(folder, "evolve", {}, fingerprint, None if python else arguments)


def test_the_command_names_the_folder_as_it_was_typed(tmp_path: Path) -> None:
    for typed in ("run_dir=my runs/one", "+run_dir=x", "++run_dir=x"):
        folder = tmp_path / typed.replace("/", "_")
        folder.mkdir()
        note(folder, "search.objectives=[validation_loss]", typed, "scale=cpu")
        parts = ["search.objectives=[validation_loss]", typed, "scale=cpu"]
        assert commands(folder) == [shlex.join(["python", "-m", "star.evolve", *parts])]


def test_the_command_of_a_run_without_a_folder_of_its_own_gets_it(tmp_path: Path) -> None:
    note(tmp_path, "+experiment=smoke")
    assert commands(tmp_path) == [f"python -m star.evolve +experiment=smoke run_dir={tmp_path}"]


def test_a_resume_adds_its_command_and_repeats_none(tmp_path: Path) -> None:
    first, longer = ("run_dir=x", "scale=cpu"), ("run_dir=x", "search.generations=9", "scale=cpu")
    for arguments in (first, first, longer, longer, first):
        note(tmp_path, *arguments)
    texts = [f"python -m star.evolve {' '.join(part)}" for part in (first, longer, first)]
    assert commands(tmp_path) == texts
    assert read_command(tmp_path) == texts[0]


def test_a_resume_from_python_is_noted_behind_the_commands(tmp_path: Path) -> None:
    note(tmp_path, python=True)
    assert not (tmp_path / "command.txt").exists() and read_command(tmp_path) == ""
    note(tmp_path, "run_dir=x")
    note(tmp_path, python=True)
    note(tmp_path, python=True)
    assert commands(tmp_path) == ["python -m star.evolve run_dir=x", FROM_PYTHON]
    assert read_command(tmp_path) == "python -m star.evolve run_dir=x"


@pytest.mark.parametrize("odd", ["a\nb", "caf\udce9", "it's", "$(x)", "a\npython -m star.x"])
def test_odd_arguments_survive_a_shell(tmp_path: Path, odd: str) -> None:
    for _ in range(2):
        note(tmp_path, f"data.path={odd}", "run_dir=x")
    with (tmp_path / "printed.sh").open("wb") as stream:
        text = (tmp_path / "command.txt").read_bytes()
        program = "import os, sys; print(ascii(sys.argv[1:]))"
        stream.write(
            text.replace(
                b"python -m star.evolve",
                shlex.quote(sys.executable).encode() + b" -c " + shlex.quote(program).encode(),
                1,
            )
        )
    result = subprocess.run(
        ["sh", tmp_path / "printed.sh"], capture_output=True, text=True, check=True
    )
    assert result.stdout == f"{[f'data.path={odd}', 'run_dir=x']!a}\n"


def test_the_environments_of_before_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def environment() -> dict:
        return json.loads((tmp_path / "environment.json").read_text())

    note(tmp_path)
    first = environment()
    note(tmp_path)
    assert environment() == first and "earlier" not in first
    monkeypatch.setattr("star.runs.provenance.__version__", "0.0.1")
    note(tmp_path)
    second = environment()
    assert second["earlier"] == [first] and second["star"] == "0.0.1"
    monkeypatch.undo()
    note(tmp_path)
    third = environment()
    del second["earlier"]
    assert third == {**first, "earlier": [first, second]}


@pytest.mark.parametrize("damage", ["", "[]", "{", "null", "3", '{"earlier": null}'])
def test_a_damaged_environment_hinders_nothing(tmp_path: Path, damage: str) -> None:
    (tmp_path / "environment.json").write_text(damage)
    note(tmp_path)
    assert json.loads((tmp_path / "environment.json").read_text())["packages"]["torch"]
