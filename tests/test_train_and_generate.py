"""`star.train` and `star.generate` as a user runs them: resume, checkpoints, text, mistakes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from star import train
from star.base.command_line import compose_config
from star.genomes import CacheSetting, Genome, ModelConfig, cache_bytes
from star.genomes.model_config import LATER
from tests.full_disk import FullDisk

SMALL = (
    "genome=lfm2",
    "depth=4",
    "width=32",
    "training.length=32",
    "training.validation_batches=1",
    "tensorboard=never",
)


Command = Callable[..., Any]  # the fixture: a command in this process


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a training, in an otherwise empty folder."""
    folder = tmp_path_factory.mktemp("train") / "run"
    arguments = [*SMALL, "steps=6", "checkpoint_every=4", "validate_every=3", f"run_dir={folder}"]
    train.main(compose_config("train", arguments), arguments)
    return folder


@pytest.mark.slow
def test_training_leaves_a_checkpoint_with_its_provenance(
    checkpoint: Path, command: Command
) -> None:
    log = pd.read_csv(checkpoint / "log.csv")
    assert list(log["step"]) == [1, 2, 3, 4, 5, 6] and list(log["tokens"]) == [
        256 * n for n in range(1, 7)
    ]
    assert list(log["validation_loss"].notna()) == [False, False, True] * 2
    evaluation = json.loads((checkpoint / "evaluation.json").read_text())
    genome = Genome.from_text("71111-91111-71111-91111")
    assert evaluation["validation_loss"] == pytest.approx(log["validation_loss"].iloc[-1])
    assert evaluation["cache_bytes"] == cache_bytes(genome, ModelConfig(width=32))
    assert (
        (checkpoint / "command.txt")
        .read_text()
        .startswith("python -m star.train genome=lfm2 depth=4")
    )
    assert json.loads((checkpoint / "environment.json").read_text())["packages"]["torch"]
    described = command("describe", f"genome={checkpoint}/genome.yaml", "format=json")
    assert json.loads(described.stdout)["genome"] == genome.to_text()


@pytest.mark.slow
def test_a_finished_training_is_not_done_again_and_other_settings_are_refused(
    checkpoint: Path, command: Command
) -> None:
    weights, folder = (checkpoint / "model.safetensors").read_bytes(), checkpoint.parent
    again = command("train", *SMALL, "steps=6", "checkpoint_every=2", "run_dir=run", cwd=folder)
    assert again.returncode == 0 and "going on after step 6" in again.stdout
    assert (checkpoint / "model.safetensors").read_bytes() == weights
    other = command(
        "train",
        *SMALL,
        "steps=6",
        "training.learning_rate=0.1",
        "seed=2",
        "run_dir=run",
        cwd=folder,
    )
    assert other.returncode == 2 and len(other.stderr.splitlines()) == 1
    assert (
        "seed is 0 there, 2 here; training.learning_rate is 0.003 there, 0.1 here" in other.stderr
    )
    (folder / "else").mkdir()
    (folder / "else" / "config.yaml").write_text("a: 1\n")
    foreign = command("train", *SMALL, "run_dir=else", cwd=folder)
    assert foreign.returncode == 2 and "already holds something else" in foreign.stderr


def test_generation_reports_the_allocated_cache(checkpoint: Path, command: Command) -> None:
    arguments = (f"checkpoint={checkpoint}", 'prompt=def main(x="{a}", [b', "tokens=12")
    first, second = (command("generate", *arguments, "format=json") for _ in range(2))
    assert first.returncode == 0, first.stderr
    content = json.loads(first.stdout)
    assert set(content) == {
        "text",
        "tokens",
        "tokens_per_second",
        "predicted_cache_bytes",
        "allocated_cache_bytes",
    }
    genome = Genome.from_text("71111-91111-71111-91111")
    expected = cache_bytes(
        genome,
        ModelConfig(width=32),
        CacheSetting(len('def main(x="{a}", [b') + 12, dtype="float32"),
    )
    assert content["predicted_cache_bytes"] == content["allocated_cache_bytes"] == expected
    assert content["tokens"] == 12 and content["tokens_per_second"] > 0
    assert json.loads(second.stdout)["text"] == content["text"]
    shown = command("generate", *arguments)
    assert shown.stdout == 'def main(x="{a}", [b' + content["text"] + "\n"
    assert (
        "12 tokens, " in shown.stderr
        and f"{expected:,} predicted, {expected:,} allocated" in shown.stderr
    )


