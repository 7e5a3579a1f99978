"""The state of a training: what is resumed goes on bit for bit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from star.base.errors import UserError
from star.data import Corpus
from star.genomes import Genome, ModelConfig
from star.models import LanguageModel, decode
from star.training import Trainer, TrainingConfig, load_state, save_state

CORPUS = Corpus(np.arange(5000, dtype=np.uint8) % 7, np.arange(900, dtype=np.uint8) % 7, "test")
GENOME = Genome.from_text("51211-91111-51211-31112-31112-81111")


def trainer(seed: int = 0, genome: Genome = GENOME) -> Trainer:
    torch.manual_seed(seed)
    model = decode(genome, ModelConfig(width=32))
    config = TrainingConfig(
        steps=8, batch_size=2, length=16, warmup_steps=2, schedule="cosine", device="cpu"
    )
    return Trainer(model, CORPUS, config, seed=3)


def weights(trainer: Trainer) -> list[torch.Tensor]:
    assert isinstance(trainer.model, LanguageModel)
    return [parameter.detach().clone() for parameter in trainer.model.parameters()]


@pytest.mark.parametrize("saved_at", [0, 1, 5])
def test_a_resumed_training_ends_bit_for_bit_like_the_whole(tmp_path: Path, saved_at: int) -> None:
    whole, losses = trainer(), []
    for step in range(8):
        if step == saved_at:
            save_state(tmp_path / "state", whole)
        losses.append(whole.advance().loss)
    resumed = trainer(seed=1)  # other weights, to be replaced
    load_state(tmp_path / "state", resumed)
    assert resumed.step == saved_at
    assert [resumed.advance().loss for _ in range(saved_at, 8)] == losses[saved_at:]
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(resumed), strict=True))
    assert resumed.tokens == 8 * 2 * 16


def test_moments_matter(tmp_path: Path) -> None:
    whole = trainer()
    whole.advance()
    save_state(tmp_path / "state", whole)
    tensors = load_file(tmp_path / "state")
    assert any("exp_avg_sq" in name for name in tensors)
    changed = {
        name: tensor + 1 if name.endswith("exp_avg") else tensor for name, tensor in tensors.items()
    }
    save_file(changed, tmp_path / "state", {"schema": "1", "step": "1"})
    resumed = trainer()
    load_state(tmp_path / "state", resumed)
    whole.advance()
    resumed.advance()
    assert not torch.equal(weights(whole)[0], weights(resumed)[0])


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


def test_the_state_of_another_genome_is_refused(tmp_path: Path) -> None:
    save_state(tmp_path / "state", trainer())
    with pytest.raises(UserError, match="does not fit the genome"):
        load_state(tmp_path / "state", trainer(genome=Genome.from_text("91111-71111")))
