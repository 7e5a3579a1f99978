"""The training loop and the quality of a model."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from star.base.errors import UserError
from star.data import Corpus
from star.training import Diverged, Trainer, TrainingConfig, train_further, validate
from star.training.optimizers import learning_rate_at, make_optimizer


@pytest.fixture
def corpus() -> Corpus:
    """Text in which the next byte is the present one plus 1, modulo 7."""
    return Corpus(np.arange(5000, dtype=np.uint8) % 7, np.arange(900, dtype=np.uint8) % 7, "test")


def bigram() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(256, 16), nn.Linear(16, 256))


def config(**changes: object) -> TrainingConfig:
    settings = {"steps": 60, "batch_size": 4, "length": 16, "learning_rate": 0.05, "device": "cpu"}
    return TrainingConfig(**{**settings, **changes})  # type: ignore[arg-type]


def train(model: nn.Module, corpus: Corpus, settings: TrainingConfig, seed: int) -> Trainer:
    trainer = Trainer(model, corpus, settings, seed)
    train_further(trainer, settings.steps, None)
    return trainer


def test_a_model_learns_and_quality_has_consistent_units(corpus: Corpus) -> None:
    model = bigram()
    before = validate(model, corpus, config())
    result = train(model, corpus, config(), seed=0)
    after = validate(model, corpus, config())
    assert before.validation_loss == pytest.approx(math.log(256), rel=0.1)
    assert after.validation_loss < 0.5 < before.validation_loss
    assert after.bits_per_byte == pytest.approx(after.validation_loss / math.log(2))
    assert after.perplexity == pytest.approx(math.exp(after.validation_loss))
    assert result.tokens == 60 * 4 * 16 and result.step == 60


def test_training_is_a_function_of_the_seed_and_leaves_the_global_generator_alone(
    corpus: Corpus,
) -> None:
    models = [bigram() for _ in range(3)]
    state = torch.random.get_rng_state()
    for model, seed in zip(models, (1, 1, 2), strict=True):
        train(model, corpus, config(steps=5), seed=seed)
    assert torch.equal(state, torch.random.get_rng_state())
    first, same, other = (model.state_dict()["1.weight"] for model in models)
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_micro_batches_give_the_full_batch_gradient(corpus: Corpus) -> None:
    whole, parts = bigram(), bigram()
    train(whole, corpus, config(steps=3), seed=0)
    train(parts, corpus, config(steps=3, micro_batch_size=1), seed=0)
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bad_step", [0, 3])
def test_a_loss_that_is_not_finite_stops_at_once(corpus: Corpus, bad_step: int) -> None:
    class Breaking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.calls = bigram(), 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return self.inner(x) * (float("nan") if self.calls > bad_step else 1.0)

    model = Breaking()
    with pytest.raises(Diverged, match=f"loss is nan at step {bad_step}"):
        train(model, corpus, config(), seed=0)
    assert model.calls == bad_step + 1
    with pytest.raises(Diverged, match="validation loss is nan"):
        validate(model, corpus, config())


def test_cosine_matches_torch() -> None:
    settings = config(schedule="cosine", steps=40, warmup_steps=8, final_fraction=0.25)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=settings.learning_rate)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, 32, settings.learning_rate * 0.25
    )
    for step in range(8, 40):
        assert learning_rate_at(step, settings) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    warm_up = [learning_rate_at(step, settings) / settings.learning_rate for step in range(9)]
    assert warm_up == pytest.approx([*(n / 8 for n in range(1, 9)), 1.0])


def test_constant_schedule() -> None:
    assert learning_rate_at(59, config(warmup_steps=10)) == 0.05


def test_only_matrices_are_decayed() -> None:
    decayed, free = make_optimizer(bigram(), config(weight_decay=0.3)).param_groups
    assert decayed["weight_decay"] == 0.3 and {p.ndim for p in decayed["params"]} == {2}
    assert free["weight_decay"] == 0.0 and {p.ndim for p in free["params"]} == {1}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("steps", 0), ("learning_rate", -1.0), ("schedule", "linear"), ("precision", "int8"),
        ("betas", [0.9]), ("micro_batch_size", 3), ("gradient_clip", 0.0), ("warmup_steps", -1),
        ("device", "tpu"), ("length", 0),
    ],
)  # fmt: skip
def test_bad_settings_name_key_and_value(key: str, value: object) -> None:
    with pytest.raises(UserError) as caught:
        config(**{key: value}).check()
    assert f"training.{key}={value}: expected" in str(caught.value)


def test_cuda_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"training.device=cuda"):
        config(device="cuda").check()


def test_a_training_in_parts_is_the_training_in_one(corpus: Corpus, tmp_path: Path) -> None:
    """Its state is kept between the parts; nothing goes on from the whole, which writes none."""
    settings, state = config(steps=6), tmp_path / "states" / "x.safetensors"
    whole = train(bigram(), corpus, settings, 0)
    for steps in (2, 4, 6):
        part = Trainer(bigram(), corpus, settings, 0)
        assert train_further(part, steps, state) > 0
        assert part.step == steps and state.exists()
    for a, b in zip(whole.model.parameters(), part.model.parameters(), strict=True):
        assert torch.equal(a, b)
    last = state.read_bytes()
    train_further(Trainer(bigram(), corpus, settings, 0), 6, state)
    assert state.read_bytes() == last