def test_a_training_with_an_id_of_before_is_known() -> None:
    there = train.upgrade_settings({"genome": "lfm2", "genome_id": "3f1e60c3b2a4"})
    assert there["genome_id"] == "jf1e60c3b2a4"


def test_a_training_of_before_settings_were_added_has_their_defaults() -> None:
    here = {**asdict(train.TrainConfig(genome="lfm2")), "genome_id": "", train.BEGINNING: ""}
    model = {key: value for key, value in here["model"].items() if key not in LATER}
    data = {key: here["data"][key] for key in ("kind", "path", "suffixes", "held_out")}
    there = {**here, "model": model, "data": data}
    del there["loggers"]
    assert train.upgrade_settings(there) == here


@pytest.mark.parametrize(
    ("verb", "arguments", "message"),
    [
        ("generate", ["checkpoint=nope"], "error: checkpoint=nope: no such folder"),
        ("generate", [], "error: checkpoint: a value is required"),
        (
            "generate",
            ["checkpoint=run", "prompt=hello", "context=4"],
            "context=4: the prompt has 5 tokens",
        ),
        ("generate", ["checkpoint=run", "temperature=-1"], "error: temperature=-1.0: expected 0"),
        ("generate", ["checkpoint=run", "tokens=0"], "error: tokens=0: expected at least 1"),
        (
            "generate",
            ["checkpoint=run", "format=xml"],
            "error: format=xml: expected one of text, json",
        ),
        ("train", [], "error: genome: a value is required"),
        ("train", ["genome=nope"], "error: library genome 'nope' is unknown"),
        ("train", ["genome=lfm2", "tensorboard=on"], "error: tensorboard=on: expected one of auto"),
        (
            "train",
            ["genome=lfm2", "run_dir=/proc/run"],
            "error: run_dir=/proc/run: cannot be written",
        ),
        ("train", ["genome=lfm2", "width=40"], "error: width=40: expected a multiple of 16"),
        (
            "train",
            ["genome=lfm2", "training.learning_rates=[0.001,0.01]"],
            "training.learning_rates=[0.001, 0.01]: expected [], since one training has one rate",
        ),
        ("train", ["genome=lfm2", "colour=1"], "error: colour: unknown key"),
    ],
)
def test_mistakes_end_with_one_line_and_exit_code_2(
    checkpoint: Path, command: Command, verb: str, arguments: list[str], message: str
) -> None:
    result = command(verb, *arguments, cwd=checkpoint.parent)
    assert result.returncode == 2 and message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_divergence_ends_with_one_line_and_keeps_the_folder(
    tmp_path: Path, command: Command
) -> None:
    rate = "training.learning_rate=1e9"
    result = command("train", *SMALL, "steps=9", rate, "run_dir=run", cwd=tmp_path)
    assert result.returncode == 1 and "error: training diverged: " in result.stderr
    assert len(result.stderr.splitlines()) == 1 and (tmp_path / "run" / "log.csv").exists()


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("genome.yaml", "model.yaml", "model.safetensors", "training_state.safetensors"),
        *("log.csv", "evaluation.json", "environment.json", "command.txt", "tensorboard/mine"),
    ],
)
def test_a_folder_with_a_file_that_a_training_would_overwrite_is_refused_and_kept(
    tmp_path: Path, command: Command, name: str
) -> None:
    (tmp_path / "mine" / name).parent.mkdir(parents=True)
    (tmp_path / "mine" / name).write_text("mine")
    result = command("train", *SMALL, "steps=2", "run_dir=mine")
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
    held = name.removesuffix("/mine")
    assert f"error: run_dir=mine: holds {held} without config.yaml" in result.stderr
    assert content(tmp_path / "mine") == {name: b"mine"}


