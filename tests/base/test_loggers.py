"""Loggers: what they are told arrives once, also when a run goes on, and their failures harm
nobody."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest

from star.base.errors import UserError
from star.base.loggers import DATABASE, EVENTS, LOGGERS, LoggedRun, Loggers, check_loggers
from star.search import EvolveConfig, Search, SearchConfig
from star.training.log import COLUMNS
from tests.search.made_up import MadeUp

Command = Callable[..., Any]


class Recorder:
    """Keeps what it is told, in `told`."""

    package: ClassVar[str] = "pytest"
    told: ClassVar[list[tuple[int, dict[str, float]]]] = []
    closed: ClassVar[int] = 0

    def __init__(self, run: LoggedRun) -> None:
        Recorder.told, Recorder.closed = [], 0

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.told.append((step, dict(values)))

    def close(self) -> None:
        Recorder.closed += 1


class Broken(Recorder):
    """Fails at the second step, and at its end."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        if step > 0:
            raise ConnectionError("the server\nis gone")

    def close(self) -> None:
        raise ConnectionError("the server is gone")


class Unwilling(Recorder):
    """Does not start."""

    def __init__(self, run: LoggedRun) -> None:
        raise ConnectionError("no key")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_PROJECT", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, kind in (("recorder", Recorder), ("broken", Broken), ("unwilling", Unwilling)):
        monkeypatch.setitem(LOGGERS, name, kind)


def test_what_was_not_measured_is_left_out(tmp_path: Path) -> None:
    with Loggers(["recorder"], LoggedRun(tmp_path)) as loggers:
        loggers.log(3, {"a": 0.0, "b": None})
    assert Recorder.told == [(3, {"a": 0.0})] and Recorder.closed == 1


def test_one_that_fails_is_told_nothing_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), Loggers(["broken", "recorder"], run(tmp_path)) as both:
        for step in range(4):
            both.log(step, {"a": 1.0})
    assert [step for step, _ in Recorder.told] == [0, 1, 2, 3]
    expected = "loggers=broken: failed and is told nothing more (ConnectionError: the server is go"
    assert [record.getMessage()[: len(expected)] for record in caplog.records] == [expected]


def test_one_that_does_not_start_ends_the_others(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"loggers=unwilling: cannot be started \(.*no key\)"):
        Loggers(["recorder", "unwilling"], run(tmp_path))
    assert Recorder.closed == 1


def run(folder: Path, step: int = -1) -> LoggedRun:
    return LoggedRun(folder, step, {"seed": 7, "model": {"width": 32}})


def two_parts(name: str, folder: Path) -> None:
    """Steps 0 to 4; then the run goes on behind step 2, so that two are told again."""
    for first, last, step in ((0, 5, -1), (3, 8, 2)):
        with Loggers([name], run(folder, step)) as loggers:
            for number in range(first, last):
                loggers.log(number, {"loss": 10.0 - number, "front": 2})
        time.sleep(1.1)  # W&B names folders by the second


@pytest.mark.slow
def test_mlflow_has_every_step_once_in_one_run(tmp_path: Path) -> None:
    pytest.importorskip("mlflow.store.tracking.sqlalchemy_store")
    from mlflow import MlflowClient

    two_parts("mlflow", tmp_path)
    client: Any = MlflowClient(f"sqlite:///{tmp_path / DATABASE}")
    experiment = client.get_experiment_by_name("star")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED" and found.info.run_name == tmp_path.name
    assert found.data.params == {"seed": "7", "model.width": "32"}
    history = client.get_metric_history(found.info.run_id, "loss")
    assert [(one.step, one.value) for one in history] == [(n, 10.0 - n) for n in range(8)]


