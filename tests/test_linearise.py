"""`star.linearise` as a user runs it: the checkpoint it leaves, resume, mistakes."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from star.genomes import Genome, cache_bytes, read_genome_file
from star.models import load_checkpoint
from tests.conftest import Result
from tests.hybrids.linearise.small import save_bytes_checkpoint

Command = Callable[..., Result]
SHORT = (
    "checkpoint=small", "to=out", "budget=0.6", "run_dir=run", "tensorboard=never",
    "training.length=16", "training.batch_size=2", "training.validation_batches=1",
    "training.validation_batch_size=2", "training.device=cpu",
    "align.steps=2", "gates.steps=2", "distil.steps=2",
)  # fmt: skip


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return save_bytes_checkpoint(tmp_path / "small")


def changed(*settings: str) -> list[str]:
    """`SHORT` with other values."""
    keys = {setting.partition("=")[0] for setting in settings}
    return [s for s in SHORT if s.partition("=")[0] not in keys] + list(settings)


@pytest.mark.slow
def test_it_leaves_a_checkpoint_within_the_budget(small: Path, command: Command) -> None:
    result = command("linearise", *SHORT)
    assert result.returncode == 0, result.stderr
    folder = small.parent / "out"
    before, after = load_checkpoint(small), load_checkpoint(folder)
    names = [liv_class.name for liv_class in after.genome.genome.classes()]
    assert sorted(names) == ["GMemless", "GMemless", "GatedDelta", "SA-1"]
    costs = [cache_bytes(c.genome.genome, c.config) for c in (before, after)]
    assert costs[1] <= 0.6 * costs[0]
    assert f"{costs[1]:,}" in result.stdout and "replaced by GatedDelta" in result.stdout
    content = read_genome_file(folder / "genome.yaml")
    assert content.parents == [before.genome.genome.id]
    assert "kept" in content.notes and "replaced" in content.notes and "gate 0." in content.notes
    evaluation = json.loads((folder / "evaluation.json").read_text())
    report = json.loads((folder / "linearisation.json").read_text())
    assert evaluation == report["distilled"] and evaluation["cache_bytes"] == costs[1]
    assert [unit["livs"] for unit in report["units"]] == [[0], [2]]
    assert [unit["kept"] for unit in report["units"]] == [name == "SA-1" for name in names[::2]]
    expected = {f"original_{key}": value for key, value in report["original"].items()}
    assert content.metrics == {**evaluation, **expected}
    command_line = (small.parent / "run" / "command.txt").read_text()
    assert command_line.startswith("python -m star.linearise checkpoint=small to=out")


@pytest.mark.slow
def test_other_commands_take_the_checkpoint(small: Path, command: Command) -> None:
    assert command("linearise", *SHORT).returncode == 0
    described = command("describe", "genome=out", "format=json")
    assert json.loads(described.stdout)["width"] == 16
    exported = command("export", "checkpoint=out", "to=theirs")
    assert exported.returncode == 0, exported.stderr
    generated = command("generate", "checkpoint=out", "prompt=def", "tokens=3")
    assert generated.returncode == 0 and generated.stdout.startswith("def")
    begin = ("genome=out", "training.init_from=out", "steps=1", "run_dir=more", "tensorboard=never")
    trained = command("train", *begin)
    assert trained.returncode == 0 and "4 of 4 LIVs and 100% of the weights" in trained.stdout


@pytest.mark.slow
def test_another_budget_goes_on_from_the_gates(small: Path, command: Command) -> None:
    assert command("linearise", *SHORT).returncode == 0
    run = small.parent / "run"
    logs = {name: (run / name / "log.csv").read_bytes() for name in ("align", "gates")}
    result = command("linearise", *changed("budget=0.1", "to=less"))
    assert result.returncode == 0, result.stderr
    assert logs == {name: (run / name / "log.csv").read_bytes() for name in logs}
    assert len(list((run / "distil").iterdir())) == 2
    genome = load_checkpoint(small.parent / "less").genome.genome
    assert [c.name for c in genome.classes()] == ["GatedDelta", "GMemless"] * 2


@pytest.mark.slow
def test_parts_may_be_left_out(small: Path, command: Command) -> None:
    result = command("linearise", *changed("align.steps=0", "distil.steps=0"))
    assert result.returncode == 0, result.stderr
    measured = json.loads((small.parent / "out" / "linearisation.json").read_text())
    assert measured["replaced"] == measured["distilled"]
    assert sorted(path.name for path in (small.parent / "run").iterdir() if path.is_dir()) == [
        "gates"
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["checkpoint=nope"], "error: checkpoint=nope: no such folder"),
        (["budget=1"], "error: budget=1.0: expected a share below 1, which the checkpoint itself"),
        (["budget=0"], "error: budget=0.0: expected above 0"),
        (["budget=0.000001"], "error: budget=1e-06: with all 2 attention units replaced"),
        (["cache.context=2"], "error: budget=0.6: with all 2 attention units"),
        (["to=small"], "error: to=small: exists already; choose another folder"),
        (["run_dir=small"], "error: run_dir=small: "),
        (["replacement=SA-2"], "error: replacement=SA-2: expected one of "),
        (["task=other"], "error: task=other: expected one of repeat, pairs"),
        (["training.steps=9"], "error: training.steps=9: expected distil.steps=2"),
        (["gates.steps=0"], "error: gates.steps=0: expected at least 1"),
        (["gates.initial=1"], "error: gates.initial=1.0: expected between 0 and 1"),
        (["gates.recall=0"], "error: gates.recall=0.0: expected above 0, or gates.language"),
        (["colour=red"], "error: colour: unknown key"),
    ],
)
def test_mistakes_end_with_one_line_and_exit_code_2(
    small: Path, command: Command, settings: list[str], message: str
) -> None:
    result = command("linearise", *changed(*settings))
    assert result.returncode == 2 and result.stderr.startswith(message), result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (small.parent / "out").exists()


def test_a_checkpoint_without_attention(tmp_path: Path, command: Command) -> None:
    save_bytes_checkpoint(tmp_path / "small", "71111-91111")
    result = command("linearise", *SHORT)
    assert result.returncode == 2 and "has no attention to replace" in result.stderr


@pytest.mark.parametrize("name", ["genome.yaml", "model.yaml", "model.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut"])
def test_a_damaged_checkpoint(small: Path, command: Command, name: str, damage: str) -> None:
    path = small / name
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(b"" if damage == "empty" else content[: len(content) // 4])
    result = command("linearise", *SHORT)
    assert result.returncode == 2 and name in result.stderr, result.stderr
    assert len(result.stderr.splitlines()) == 1 and not (small.parent / "run").exists()


@pytest.mark.slow
def test_a_folder_of_other_settings_or_weights_is_refused(small: Path, command: Command) -> None:
    assert command("linearise", *SHORT).returncode == 0
    other = command("linearise", *changed("to=new", "gates.penalty=3"))
    assert other.returncode == 2 and "gates.penalty is 1.0 there, 3.0 here" in other.stderr
    shutil.rmtree(small)
    save_bytes_checkpoint(small, "11111-91111-91111-11111")
    other = command("linearise", *changed("to=new"))
    assert other.returncode == 2 and "checkpoint_weights is " in other.stderr


def run_until(folder: Path, rows: Sequence[int], number: int) -> subprocess.CompletedProcess[str]:
    """Begin, send a signal once so many rows are in the logs of the parts, and wait for the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "star.linearise", *LONG],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while process.poll() is None and rows_of(folder) < list(rows) and time.monotonic() < deadline:
        time.sleep(0.005)
    if process.poll() is None:
        os.kill(process.pid, number)
    output, errors = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def rows_of(folder: Path) -> list[int]:
    """Rows in the logs of distillation, gates and alignment, the last part first."""
    found = []
    for part in ("distil/*", "gates", "align"):
        logs = list((folder / "run").glob(f"{part}/log.csv"))
        found.append(logs[0].read_text().count("\n") - 1 if logs else 0)
    return found