def test_a_genome_file_of_ones_own_is_not_overwritten(tmp_path: Path, command: Command) -> None:
    text = "# by hand\nschema: 1\ngenome: 71111-91111-71111-91111\n"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "genome.yaml").write_text(text)
    small = [part for part in SMALL if not part.startswith("genome=")]
    result = command("train", *small, "genome=mine/genome.yaml", "steps=2", "run_dir=mine")
    assert result.returncode == 2 and "run_dir=mine: holds genome.yaml" in result.stderr
    assert content(tmp_path / "mine") == {"genome.yaml": text.encode()}
    result = command("train", *small, "genome=mine/genome.yaml", "steps=2", "run_dir=trained")
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_a_training_does_not_go_back(tmp_path: Path, command: Command) -> None:
    constant = (*SMALL, "training.schedule=constant", "checkpoint_every=2", "run_dir=run")
    assert command("train", *constant, "steps=4").returncode == 0
    before = content(tmp_path / "run")
    result = command("train", *constant, "steps=3")
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
    assert "steps=3" in result.stderr and "4 steps" in result.stderr, result.stderr
    assert content(tmp_path / "run") == before
    assert command("train", *constant, "steps=4").returncode == 0
    assert command("train", *constant, "steps=5").returncode == 0
    assert len(pd.read_csv(tmp_path / "run" / "log.csv")) == 5


@pytest.mark.slow
def test_a_training_works_in_its_folder_alone(tmp_path: Path, command: Command) -> None:
    arguments = [*SMALL, "steps=2", f"run_dir={tmp_path}/run"]
    with train.opened_training(compose_config("train", arguments), None):
        for verb in ("train", "evolve"):
            other = arguments if verb == "train" else ["+experiment=smoke", arguments[-1]]
            result = command(verb, *other)
            assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
            assert f"another process works in it (process {os.getpid()} on" in result.stderr
    assert command("train", *arguments).returncode == 0
    assert not (tmp_path / "run" / ".star.lock").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "after"),
    [
        *(("config.yaml", 0), ("log.csv", 0), ("genome.yaml", 0), ("model.safetensors", 0)),
        *(("model.safetensors", 1), ("training_state", 1), ("evaluation.json", 0)),
    ],
)
def test_a_full_disk_ends_with_one_line_and_the_training_goes_on_later(
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    checkpoint: Path,
    name: str,
    after: int,
) -> None:
    arguments = (*SMALL, "steps=6", "checkpoint_every=2", "validate_every=3", "run_dir=run")
    with monkeypatch.context() as context:
        FullDisk(context, f"/.{name}", after)
        result = command("train", *arguments)
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        "error: run_dir=run: cannot be written (No space left on device); free some space, and the "
        "same command goes on from what is there"
    ]
    assert not list((tmp_path / "run").glob(".*"))
    assert command("train", *arguments).returncode == 0
    for kept in ("model.safetensors", "evaluation.json", "genome.yaml"):
        assert (tmp_path / "run" / kept).read_bytes() == (checkpoint / kept).read_bytes()


LONG = (*SMALL, "steps=60", "checkpoint_every=7", "run_dir=run")


def steps_done(folder: Path) -> int:
    log = folder / "run" / "log.csv"
    return log.read_text().count("\n") - 1 if log.exists() else 0


