"""`star.hybridize` as a user runs it: the hybrid, its checkpoint, resume after a kill, mistakes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from star.base.files import read_tensors
from star.genomes import Genome, GenomeError, GenomeFile, ModelConfig
from star.genomes.hybrids import GenomeComponent
from star.models import Cache, decode, load_checkpoint, save_checkpoint
from star.models.hybrid import HybridModel

Command = Callable[..., Any]  # the fixture: a command in this process
SMALL = (
    *("models=[one,two]", "run_dir=run", "steps=3", "context=32", "tensorboard=never"),
    *("data=files", "data.path=texts", "training.length=16", "training.batch_size=2"),
    *("training.validation_batches=1", "training.validation_batch_size=2"),
    *("hybrid.projector_steps=2", "hybrid.search_steps=3"),
)
TRAIN = ("steps=2", "tensorboard=never", "run_dir=trained")


def checkpoint(folder: Path, name: str, text: str, width: int, **sizes: Any) -> None:
    (folder / name).mkdir()
    config = ModelConfig(width=width, window=8, **sizes)
    genome = Genome.from_text(text).canonical()
    torch.manual_seed(width)
    save_checkpoint(folder / name, decode(genome, config), GenomeFile(name, genome), config)


def prepare(folder: Path) -> Path:
    """Two checkpoints and texts."""
    checkpoint(folder, "one", "31111-91111-31111-91111", 16)
    checkpoint(folder, "two", "71111-91111-71111", 32)
    (folder / "texts").mkdir()
    for number in range(20):
        (folder / "texts" / f"{number}.txt").write_text(f"text {number} of our own. " * 20)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return prepare(tmp_path)


def test_a_hybrid_is_made_and_read_by_the_other_commands(folder: Path, command: Command) -> None:
    made = command("hybridize", *SMALL, cwd=folder)
    assert made.returncode == 0, made.stderr
    for line in ("mixing one and two in run", "mixture of one-two", "checkpoint: run/model"):
        assert line in made.stdout
    table = pd.read_csv(folder / "run" / "mixture.csv")
    assert list(table["letter"]) == ["found"] * 2
    assert (table["one"] + table["two"]).to_list() == pytest.approx([1, 1])
    assert not (table["one"] == 0.5).any()
    _expect_generation(folder / "run" / "model")
    text = ("genome=11111-31111", "alphabet=hybrid:run")
    described = command("describe", *text, cwd=folder)
    assert "as in hybrid run: model.width=32" in described.stdout
    refused = command("describe", *text, "width=64", cwd=folder)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "error: width=64: hybrid one-two has 32; set model.width=32" in refused.stderr
    refused = command("train", "genome=11111-31111", "alphabet=hybrid:nowhere", cwd=folder)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    described = command("describe", "genome=run/genome.yaml", "format=json", cwd=folder)
    content = json.loads(described.stdout)
    assert (content["width"], content["depth"]) == (32, 2)
    assert content["livs"][0]["description"].endswith(" two")
    result = json.loads((folder / "run" / "model" / "evaluation.json").read_text())
    assert result["cache_bytes"] == content["cache_bytes"]
    again = command("hybridize", *SMALL, cwd=folder)
    assert again.returncode == 0 and "going on after step 3" in again.stdout
    other = command("hybridize", *SMALL, "hybrid.method=gaea", cwd=folder)
    assert other.returncode == 2 and "hybrid.method is darts there, gaea here" in other.stderr
    # Costs of a search follow from it.
    other = command("hybridize", *SMALL, "cache.state_dtype=bfloat16", cwd=folder)
    assert other.returncode == 2 and "cache.state_dtype is" in other.stderr


@torch.no_grad()
def _expect_generation(path: Path) -> None:
    """With a cache, token for token, as in parallel."""
    loaded = load_checkpoint(path)
    assert isinstance(loaded.model, HybridModel)
    tokens = torch.randint(256, (1, 12), generator=torch.Generator().manual_seed(0))
    cache = Cache.allocate(loaded.model, 1, 12, torch.float32)
    parts = [loaded.model.prefill(tokens[:, :4], cache)]
    parts += [loaded.model.step(tokens[:, at], cache)[:, None] for at in range(4, 12)]
    whole = loaded.model(tokens)
    assert torch.allclose(torch.cat(parts, dim=1), whole, atol=1e-4 * float(whole.abs().max()))


@pytest.mark.slow
def test_a_hybrid_is_trained_and_generates(folder: Path, command: Command) -> None:
    given = ("hybrid.method=given", "hybrid.mixture=[[0.25,0.75],[0.5,0.5]]", "steps=1")
    assert command("hybridize", *SMALL, *given, cwd=folder).returncode == 0
    text = command("generate", "checkpoint=run/model", "prompt=text", "tokens=3", cwd=folder)
    assert text.returncode == 0 and "warning" not in text.stderr
    trained = command("train", "genome=run/genome.yaml", *TRAIN, cwd=folder)
    assert trained.returncode == 0, trained.stderr
    trained = command("train", "genome=run/genome.yaml", *TRAIN, cwd=folder)
    assert "going on after step 2" in trained.stdout
    _expect_generation(folder / "trained")
    begun = "training.init_from=run/model"
    more = command("train", "genome=run/genome.yaml", *TRAIN, begun, "run_dir=more", cwd=folder)
    assert "all weights begin as there" in more.stdout
    bare = command("train", "genome=run/model/genome.yaml", *TRAIN, "run_dir=bare", cwd=folder)
    assert "holds no pretrained components: all weights are fresh" in bare.stdout
    for genome, source in (("run/genome.yaml", "one"), ("lfm2", "run/model")):
        wrong = ("run_dir=wrong", f"training.init_from={source}", "width=32")
        refused = command("train", f"genome={genome}", *TRAIN, *wrong, cwd=folder)
        assert refused.returncode == 2 and "checkpoint of the same hybrid" in refused.stderr
    refused = command("export", "checkpoint=run/model", "to=exported", cwd=folder)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "is a hybrid" in refused.stderr
    assert not (folder / "wrong").exists() and not (folder / "exported").exists()


@pytest.mark.parametrize(
    ("discretise", "weight", "verdict"),
    [("one_hot", 20, "within"), ("parts", 1e-6, "within"), ("none", 20, "above")],
)
def test_a_budget_is_checked_and_said(
    folder: Path, command: Command, discretise: str, weight: float, verdict: str
) -> None:
    budget = ("hybrid.cost=cache_bytes", "hybrid.budget=800", f"hybrid.cost_weight={weight}")
    fast = ("hybrid.learning_rate=1", f"hybrid.discretise={discretise}", "hybrid.search_steps=8")
    made = command("hybridize", *SMALL, *budget, *fast, "steps=1", cwd=folder)
    assert made.returncode == 0, made.stderr
    line = next(line for line in made.stdout.splitlines() if "hybrid.budget" in line)
    assert verdict in line
    log = pd.read_csv(folder / "run" / "search.csv")
    if weight > 1:
        assert log["expected_cost"].iloc[-1] < log["expected_cost"].iloc[0]


def test_what_cannot_be_counted_is_refused_first(
    folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def uncounted(*_: object) -> int:
        raise GenomeError("structure 'own': its multiply-adds are not known")

    monkeypatch.setattr(GenomeComponent, "products", uncounted)
    refused = command("hybridize", *SMALL, cwd=folder)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "multiply-adds are not known" in refused.stderr
    assert not (folder / "run").exists()


def test_letters_that_were_chosen_stay(folder: Path, command: Command) -> None:
    """Also those of a version that did not keep the budget."""
    given = ("hybrid.method=given", "hybrid.mixture=[[0.9,0.1],[0.2,0.8]]", "steps=1")
    making = (*SMALL, *given, "hybrid.discretise=one_hot")
    assert command("hybridize", *making, cwd=folder).returncode == 0
    path = folder / "run" / "mixture.csv"
    path.write_text(path.read_text().replace("Mix-0-4", "Mix-1-3"))
    shutil.rmtree(folder / "run" / "model")
    assert command("hybridize", *making, cwd=folder).returncode == 0
    assert list(pd.read_csv(path)["letter"]) == ["Mix-4-0", "Mix-1-3"]
    assert list(pd.read_csv(path)["two"]) == [0, 0.75]
    path.write_text(path.read_text().replace("Mix-1-3", "Mix-9-9"))
    refused = command("hybridize", *making, cwd=folder)
    assert refused.returncode == 2 and "delete it to find it anew" in refused.stderr


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["models=[one]"], "models=[one]: expected 2 to 8 checkpoint folders"),
        (["models=[one,nowhere]"], "nowhere: no such folder"),
        (["models=[one,other]"], "300"),
        (["hybrid.method=nas"], "hybrid.method=nas: expected one of darts, gaea, dash, mad"),
        (["hybrid.blocks=4"], "error: hybrid.blocks=4: two has 3 layers only"),
        (
            ["hybrid.ends=third"],
            "error: hybrid.ends=third: expected one of mixed, averaged, shared, 0, 1",
        ),
        (["hybrid.projector=cubic"], "hybrid.projector=cubic: expected one of linear"),
        (["hybrid.mixture=[[1,0]]"], "hybrid.mixture=[[1,0]]: expected null, since only"),
        (["hybrid.budget=4kB"], "hybrid.budget=4kB: expected null, since hybrid.cost=null"),
        (
            ["hybrid.cost=cache_bytes", "hybrid.budget=12"],
            "hybrid.budget=12: the cheapest mixture of these components costs",
        ),
        (["hybrid.cost=time"], "hybrid.cost=time: expected one of cache_bytes, flops"),
        (["hybrid.method=given"], "hybrid.mixture=None: expected a row of numbers for each block"),
        (
            ["hybrid.method=given", "hybrid.mixture=[[0.5,0.6],[1,0]]"],
            "hybrid.mixture: the weights of block 0 are [0.5, 0.6], expected 2 numbers",
        ),
        (
            ["hybrid.method=given", "hybrid.mixture=[[1,0]]"],
            "hybrid.mixture=[[1.0, 0.0]]: expected 2 rows",
        ),
        (
            ["hybrid.method=given", "hybrid.mixture=[[0.5,x]]"],
            "hybrid.mixture=[[0.5,x]]: expected a row of numbers",
        ),
        (
            ["hybrid.method=mad", "hybrid.programming.tasks=[expansion]"],
            "hybrid.programming.tasks=expansion: expected one of",
        ),
        (["training.init_from=one"], "training.init_from=one: expected null"),
        (["data.tokenizer=bpe", "data.vocabulary=257"], "vocabulary"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, command: Command, given: list[str], message: str
) -> None:
    checkpoint(folder, "other", "31111-91111", 16, vocabulary=300)
    result = command("hybridize", *SMALL, *given, cwd=folder)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
    assert message in result.stderr
    assert not (folder / "run").exists()


@pytest.mark.slow
def test_components_with_a_tokenizer(folder: Path, command: Command) -> None:
    sizes = ("width=16", "depth=2", "steps=1", "data=files", "data.path=texts", "context=32")
    small = (*sizes, "training.length=16", "training.validation_batches=1", "model.vocabulary=280")
    for name, tokenizer in (("a", "bpe"), ("b", "a")):
        bpe = (f"data.tokenizer={tokenizer}", *(["data.vocabulary=280"] * (tokenizer == "bpe")))
        trained = command("train", "genome=lfm2", *small, *bpe, f"run_dir={name}", cwd=folder)
        assert trained.returncode == 0, trained.stderr
    models = ("models=[a,b]", "hybrid.blocks=1", "training.length=8")
    refused = command("hybridize", *SMALL, *models, cwd=folder)
    assert refused.returncode == 2 and "give its tokenizer to data.tokenizer" in refused.stderr
    made = command("hybridize", *SMALL, *models, "data.tokenizer=a", cwd=folder)
    assert made.returncode == 0, made.stderr
    text = command("generate", "checkpoint=run/model", "prompt=text", "tokens=3", cwd=folder)
    assert text.returncode == 0 and text.stdout.startswith("text")


@pytest.mark.slow
def test_a_component_of_transformers(folder: Path, command: Command) -> None:
    from .hybrids.their_models import their_model

    their_model("gpt2").save_pretrained(folder / "gpt2")
    made = command("hybridize", *SMALL, "models=[gpt2,one]", cwd=folder)
    assert made.returncode == 0, made.stderr
    assert "mixing gpt2 and one" in made.stdout
    _expect_generation(folder / "run" / "model")
    mad = command("hybridize", *SMALL, "models=[gpt2,one]", "hybrid.method=mad", "run_dir=mad")
    assert mad.returncode == 2 and "gpt2 has no genome to make a small model of" in mad.stderr


def test_another_folder_is_not_overwritten(folder: Path, command: Command) -> None:
    result = command("hybridize", *SMALL, "run_dir=one", cwd=folder)
    assert result.returncode == 2 and "would be overwritten" in result.stderr
    assert sorted(path.name for path in (folder / "one").iterdir()) == [
        "genome.yaml",
        "model.safetensors",
        "model.yaml",
    ]


LONG = (
    *("steps=60", "hybrid.projector_steps=60", "hybrid.search_steps=60", "checkpoint_every=7"),
    *("hybrid.method=dash", "hybrid.cost=flops"),
)
STAGES = (
    "projectors_state.safetensors",
    "search_state.safetensors",
    "model/training_state.safetensors",
)
SAME = (
    *("projectors.safetensors", "mixture.csv", "search.csv", "hybrid.yaml"),
    *("model/model.safetensors", "model/evaluation.json"),
)


@pytest.mark.slow
def test_a_making_killed_in_each_stage_ends_like_one_left_alone(
    tmp_path: Path, command: Command
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for place in (whole, killed):
        place.mkdir()
        prepare(place)
    assert command("hybridize", *SMALL, *LONG, cwd=whole).returncode == 0
    for state in STAGES:
        process = subprocess.Popen(
            [sys.executable, "-m", "star.hybridize", *SMALL, *LONG],
            cwd=killed, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        deadline = time.monotonic() + 300
        while process.poll() is None and not (killed / "run" / state).exists():
            assert time.monotonic() < deadline
            time.sleep(0.002)
        assert process.poll() is None, process.communicate()
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert (killed / "run" / state).exists()
    assert command("hybridize", *SMALL, *LONG, cwd=killed).returncode == 0
    for name in SAME:
        assert (killed / "run" / name).read_bytes() == (whole / "run" / name).read_bytes(), name
    states = [read_tensors(place / "run" / STAGES[-1])[0] for place in (whole, killed)]
    assert states[0].keys() == states[1].keys()  # the order of metadata in the file is by chance
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    assert not list((killed / "run").rglob(".*"))  # neither locks nor half-written files


@pytest.mark.slow
def test_a_mixture_is_found_on_tasks_and_reused(folder: Path, command: Command) -> None:
    tasks = "hybrid.programming.tasks=[memorization,compression]"
    small = ("hybrid.programming.steps=3", "hybrid.programming.width=16", "hybrid.method=mad")
    made = command("hybridize", *SMALL, *small, tasks, cwd=folder)
    assert made.returncode == 0, made.stderr
    found = pd.read_csv(folder / "run" / "programming.csv")
    assert set(found["task"]) == {"memorization", "compression"}
    means = found.groupby(["block", "number"])["weight"].mean()
    table = pd.read_csv(folder / "run" / "mixture.csv")
    weights = table[["one", "two"]].to_numpy().flatten().tolist()
    assert weights == pytest.approx(means.to_list())