LONG = changed("align.steps=30", "gates.steps=20", "distil.steps=30", "checkpoint_every=4")


@pytest.mark.slow
def test_one_that_is_killed_again_and_again_ends_with_the_same_checkpoint(
    tmp_path: Path, command: Command
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
        save_bytes_checkpoint(folder / "small")
    assert command("linearise", *LONG, cwd=whole).returncode == 0
    moments = random.Random(0)
    places = [[0, 0, moments.randint(1, 25)], [0, moments.randint(1, 18), 0]]
    places.append([moments.randint(5, 25), 0, 0])
    for rows in places:
        assert run_until(killed, rows, signal.SIGKILL).returncode == -signal.SIGKILL
    ended = run_until(killed, [rows_of(killed)[0] + 1, 0, 0], signal.SIGTERM)
    assert ended.returncode == 143 and ended.stderr == ""
    assert "interrupted after step" in ended.stdout
    assert command("linearise", *LONG, cwd=killed).returncode == 0
    for name in ("model.safetensors", "evaluation.json", "model.yaml"):
        assert (whole / "out" / name).read_bytes() == (killed / "out" / name).read_bytes(), name
    genomes = [read_genome_file(folder / "out" / "genome.yaml") for folder in (whole, killed)]
    assert genomes[0].metrics == genomes[1].metrics
    assert isinstance(genomes[0].genome, Genome) and genomes[0].genome == genomes[1].genome
    weights = [load_checkpoint(folder / "out").model.state_dict() for folder in (whole, killed)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not list((killed / "run").rglob(".*"))