def start_and_signal(folder: Path, steps: int, number: int) -> subprocess.CompletedProcess[str]:
    """Start the training, send the signal once `steps` steps are logged, wait for the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "star.train", *LONG],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while process.poll() is None and steps_done(folder) < steps and time.monotonic() < deadline:
        time.sleep(0.005)
    if process.poll() is None:
        os.kill(process.pid, number)
    output, errors = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_weights_bit_for_bit(
    tmp_path: Path, command: Command
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    assert command("train", *LONG, cwd=whole).returncode == 0
    moments = sorted(random.Random(0).sample(range(1, 40), 4))
    for steps in moments:
        assert start_and_signal(killed, steps, signal.SIGKILL).returncode == -signal.SIGKILL
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        interrupted = start_and_signal(killed, steps_done(killed) + 1, number)
        assert interrupted.returncode == code and interrupted.stderr == ""
        assert "interrupted after step" in interrupted.stdout
    result = command("train", *LONG, cwd=killed)
    assert result.returncode == 0 and "going on after step" in result.stdout
    for name in ("model.safetensors", "evaluation.json", "genome.yaml"):
        assert (whole / "run" / name).read_bytes() == (killed / "run" / name).read_bytes(), name
    states = [
        load_file(folder / "run" / "training_state.safetensors") for folder in (whole, killed)
    ]
    assert states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][key], states[1][key]) for key in states[0]
    )
    logs = [
        pd.read_csv(folder / "run" / "log.csv").drop(columns="seconds")
        for folder in (whole, killed)
    ]
    pd.testing.assert_frame_equal(logs[0], logs[1])
    assert list(logs[0]["step"]) == list(range(1, 61))


def grown(command: Command, folder: Path, *arguments: str) -> Any:
    """A deeper and wider model that begins from the checkpoint in `run`."""
    genome = "genome=71111-91111-71111-91111-71111-91111"
    sizes = ("training.length=32", "training.validation_batches=1", "tensorboard=never")
    beginning = "training.init_from=run", "training.schedule=constant"
    return command("train", genome, *sizes, *beginning, *arguments, cwd=folder)


@pytest.mark.slow
def test_a_training_begins_from_a_smaller_model(checkpoint: Path, command: Command) -> None:
    folder = checkpoint.parent
    result = grown(command, folder, "width=64", "steps=2", "run_dir=grown")
    assert result.returncode == 0, result.stderr
    said = result.stdout.replace("\n", " ")
    assert "6 of 6 LIVs and 100% of the weights begin as there" in said
    assert "LIVs are made of 0, 1, 2, 3, 0, 1" in said
    more = ("width=64", "steps=4", "run_dir=grown")
    (folder / "run").rename(folder / "away")  # what has begun needs it no more
    again = grown(command, folder, *more)
    (folder / "away").rename(folder / "run")
    assert again.returncode == 0, again.stderr
    assert "going on after step 2" in again.stdout and "begin as there" not in again.stdout
    whole = grown(command, folder, "width=64", "steps=4", "run_dir=whole")
    assert whole.returncode == 0
    first, second = (load_file(folder / name / "model.safetensors") for name in ("grown", "whole"))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_a_beginning_is_known_by_its_weights(checkpoint: Path, command: Command) -> None:
    """Not by the way to it; where nothing was saved yet, other weights are another training."""
    folder = checkpoint.parent
    arguments = ("width=32", "steps=1", "run_dir=known")
    assert grown(command, folder, *arguments).returncode == 0
    same = grown(command, folder, *arguments, f"training.init_from={checkpoint}")
    assert same.returncode == 0, same.stderr
    (folder / "known" / "training_state.safetensors").unlink()
    weights = checkpoint / "model.safetensors"
    before = weights.read_bytes()
    arrays = {name: array + 1 for name, array in load_file(weights).items()}
    save_file(arrays, weights)
    other = grown(command, folder, *arguments)
    weights.write_bytes(before)
    assert other.returncode == 2 and "init_weights is" in other.stderr, other.stderr


def test_silent_copies_begin_with_the_loss_of_the_small_model(
    checkpoint: Path, command: Command
) -> None:
    """A stack of blocks of which the first alone has an output, at a rate that changes nothing."""
    still = ("width=32", "steps=1", "training.learning_rate=1e-12", "training.init_copies=identity")
    result = grown(command, checkpoint.parent, *still, "run_dir=still")
    assert result.returncode == 0, result.stderr
    small, large = (
        json.loads((checkpoint.parent / name / "evaluation.json").read_text())["validation_loss"]
        for name in ("run", "still")
    )
    assert large == pytest.approx(small, abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["training.init_from=nowhere"], "training.init_from=nowhere: no such folder"),
        (["training.init_from="], "training.init_from=: expected a checkpoint folder, or null"),
        (["model.vocabulary=300"], "its vocabulary has 256 tokens, model.vocabulary=300"),
        (
            ["training.init_copies=half"],
            "training.init_copies=half: expected one of copy",
        ),
    ],
)
def test_what_a_training_cannot_begin_from_is_one_line(
    checkpoint: Path, command: Command, arguments: list[str], message: str
) -> None:
    result = grown(command, checkpoint.parent, "width=32", "run_dir=refused", *arguments)
    assert result.returncode == 2 and message in result.stderr, result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (checkpoint.parent / "refused").exists()


def test_a_search_begins_from_no_checkpoint(command: Command) -> None:
    result = command("evolve", "+experiment=smoke", "training.init_from=run", "run_dir=search")
    assert result.returncode == 2
    assert "training.init_from=run: expected null, since only star.train" in result.stderr
