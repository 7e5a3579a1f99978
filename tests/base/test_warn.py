"""Warnings of modules reach whoever runs a command."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from star.base.warn import show_warnings


def test_a_warning_is_one_line_on_standard_error_once(capsys: pytest.CaptureFixture[str]) -> None:
    show_warnings()
    show_warnings()
    logging.getLogger("star.somewhere.deep").warning("two\nlines of %s", "it")
    logging.getLogger("star.somewhere").info("nobody asks for this")
    assert capsys.readouterr().err == "warning: two lines of it\n"


def test_a_rebuilt_cache_is_reported(
    command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAR_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "texts").mkdir()
    for number in range(4):
        (tmp_path / "texts" / f"{number}.txt").write_text(f"some text of file {number} " * 40)
    train = ("genome=71111-91111", "width=32", "steps=1", "data=files", "data.path=texts")
    train += ("training.length=32", "data.held_out=0.3", "tensorboard=never")
    first = command("train", *train, "run_dir=first")
    assert first.returncode == 0 and first.stderr == "", first.stderr
    assert "left 0:00:00" in first.stdout
    (built,) = (tmp_path / "cache").rglob("train.bin")
    os.truncate(built, 10)
    second = command("train", *train, "run_dir=second")
    assert second.returncode == 0
    assert second.stderr.startswith("warning: the cached corpus in ")
    assert second.stderr.endswith(" is corrupt and is built again\n")
