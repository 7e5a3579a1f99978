"""Files are written whole or not at all, and what killed processes left is removed."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from star.base import files
from star.base.errors import UserError


@pytest.fixture(scope="module")
def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    files.write_text(tmp_path / "table.csv", "old")
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(type(error)):
        files.write_text(tmp_path / "table.csv", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
    assert (tmp_path / "table.csv").read_text() == "old"


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EFBIG, "free some space"),
        (errno.ENAMETOOLONG, "choose a shorter name"),
        (errno.ENOENT, "it was moved or deleted"),
        (errno.EACCES, "choose a folder you may write to"),
    ],
)
def test_what_cannot_be_written_is_one_line_with_a_remedy(number: int, remedy: str) -> None:
    with pytest.raises(UserError) as caught, files.writing(Path("mine")):
        raise OSError(number, os.strerror(number))
    assert str(caught.value).startswith(
        f"run_dir=mine: cannot be written ({os.strerror(number)}); {remedy}"
    )
    assert "\n" not in str(caught.value)


def test_half_written_files_of_dead_processes_go(tmp_path: Path, dead: int) -> None:
    alive = os.getppid()
    leftovers = {f".a.csv.{dead}", f".a.csv.{os.getpid()}", ".a.csv.4294967296", f".b.yaml.{dead}"}
    others = {
        *(f".a.csv.{alive}", f".a.csv.{dead}.gz", f"a.csv.{dead}", ".a.csv.0", ".a.csv.x"),
        *(f".mine.csv.{dead}", "a.csv", f".a.csv{dead}"),
    }
    for name in leftovers | others:
        (tmp_path / name).touch()
    files.remove_leftovers(tmp_path, r"a\.csv|\w\.yaml")
    assert {path.name for path in tmp_path.iterdir()} == others
    files.remove_leftovers(tmp_path / "nowhere", "a")


def test_temporary_folders_of_dead_processes_go(tmp_path: Path, dead: int) -> None:
    mine = files.temporary_folder(tmp_path, "star")
    killed = Path(str(mine).replace(f"_{os.getpid()}_", f"_{dead}_"))
    elsewhere = killed.with_name(killed.name.replace("star_", "star_f"))
    for folder in (killed, elsewhere, tmp_path / "star_mine"):
        folder.mkdir()
        (folder / "file").touch()
    another = files.temporary_folder(tmp_path, "star")
    assert set(tmp_path.iterdir()) == {mine, elsewhere, tmp_path / "star_mine", another}
    assert mine != another


def test_a_long_path_is_not_repeated_whole() -> None:
    with pytest.raises(UserError) as caught, files.writing(Path("abcdefghi/" * 500)):
        raise OSError(errno.ENAMETOOLONG, "File name too long")
    assert len(str(caught.value)) < 400 and "run_dir=abcdefghi/" in str(caught.value)
