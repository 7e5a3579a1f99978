"""A search with an objective of the device: its machine is in the ledger, another is refused."""

from pathlib import Path

import pytest

from star.base.command_line import compose_config
from star.base.errors import UserError
from star.evaluation import Evaluation, devices
from star.evaluation.executors import Task
from star.evaluation.ledger import Ledger
from star.runs.folder import LEDGER
from star.search import EvolveConfig, Search, SearchConfig
from tests.search.made_up import MadeUp, hashed

MINIMISED = ["validation_loss", "decode_latency"]


def search(folder: Path, ledger: str = "run", minimised: list[str] = MINIMISED) -> Search:
    def measure(task: Task) -> Evaluation:
        found = hashed(task)
        metrics = {**found.metrics, "decode_latency": 1.0} if found.measured else {}
        return Evaluation(found.status, found.reason, metrics, 0.1)

    settings = SearchConfig(objectives=minimised, population=4, generations=1, baselines=[])
    config = EvolveConfig(depth=4, search=settings, run_dir=str(folder), ledger=ledger)
    return Search.from_config(config, MadeUp(measure))


def on(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "machine_name", lambda device: machine)


@pytest.mark.parametrize("own", [True, False], ids=["its own ledger", "a ledger of several runs"])
def test_another_machine_is_refused(
    own: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = str(tmp_path / "shared.sqlite")
    on("machine A", monkeypatch)
    search(tmp_path / "run", "run" if own else shared).run()
    path = tmp_path / "run" / LEDGER if own else Path(shared)
    with Ledger(path) as ledger:
        (content,) = ledger.recipes().values()
        rows = len(ledger)
    assert content["objectives"]["decode_latency"]["device"] == "machine A"
    on("machine B", monkeypatch)
    with pytest.raises(UserError, match="decode_latency measured on machine A.*machine B") as e:
        search(tmp_path / ("run" if own else "other"), "run" if own else shared).run()
    assert "\n" not in str(e.value)
    with Ledger(path) as ledger:
        assert len(ledger) == rows
    on("machine A", monkeypatch)
    assert search(tmp_path / "run", "run" if own else shared).run().population.shape[0] == rows


def test_a_ledger_takes_searches_of_two_machines_that_time_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = str(tmp_path / "shared.sqlite")
    for machine in ("A", "B"):
        on(machine, monkeypatch)
        search(tmp_path / machine, shared, ["validation_loss", "cache_bytes"]).run()
    with Ledger(tmp_path / "shared.sqlite") as ledger:
        assert len(ledger.recipes()) == 1


@pytest.mark.slow
def test_timing_beside_others_is_said_before_the_search() -> None:
    for workers, notices in (("3", 1), ("1", 0)):
        overrides = ["+experiment=smoke", "search.also_measure=[decode_latency,peak_memory]"]
        config = compose_config("evolve", [*overrides, f"executor.workers={workers}"])
        found = [n for n in Search.from_config(config).notices if "executor.workers=1" in n]
        assert len(found) == notices
        assert all("decode_latency: timed while 3" in n and "peak" not in n for n in found)
