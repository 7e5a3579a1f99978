"""What a command is given and shows in any encoding, and its last line for what nobody expected."""

import io
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from star.base.command_line import run_command
from star.genomes import Genome, GenomeFile, write_genome_file

AWKWARD = "[bold]é[/x] :smile: 日本"


def describe_in(encoding: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> str:

    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    monkeypatch.setattr(sys, "argv", ["star.describe", f"genome={path}"])
    run_command("describe", import_module("star.describe").main)
    sys.stdout.flush()
    return written.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8", "latin-1"])
def test_names_that_an_encoding_lacks_are_escaped(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genome = Genome.from_text("71111-91111")
    write_genome_file(tmp_path / "g.yaml", GenomeFile(AWKWARD, genome))
    shown = describe_in(encoding, tmp_path / "g.yaml", monkeypatch)
    assert AWKWARD.encode(encoding, "backslashreplace").decode(encoding) in shown


def test_markup_is_text(command: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "[red]").mkdir()
    path = Path("[red]") / "[bold].yaml"
    content = GenomeFile("[bold]a[/bold][/x]", Genome.from_text("71111-91111"))
    write_genome_file(tmp_path / path, content)
    result = command("describe", f"genome={path}", "depth=3")
    assert result.returncode == 0, result.stderr
    assert "[bold]a[/bold][/x]" in result.stdout
    assert f"note: {path}: repeated from depth 2 to 3" in result.stdout.replace("\n", "")


def test_a_search_in_a_folder_named_in_markup(command: Callable[..., Any], tmp_path: Path) -> None:
    arguments = ("+experiment=tabular", "search.generations=1", "search=random", "scale=cpu")
    result = command("evolve", *arguments, "run_dir=[/x] [bold]y", "experiment_name=[red]z")
    assert result.returncode == 0, result.stderr
    assert "[red]z: results go to [/x] [bold]y" in result.stdout
    assert (tmp_path / "[" / "x] [bold]y" / "population.csv").is_file()
    genome_id = next((tmp_path / "[" / "x] [bold]y" / "genomes").iterdir()).stem
    tree = command("describe", f"genome=[/x] [bold]y/{genome_id}", "lineage=true")
    assert tree.returncode == 0 and genome_id in tree.stdout, tree.stderr


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PermissionError(13, "Permission denied", "/locked"), "/locked: Permission denied"),
        (OSError(36, "File name too long", "n" * 300), "File name too long"),
        (MemoryError(), "not enough memory for these settings"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 5"), "not enough memory"),
    ],
)
def test_what_the_system_refuses_is_one_line(
    error: Exception, line: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def refused(config: object, arguments: list[str]) -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["star.describe"])
    with pytest.raises(SystemExit) as ended:
        run_command("describe", refused)
    said = capsys.readouterr().err
    assert ended.value.code == 2 and line in said and said.count("\n") == 1 and len(said) < 400


def test_what_would_steer_a_terminal_is_replaced(command: Callable[..., Any]) -> None:
    result = command("describe", "genome=\x1b[2J\x07x")
    assert result.returncode == 2 and result.stderr.isprintable() is False
    assert "\x1b" not in result.stderr and "\x07" not in result.stderr
