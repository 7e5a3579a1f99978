"""The training log: whole rows, none of them twice."""

from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from star.base.errors import UserError
from star.training.log import COLUMNS, EVENTS, LOG, TrainingLog


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second passes whenever the log looks at its clock."""
    ticks = count(0.0, 0.5)
    fake = SimpleNamespace(perf_counter=lambda: next(ticks))
    monkeypatch.setattr("star.training.log.time", fake)


def write(folder: Path, resumed_at: int, steps: range, tensorboard: str = "never") -> None:
    with TrainingLog(folder, resumed_at, tensorboard) as log:
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
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard.writer", None)
    with pytest.raises(UserError, match=r"pip install 'star-synthesis\[tensorboard\]'"):
        TrainingLog(tmp_path, 0, "always")
    write(tmp_path, 0, range(1, 2), tensorboard="auto")
