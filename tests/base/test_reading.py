"""Paths that others give: looked at without waiting, and what cannot be is said on one line."""

import os
from pathlib import Path

import pytest

from star.base.errors import UserError, plain, shown
from star.base.files import read_tensors
from star.base.reading import (
    LARGEST_TEXT,
    expanded,
    is_file,
    is_folder,
    kind_of,
    list_folder,
    look,
    read_bytes,
    read_text,
)


def test_what_lies_at_a_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "link").symlink_to("file")
    kinds = {"": "a folder", "file": "a file", "link": "a file", "pipe": "a named pipe"}
    nothing = ["circle", "missing", "file/below"]
    for name, what in {**kinds, **dict.fromkeys(nothing, "")}.items():
        path = tmp_path / name
        assert kind_of(path) == what
        assert (is_file(path), is_folder(path)) == (what == "a file", what == "a folder")
        assert (look(path) is None) == (what == "")


@pytest.mark.parametrize("name", ["n" * 300, "a/" * 3000, "nul\0"])
def test_a_path_that_no_file_system_has_is_named_with_its_key(name: str, tmp_path: Path) -> None:
    for ask in (look, is_file, is_folder, kind_of):
        with pytest.raises(UserError, match="^genome=.*: cannot be read") as caught:
            ask(tmp_path / name, "genome")
        assert len(str(caught.value)) < 300


def test_what_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(path: object, *arguments: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "file").write_text("a")
    monkeypatch.setattr(os, "stat", locked)
    monkeypatch.setattr(os, "scandir", locked)
    with pytest.raises(UserError, match=r"^run_dir=.*file: cannot be read \(Permission denied\)"):
        look(tmp_path / "file", "run_dir")
    with pytest.raises(UserError, match=r"^library: the folder .* cannot be read \(Permission"):
        list_folder(tmp_path, "library")


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for read in (read_bytes, read_text, read_tensors):
        with pytest.raises(UserError, match="pipe: is a named pipe, expected a file"):
            read(tmp_path / "pipe")
        with pytest.raises(UserError, match=r"missing: (is missing|cannot be read)"):
            read(tmp_path / "missing")


def test_a_text_is_bounded_and_utf8(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"caf\xe9")
    with pytest.raises(UserError, match=r"cannot be read \(byte 3 is not UTF-8\)"):
        read_text(tmp_path / "text")
    assert read_text(tmp_path / "text", "surrogateescape") == "caf\udce9"
    os.truncate(tmp_path / "text", LARGEST_TEXT + 1)  # sparse
    with pytest.raises(UserError, match=r"it has 10,000,001 bytes, expected at most 10,000,000"):
        read_text(tmp_path / "text")


def test_homes_are_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/my home")
    assert expanded("~/x") == Path("/my home/x")
    assert expanded("~no_such_user/x") == Path("~no_such_user/x")


def test_long_texts_and_control_characters_in_errors() -> None:
    assert shown("short") == "short" and len(shown("x" * 10**6)) <= 200
    assert shown("a" * 500 + "b" * 500, 21) == "aaaaaaaa ... bbbbbbbb"
    assert plain("a\n b\x1b[2J\x07") == "a b�[2J�"
