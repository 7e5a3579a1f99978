"""The state of a training: what is resumed goes on bit for bit."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from star.base.errors import UserError
from star.data import Corpus
from star.genomes import Genome, ModelConfig
from star.models import LanguageModel, decode
from star.training import Trainer, TrainingConfig, load_state, save_state, train_further

CORPUS = Corpus(np.arange(5000, dtype=np.uint8) % 7, np.arange(900, dtype=np.uint8) % 7, "test")
GENOME = Genome.from_text("51211-91111-51211-31112-31112-81111")


def trainer(seed: int = 0, genome: Genome = GENOME, optimizer: str = "adamw") -> Trainer:
    torch.manual_seed(seed)
    model = decode(genome, ModelConfig(width=32))
    config = TrainingConfig(
        steps=8,
        batch_size=2,
        length=16,
        optimizer=optimizer,
        warmup_steps=2,
        schedule="cosine",
        device="cpu",
    )
    return Trainer(model, CORPUS, config, seed=3)


def weights(trainer: Trainer) -> list[torch.Tensor]:
    assert isinstance(trainer.model, LanguageModel)
    return [parameter.detach().clone() for parameter in trainer.model.parameters()]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("saved_at", [0, 1, 5])
def test_a_resumed_training_ends_bit_for_bit_like_the_whole(
    tmp_path: Path, saved_at: int, optimizer: str
) -> None:
    whole, losses = trainer(optimizer=optimizer), []
    for step in range(8):
        if step == saved_at:
            save_state(tmp_path / "state", whole)
        losses.append(whole.advance().loss)
    resumed = trainer(seed=1, optimizer=optimizer)  # other weights, to be replaced
    load_state(tmp_path / "state", resumed)
    assert resumed.step == saved_at
    assert [resumed.advance().loss for _ in range(saved_at, 8)] == losses[saved_at:]
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(resumed), strict=True))
    assert resumed.tokens == 8 * 2 * 16


@pytest.mark.parametrize(
    ("optimizer", "moment"),
    [("adamw", "exp_avg"), ("muon", "momentum_buffer")],
)
def test_moments_matter(tmp_path: Path, optimizer: str, moment: str) -> None:
    whole = trainer(optimizer=optimizer)
    whole.advance()
    save_state(tmp_path / "state", whole)
    tensors = load_file(tmp_path / "state")
    assert any("exp_avg_sq" in name for name in tensors)
    changed = {
        name: torch.rand_like(tensor) if name.endswith(moment) else tensor
        for name, tensor in tensors.items()
    }
    save_file(changed, tmp_path / "state", {"schema": "1", "step": "1"})
    resumed = trainer(optimizer=optimizer)
    load_state(tmp_path / "state", resumed)
    whole.advance()
    resumed.advance()
    pairs = zip(weights(whole), weights(resumed), strict=True)
    assert not all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"rubbish", "not readable as safetensors"),
        (None, "not the state of a training of this version"),
    ],
)
def test_a_damaged_state_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "state"
    save_file({"model.x": torch.zeros(1)}, path) if content is None else path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_state(path, trainer())


def saved(path: Path, steps: int = 5) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors and metadata of a whole state after so many steps."""
    whole = trainer()
    for _ in range(steps):
        whole.advance()
    save_state(path, whole)
    return load_file(path), {"schema": "1", "step": str(steps)}


FIRST = "optimizer.0.exp_avg"
DAMAGED = {  # what is put in place of tensors; None takes one away
    "has shape (1, 32), expected (256, 32)": {FIRST: lambda x: x[:1].clone()},
    "has dtype torch.float64, expected torch.float32": {FIRST: lambda x: x.double()},
    f"{FIRST} is missing": {FIRST: lambda x: None},
    f"{FIRST}_sq is missing": {FIRST + "_sq": lambda x: None},
    "optimizer.0.step is missing": {"optimizer.0.step": lambda x: None},
    "optimizer.0.step has shape (1,), expected ()": {"optimizer.0.step": lambda x: x[None]},
    "optimizer.0.step is 7, expected 1 to 5": {"optimizer.0.step": lambda x: x + 2},
    "optimizer.0.step is nan, expected 1 to 5": {"optimizer.0.step": lambda x: x / 0 * 0},
    "optimizer.0.exp_max is unknown to it": {"optimizer.0.exp_max": lambda x: torch.ones(1)},
    "optimizer.x.exp_avg is unknown to it": {"optimizer.x.exp_avg": lambda x: torch.ones(1)},
    "optimizer.999.exp_avg is unknown to it": {"optimizer.999.exp_avg": lambda x: torch.ones(1)},
    "other.thing is unknown to it": {"other.thing": lambda x: torch.ones(1)},
    "model.norm.weight has dtype torch.int64": {"model.norm.weight": lambda x: x.long()},
    "model.norm.weight has dtype torch.bfloat16": {"model.norm.weight": lambda x: x.bfloat16()},
}