@pytest.mark.slow
def test_mlflow_goes_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a run that is unknown there begins anew."""
    pytest.importorskip("mlflow.store.tracking.sqlalchemy_store")
    from mlflow import MlflowClient

    folder, uri = tmp_path / "run", f"sqlite:///{tmp_path}/other.db"
    folder.mkdir()
    two_parts("mlflow", folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    with Loggers(["mlflow"], run(folder)) as loggers:
        loggers.log(0, {"loss": 1.0})
    client: Any = MlflowClient(uri)
    (found,) = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
    assert found.data.metrics == {"loss": 1.0}


def wandb_records(path: Path) -> Iterator[Any]:
    """The records of a run's file, which is a log of LevelDB's: after 7 bytes, each record has a
    checksum (4 bytes), its length (2) and kind (1); those of these tests fit into one block."""
    records: Any = import_module("wandb.proto.wandb_internal_pb2")
    content, place = path.read_bytes(), 7
    assert len(content) < 2**15
    while place + 7 <= len(content):
        length = int.from_bytes(content[place + 4 : place + 6], "little")
        record: Any = records.Record()
        record.ParseFromString(content[place + 7 : place + 7 + length])
        yield record
        place += 7 + length


def wandb_history(folder: Path) -> list[dict[str, float]]:
    """What the runs below a folder have logged, in order."""
    found = []
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb"), key=lambda p: p.stat().st_ctime):
        for record in wandb_records(path):
            items = record.history.item if record.HasField("history") else ()
            named = {item.key or "/".join(item.nested_key): item.value_json for item in items}
            if named:
                found.append({key: json.loads(text) for key, text in named.items()})
    return found


@pytest.mark.slow
def test_wandb_has_every_step_once_in_one_run(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    two_parts("wandb", tmp_path)
    history = wandb_history(tmp_path)
    assert [(row["_step"], row["loss"]) for row in history] == [(n, 10.0 - n) for n in range(8)]
    names = {path.name.rpartition("-")[2] for path in tmp_path.glob("wandb/offline-run-*")}
    assert names == {json.loads((tmp_path / "loggers.json").read_text())["wandb"]["id"]}


def test_tensorboard_begins_anew_behind_the_last_step(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    two_parts("tensorboard", tmp_path)
    events = accumulator.EventAccumulator(str(tmp_path / EVENTS))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == list(range(8))


def searching(folder: Path, loggers: list[str], generations: int = 3) -> Search:
    search = SearchConfig(
        objectives=["validation_loss", "cache_bytes"], population=16, generations=generations,
        baselines=["transformer_pp"],
    )  # fmt: skip
    config = EvolveConfig(depth=4, run_dir=str(folder), search=search, loggers=loggers)
    return Search.from_config(config, MadeUp())


def test_a_search_tells_every_generation(tmp_path: Path) -> None:
    found = searching(tmp_path / "run", ["recorder"])
    done = found.run()
    assert [step for step, _ in Recorder.told] == [0, 1, 2] and Recorder.closed == 1
    last, archive = Recorder.told[-1][1], found.archive
    assert last["hypervolume"] == archive.hypervolume() and last["front"] == len(done.front)
    assert last["evaluations"] == len(archive) == len(done.candidates)
    assert last["infeasible"] == sum(archive.failures().values()) > 0
    for name in ("validation_loss", "cache_bytes"):
        assert last[f"best_{name}"] == done.front[name].min()
    searching(tmp_path / "run", ["recorder"], generations=4).run()  # other loggers, another length
    assert [step for step, _ in Recorder.told] == [0, 1, 2, 3]


def test_a_logger_that_fails_changes_no_search(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        done = searching(tmp_path / "run", ["broken"]).run()
    assert sum("loggers=broken" in record.getMessage() for record in caplog.records) == 1
    alone = searching(tmp_path / "alone", []).run()
    columns = ["genome_id", "validation_loss", "cache_bytes"]
    pd.testing.assert_frame_equal(done.front[columns], alone.front[columns])


@pytest.mark.slow
def test_a_training_tells_its_log(command: Command, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    arguments = (
        "genome=lfm2", "depth=4", "width=32", "training.length=32", "checkpoint_every=2",
        "training.validation_batches=1", "validate_every=2", "tensorboard=never", "run_dir=run",
        "training.schedule=constant", "loggers=[wandb]",
    )  # fmt: skip
    for steps in (3, 5):
        result = command("train", *arguments, f"steps={steps}")
        assert result.returncode == 0, result.stderr
        time.sleep(1.1)
    log, history = pd.read_csv(tmp_path / "run" / "log.csv"), wandb_history(tmp_path / "run")
    assert [row["_step"] for row in history] == list(log["step"]) == [1, 2, 3, 4, 5]
    for row, (_, logged) in zip(history, log.iterrows(), strict=True):
        measured = logged.dropna()
        assert {name: row[name] for name in measured.index if name != "step"} == {
            name: pytest.approx(value) for name, value in measured.items() if name != "step"
        }
    assert set(COLUMNS) - {"step"} <= {name for row in history for name in row}


@pytest.mark.parametrize("verb", ["train", "evolve"])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("[nope]", "loggers=nope: expected one of tensorboard, wandb, mlflow"),
        ("[wandb,wandb]", "loggers=['wandb', 'wandb']: expected different names"),
    ],
)
def test_mistakes(verb: str, given: str, message: str, command: Command, tmp_path: Path) -> None:
    own = {"train": ["genome=lfm2"], "evolve": ["+experiment=smoke", "scale=cpu"]}[verb]
    result = command(verb, *own, f"loggers={given}", "run_dir=run")
    assert result.returncode == 2 and message in result.stderr
    assert len(result.stderr.splitlines()) == 1 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["wandb", "mlflow", "tensorboard"])
def test_a_package_that_is_missing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("star.base.imports.find_spec", lambda name: None)
    with pytest.raises(UserError) as caught:
        check_loggers([name])
    assert str(caught.value) == f"loggers={name}: {name} is not installed; pip install {name}"
