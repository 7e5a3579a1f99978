"""The optimisers: which weights are whose, schedules, and torch's own Muon as the oracle."""

import numpy as np
import pytest
import torch
from torch import nn

from star.base.errors import UserError
from star.data import Corpus
from star.genomes import Genome, ModelConfig
from star.models import LanguageModel, decode
from star.training import Trainer, TrainingConfig
from star.training.optimizers import Combined, hidden_matrices, make_optimizer, set_learning_rate

CORPUS = Corpus(np.arange(5000, dtype=np.uint8) % 7, np.arange(900, dtype=np.uint8) % 7, "test")
# Of every kind of weight: attention, recurrence, short and long convolutions, SwiGLU.
GENOME = Genome.from_text("51211-91111-31112-41112-61111-71111-81111")

needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="Muon is of torch 2.9")


def muon(**changes: object) -> TrainingConfig:
    settings = {"optimizer": "muon", "steps": 8, "batch_size": 2, "length": 16, "device": "cpu"}
    return TrainingConfig(**{**settings, **changes})  # type: ignore[arg-type]


def model(tie_embeddings: bool = False) -> LanguageModel:
    torch.manual_seed(0)
    return decode(GENOME, ModelConfig(width=32, tie_embeddings=tie_embeddings))


class TwoLayers(nn.Module):
    """A linear layer before a head, with the same weights every time."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.inner, self.head = nn.Linear(6, 10), nn.Linear(10, 3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.inner(x).tanh())


@needs_muon
def test_matrices_are_trained_as_by_torch_s_muon_and_the_rest_as_by_adamw() -> None:
    config = muon(matrix_learning_rate=0.02, learning_rate=3e-3, weight_decay=0.3)
    ours, theirs = TwoLayers(), TwoLayers()
    optimizer = make_optimizer(ours, config)
    matrices = torch.optim.Muon([theirs.inner.weight], lr=0.02, weight_decay=0.3)
    groups = [
        {"params": [theirs.head.weight], "weight_decay": 0.3},
        {"params": [theirs.inner.bias], "weight_decay": 0.0},
    ]
    rest = torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.95), fused=True)
    x = torch.randn(5, 6)
    for _ in range(4):
        for layers, steppers in ((ours, [optimizer]), (theirs, [matrices, rest])):
            layers(x).square().sum().backward()
            for stepper in steppers:
                stepper.step()
                stepper.zero_grad()
    for a, b, before in zip(*(m.parameters() for m in (ours, theirs, TwoLayers())), strict=True):
        assert torch.equal(a, b) and not torch.equal(a, before)


@pytest.mark.parametrize("tie_embeddings", [False, True])
def test_every_weight_has_one_optimiser_and_only_projections_are_hidden_matrices(
    tie_embeddings: bool,
) -> None:
    built = model(tie_embeddings)
    names: dict[torch.Tensor, str] = {p: name for name, p in built.named_parameters()}
    optimizer = make_optimizer(built, muon())
    assert isinstance(optimizer, Combined)
    groups = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert len(groups) == len(names) and set(groups) == set(names)
    hidden = {names[parameter] for parameter in hidden_matrices(built)}
    assert {names[p] for p in optimizer.param_groups[0]["params"]} == hidden
    others = {name for name, p in built.named_parameters() if p.ndim >= 2} - hidden
    assert {name.rpartition(".")[2] for name in hidden} == {"weight"}
    assert any("output" in name for name in hidden) and any("projection" in name for name in hidden)
    assert "embedding.weight" in others and ("head.weight" in others) is not tie_embeddings
    assert any("convolution" in name for name in others)
    assert any("log_rate" in name for name in others)


def test_a_schedule_scales_both_rates_alike() -> None:
    optimizer = make_optimizer(model(), muon(learning_rate=4e-3, matrix_learning_rate=0.02))
    for rate in (4e-3, 1e-3):
        set_learning_rate(optimizer, rate)
        matrices, *rest = (group["lr"] for group in optimizer.param_groups)
        assert matrices == pytest.approx(5 * rate) and rest == [rate, rate]
        assert isinstance(optimizer, Combined)
        assert [group["lr"] for part in optimizer.parts for group in part.param_groups] == [
            *(matrices, *rest)
        ]


def test_muon_learns() -> None:
    trainer = Trainer(model(), CORPUS, muon(steps=20), seed=0)
    losses = [trainer.advance().loss for _ in range(20)]
    assert losses[-1] < losses[0] - 1


@pytest.mark.parametrize(("key", "value"), [("optimizer", "sgd"), ("matrix_learning_rate", 0.0)])
def test_bad_settings_name_key_and_value(key: str, value: object) -> None:
    with pytest.raises(UserError, match=f"training.{key}={value}: expected"):
        muon(**{key: value}).check()