@pytest.mark.parametrize("message", DAMAGED)
def test_a_state_whose_tensors_were_changed_is_refused(tmp_path: Path, message: str) -> None:
    tensors, metadata = saved(tmp_path / "state")
    changed = {name: change(tensors.get(name)) for name, change in DAMAGED[message].items()}
    kept = {name: x for name, x in {**tensors, **changed}.items() if x is not None}
    save_file(kept, tmp_path / "state", metadata)
    fresh = trainer(seed=1)
    before = weights(fresh)
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        load_state(tmp_path / "state", fresh)
    assert "\n" not in str(caught.value) and fresh.step == 0
    assert all(torch.equal(a, b) for a, b in zip(before, weights(fresh), strict=True))


def test_more_steps_than_are_wanted_are_refused(tmp_path: Path) -> None:
    tensors, metadata = saved(tmp_path / "state")
    save_file(tensors, tmp_path / "state", {**metadata, "step": "9"})
    with pytest.raises(UserError, match="has done 9 steps, and steps=8 are wanted; give"):
        load_state(tmp_path / "state", trainer())


@pytest.mark.parametrize("step", ["-1", "", "5.0", "٣", "1" * 5000, "1\n", "5 "])
def test_a_step_that_the_training_does_not_have_is_refused(tmp_path: Path, step: str) -> None:
    tensors, metadata = saved(tmp_path / "state")
    save_file(tensors, tmp_path / "state", {**metadata, "step": step})
    with pytest.raises(UserError, match="step is .*, expected a whole number; delete it") as caught:
        load_state(tmp_path / "state", trainer())
    assert len(str(caught.value).splitlines()) == 1 and len(str(caught.value)) < 300


def test_moments_without_steps_are_refused(tmp_path: Path) -> None:
    tensors, metadata = saved(tmp_path / "state")
    only = {name: x for name, x in tensors.items() if name.startswith("model.")}
    save_file(only, tmp_path / "state", metadata)
    with pytest.raises(UserError, match="optimizer.0.step is missing"):
        load_state(tmp_path / "state", trainer())


def test_a_weight_that_no_gradient_reaches_has_no_moments(tmp_path: Path) -> None:
    def with_an_idle_weight() -> Trainer:
        torch.manual_seed(0)
        model = decode(GENOME, ModelConfig(width=32))
        model.idle = torch.nn.Parameter(torch.ones(3))
        return Trainer(model, CORPUS, trainer().config, seed=3)

    whole = with_an_idle_weight()
    whole.advance()
    save_state(tmp_path / "state", whole)
    resumed = with_an_idle_weight()
    load_state(tmp_path / "state", resumed)
    assert resumed.advance().loss == whole.advance().loss


def test_a_part_of_a_training_begins_anew_with_a_state_of_no_use(tmp_path: Path) -> None:
    for number, steps in enumerate((8, 6)):  # damaged; of a later rung
        path = tmp_path / str(number)
        path.write_bytes(b"rubbish")
        if number:
            saved(path, steps)
        part, whole = trainer(), trainer()
        train_further(part, 4, path)
        for _ in range(4):
            whole.advance()
        assert part.step == 4
        assert all(torch.equal(a, b) for a, b in zip(weights(part), weights(whole), strict=True))


@pytest.mark.parametrize("optimizer", ["muon"])
def test_the_state_of_another_optimiser_is_refused(tmp_path: Path, optimizer: str) -> None:
    for saver, loader in (("adamw", optimizer), (optimizer, "adamw")):
        whole = trainer(optimizer=saver)
        whole.advance()
        save_state(tmp_path / "state", whole)
        with pytest.raises(UserError, match="optimizer.0"):
            load_state(tmp_path / "state", trainer(optimizer=loader))


def test_the_state_of_another_genome_is_refused(tmp_path: Path) -> None:
    save_state(tmp_path / "state", trainer())
    with pytest.raises(UserError, match="does not fit the genome"):
        load_state(tmp_path / "state", trainer(genome=Genome.from_text("91111-71111")))
