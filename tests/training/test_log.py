"""The training log: whole rows, none of them twice."""

import errno
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pandas as pd
import pytest

from star.base.errors import UserError
from star.base.loggers import EVENTS
from star.training.log import COLUMNS, LOG, TrainingLog, chosen_loggers


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second passes whenever the log looks at its clock."""
    ticks = count(0.0, 0.5)
    fake = SimpleNamespace(perf_counter=lambda: next(ticks))
    monkeypatch.setattr("star.training.log.time", fake)


def write(folder: Path, resumed_at: int, steps: range, tensorboard: str = "never") -> None:
    with TrainingLog(folder, resumed_at, chosen_loggers([], tensorboard)) as log:
        for step in steps:
            for _ in range(2):  # twice half a second
                with log.timed():
                    pass
            log.write(step=step, tokens=step * 8, train_loss=1 / step)


def test_a_resumed_log_drops_what_will_be_done_again(tmp_path: Path) -> None:
    write(tmp_path, 0, range(1, 8))
    with (tmp_path / LOG).open("a") as stream:
        stream.write("8,64,0.1")  # cut by a kill
    write(tmp_path, 5, range(6, 9))
    rows = pd.read_csv(tmp_path / LOG)
    assert list(rows["step"]) == list(range(1, 9)) == list(rows["seconds"])
    assert tuple(rows.columns) == COLUMNS and rows["validation_loss"].isna().all()


def test_a_training_from_the_start_begins_a_new_log(tmp_path: Path) -> None:
    write(tmp_path, 0, range(1, 4))
    write(tmp_path, 0, range(1, 3))
    assert list(pd.read_csv(tmp_path / LOG)["step"]) == [1, 2]


def test_tensorboard_reads_the_events(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    write(tmp_path, 0, range(1, 5), tensorboard="always")
    write(tmp_path, 2, range(3, 6), tensorboard="auto")
    events = accumulator.EventAccumulator(str(tmp_path / EVENTS))
    events.Reload()
    assert [event.step for event in events.Scalars("train_loss")] == [1, 2, 3, 4, 5]
    assert events.Scalars("train_loss")[3].value == pytest.approx(0.25)


def test_a_demanded_but_missing_tensorboard_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("star.base.imports.find_spec", lambda name: None)
    with pytest.raises(
        UserError, match="^tensorboard=always: tensorboard is not installed; pip install"
    ):
        chosen_loggers([], "always")
    write(tmp_path, 0, range(1, 2), tensorboard="auto")


class Full:
    """A stream that takes some bytes, then says that the disk is full."""

    def __init__(self, stream: BinaryIO, room: int) -> None:
        self._stream, self._room = stream, room

    def write(self, content: bytes) -> int:
        if not self._room:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = self._stream.write(content[: self._room])
        self._room -= taken
        return taken

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@pytest.mark.parametrize("room", [0, 1, 10])
def test_a_full_disk_is_one_line_and_leaves_whole_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    with TrainingLog(tmp_path, 0) as log:
        log.write(step=1, tokens=8, train_loss=1.0)
        monkeypatch.setattr(log, "_stream", Full(log._stream, room))
        with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"):
            log.write(step=2, tokens=16, train_loss=0.5)
    assert (tmp_path / LOG).read_text() == f"{','.join(COLUMNS)}\n1,8,1.0,,,,0.0\n"


@pytest.mark.parametrize(
    "text",
    [
        *("step\n1\n", "step,tokens\nx,1\n", "step,tokens\n" + "9" * 5000 + ",1\n"),
        *("\xff\xfe\n", "step,tokens\n1,\0\n", f"{','.join(COLUMNS)}\n1,8,1.0,,,,soon\n"),
        f"{','.join(COLUMNS)}\n1,8,{'9' * 200_000},,,,1\n",
    ],
    ids=["columns", "words", "digits", "bytes", "nul", "seconds", "long"],
)
def test_a_damaged_log_is_one_line_and_stays(tmp_path: Path, text: str) -> None:
    (tmp_path / LOG).write_bytes(text.encode("latin1"))
    with pytest.raises(UserError, match=r"log\.csv: not readable as the log of a training"):
        TrainingLog(tmp_path, 1)
    assert (tmp_path / LOG).read_bytes() == text.encode("latin1")
