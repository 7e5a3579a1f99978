"""Evaluation on a real Ray cluster: a head that evaluates nothing, and two nodes of one core."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from star.base.command_line import compose_config
from star.base.errors import UserError
from star.data import DataConfig
from star.evaluation import Evaluation, LimitsConfig, Recipe
from star.evaluation.executors import Executor, RayConfig, RayExecutor, Setup, Task
from star.evaluation.states import StateStore
from star.genomes import CacheSetting, Genome, ModelConfig
from star.runs.columns import TIMING_COLUMNS
from star.runs.progress import Progress
from star.search import Search
from star.testing.executors import ExecutorSuite
from star.training import TrainingConfig

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc"),
]

RECIPE = Recipe(ModelConfig(), CacheSetting(), TrainingConfig(device="cpu"), DataConfig(), seed=0)
MARKER = "STAR_TEST_CLUSTER"  # in the environment of every process of a cluster
OURS = ("ray::Host", "spawn_main")  # actors and their worker processes, in command lines
NODE = {"num_cpus": 1, "object_store_memory": 10**8}
# A lost node is noticed after 2 s instead of 15.
HEALTH = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 3,
}
SMOKE = ("+experiment=smoke", "scale=cpu", "search.baselines=[lfm2]")
HALVING = (*SMOKE, "search.halving.rungs=[2,4]", "training.steps=8")


def marked(value: str, words: tuple[str, ...] = ("",)) -> list[str]:
    """Command lines of the processes that carry a marker and have one of these words."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            line = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:  # it has ended
            continue
        if f"{MARKER}={value}".encode() in environment and any(word in line for word in words):
            found.append(line)
    return found


def wait_until_gone(value: str, words: tuple[str, ...] = ("",), seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while left := marked(value, words):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    value = uuid.uuid4().hex
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": HEALTH}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MARKER, value)
        made: Any = Cluster(initialize_head=True, head_node_args={**NODE, **head})
    made.marker = value
    yield made
    made.shutdown()
    wait_until_gone(value, seconds=90)  # the agents of a killed raylet take a minute


def lost_nodes(cluster: Any) -> list[Any]:
    return [
        node
        for node in cluster.worker_nodes
        if "raylet" not in (name for name, _ in node.live_processes())
    ]


@pytest.fixture
def nodes(cluster: Any) -> Iterator[Any]:
    """The cluster with two nodes, whatever became of those before; no process of ours is left on
    them."""
    for lost in lost_nodes(cluster):
        cluster.remove_node(lost)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MARKER, cluster.marker)
        while len(cluster.worker_nodes) < 2:
            cluster.add_node(**NODE)
    yield cluster
    wait_until_gone(cluster.marker, OURS)


class TestRay(ExecutorSuite):
    @pytest.fixture(autouse=True)
    def use(self, nodes: Any) -> None:
        self.address = nodes.address

    def make(self, setup: Setup) -> Executor:
        states = None if setup.states is None else setup.states.url
        return RayConfig(address=self.address, states=states).make(setup)


class Losing(Progress):
    """Loses a node when some candidates are finished."""

    def __init__(self, lose: Callable[[], None]) -> None:
        self.finished, self.lose = 0, lose

    def candidate_finished(self) -> None:
        self.finished += 1
        if self.finished == 4:
            self.lose()


def results(folder: Path, *overrides: str, lose: Callable[[], None] = lambda: None) -> pd.DataFrame:
    config = compose_config("evolve", [*overrides, f"run_dir={folder}"])
    Search.from_config(config).run(Losing(lose))
    front = pd.read_csv(folder / "pareto.csv", dtype=str)
    return front.drop(columns=list(TIMING_COLUMNS))


def remove_node(cluster: Any) -> None:
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)


def kill_raylet(cluster: Any) -> None:
    (raylet,) = next(iter(cluster.worker_nodes)).all_processes["raylet"]
    raylet.process.kill()


@pytest.mark.parametrize(
    ("overrides", "lose"),
    [(SMOKE, remove_node), (HALVING, kill_raylet)],
    ids=["smoke-node removed", "halving-raylet killed"],
)
def test_a_cluster_gives_what_processes_give_and_a_lost_node_changes_nothing(
    overrides: tuple[str, ...], lose: Callable[[Any], None], nodes: Any, tmp_path: Path
) -> None:
    expected = results(tmp_path / "processes", *overrides, "executor.workers=2")
    ray = ("executor=ray", f"executor.address={nodes.address}")
    states = f"executor.states=file://{tmp_path}/states"
    for name, losing in (("whole", lambda: None), ("torn", lambda: lose(nodes))):
        found = results(tmp_path / name, *overrides, *ray, states, lose=losing)
        pd.testing.assert_frame_equal(found, expected)
    assert len(nodes.worker_nodes) - len(lost_nodes(nodes)) == 1


def test_states_in_the_run_folder_are_refused_where_there_are_several_nodes(nodes: Any) -> None:
    setup = Setup(RECIPE, states=StateStore("/tmp/states"))
    with (
        pytest.raises(UserError, match=r"^executor.states=null: expected a folder or an fsspec"),
        RayConfig(address=nodes.address).make(setup),
    ):
        pass


def test_candidates_that_no_node_holds_are_refused(nodes: Any) -> None:
    with (
        pytest.raises(UserError, match=r"^executor.cpus=8, executor.gpus=0: no node of the"),
        RayConfig(address=nodes.address, cpus=8).make(Setup(RECIPE)),
    ):
        pass


def tasks(depths: list[int]) -> list[Task]:
    return [Task(Genome.from_text("-".join(["91111"] * depth)), 1) for depth in depths]


def kill_actor(folder: Path, task: Task) -> Evaluation:
    """Instead of training: depth 1 kills the actor at every attempt, depth 2 at the first, and
    depth 3 the raylet at the first."""
    depth = task.genome.depth
    marker = folder / str(depth)
    actor = os.getppid()
    if depth == 1 or (depth <= 3 and not marker.exists()):
        marker.touch()
        raylet = int(Path(f"/proc/{actor}/stat").read_text().rsplit(")")[-1].split()[1])
        os.kill(raylet if depth == 3 else actor, signal.SIGKILL)
        time.sleep(1000)
    return Evaluation("ok", "", {"validation_loss": float(depth)})


def test_a_dead_actor_is_an_attempt_and_a_lost_node_is_none(nodes: Any, tmp_path: Path) -> None:
    config, setup = RayConfig(address=nodes.address), Setup(RECIPE, LimitsConfig(retries=1))
    kill = partial(kill_actor, tmp_path)
    with RayExecutor(config, setup, kill) as executor:
        found = dict(executor.evaluate(tasks([4, 1, 2, 5])))
    with RayExecutor(config, Setup(RECIPE, LimitsConfig(retries=0)), kill) as executor:
        found[4] = dict(executor.evaluate(tasks([3])))[0]
    assert found[1].reason.startswith("worker_died: its actor: The actor died"), found
    assert found[1].reason.endswith("in attempt 2"), found
    losses = {index: e.metrics.get("validation_loss") for index, e in found.items()}
    assert losses == {0: 4, 1: None, 2: 2, 3: 5, 4: 3}


def pause_head(head: subprocess.Popen[bytes], marker: Path, seconds: float) -> None:
    """Stop the process that watches over the nodes as soon as a node is about to be lost."""
    while not marker.exists():
        time.sleep(0.01)
    head.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    head.send_signal(signal.SIGCONT)


def test_an_actor_that_is_silent_before_its_node_is_known_to_be_lost_is_no_attempt(
    nodes: Any, tmp_path: Path
) -> None:
    (head,) = nodes.head_node.all_processes["gcs_server"]
    setup = Setup(RECIPE, LimitsConfig(retries=0))
    pause = threading.Thread(target=pause_head, args=(head.process, tmp_path / "3", 6))
    with RayExecutor(
        RayConfig(address=nodes.address), setup, partial(kill_actor, tmp_path)
    ) as executor:
        pause.start()
        ((_, found),) = executor.evaluate(tasks([3]))
    pause.join()
    assert found.metrics == {"validation_loss": 3}, found


def start_command(folder: Path, value: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "star.evolve", *SMOKE, "executor=ray", "run_dir=run"]
    command += ["search.generations=50"]
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, MARKER: value, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    ("number", "code", "left"),
    # Ray's own agents take a minute to notice that they are alone.
    [(signal.SIGINT, 130, ("",)), (signal.SIGKILL, -signal.SIGKILL, OURS)],
    ids=str,
)
def test_a_local_cluster_ends_with_its_command(
    number: signal.Signals, code: int, left: tuple[str, ...], tmp_path: Path
) -> None:
    value = uuid.uuid4().hex
    process = start_command(tmp_path, value)
    population, deadline = tmp_path / "run" / "population.csv", time.monotonic() + 300
    while not population.exists() or len(population.read_text().splitlines()) < 3:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    assert marked(value, OURS)
    os.killpg(process.pid, number) if number == signal.SIGINT else process.kill()
    output, errors = process.communicate(timeout=60)
    assert process.returncode == code and errors == "", errors
    lines = [line for line in output.splitlines() if line.strip()]
    beginnings = ("smoke: results go to ", "watch it in a", "generation ", "interrupted; ")
    assert lines and all(line.startswith(beginnings) for line in lines), output
    wait_until_gone(value, left)


@pytest.mark.parametrize(
    ("key", "value"), [("cpus", 0), ("gpus", 1.5), ("gpus", -1), ("threads", 0), ("in_flight", 0)]
)
def test_bad_settings(key: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"^executor.{key}={value}: expected"):
        RayConfig(**{key: value}).check(RECIPE)


def test_an_address_without_a_cluster_is_one_line() -> None:
    with (
        pytest.raises(UserError, match=r"^executor.address=127.0.0.1:1: no cluster there \("),
        RayConfig(address="127.0.0.1:1").make(Setup(RECIPE)),
    ):
        pass


def test_a_missing_extra_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="^executor=ray: .*pip install ray$"):
        RayConfig().check(RECIPE)
