"""Training at several rates: the best on other held-out windows is kept, as if it were alone."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from star.base.errors import UserError
from star.data import Corpus
from star.training import Diverged, Trainer, TrainingConfig, train_at_best_rate, validate
from star.training.rates import Chosen

TEXT = np.frombuffer(b"to be, or not to be: that is the question. " * 60, dtype=np.uint8)
CORPUS = Corpus(TEXT, TEXT, "test")
RATES = [1e-4, 0.05, 1e-2]


def config(**changes: object) -> TrainingConfig:
    settings = {
        **{"steps": 12, "batch_size": 2, "length": 16, "warmup_steps": 2, "schedule": "cosine"},
        **{"validation_batches": 2, "validation_batch_size": 2, "device": "cpu"},
        "learning_rates": RATES,
    }
    return TrainingConfig(**{**settings, **changes})  # type: ignore[arg-type]


def bigram() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(256, 16), nn.Linear(16, 256))


def make(settings: TrainingConfig) -> Trainer:
    return Trainer(bigram(), CORPUS, settings, seed=1)


def chosen(settings: TrainingConfig, steps: int, folder: Path | None = None) -> Chosen:
    def opened(suffix: str) -> AbstractContextManager[Path | None]:
        return nullcontext(folder / f"state{suffix}" if folder else None)

    return train_at_best_rate(make, settings, steps, opened)


def weights(trainer: Trainer) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


def alone(settings: TrainingConfig, rate: float, steps: int) -> Trainer:
    trainer = make(settings.at_rate(rate))
    for _ in range(steps):
        trainer.advance()
    return trainer


@pytest.mark.parametrize("rate_steps", [None, 4])
def test_the_best_rate_is_that_of_the_trainings_one_by_one(rate_steps: int | None) -> None:
    settings = config(rate_steps=rate_steps)
    until = rate_steps or 12
    losses = [
        validate(alone(settings, rate, until).model, CORPUS, settings, True).validation_loss
        for rate in RATES
    ]
    found = chosen(settings, 12)
    assert found.number == int(np.argmin(losses)) and found.seconds > 0
    assert found.trainer.step == 12
    whole = alone(settings, RATES[found.number], 12)
    assert torch.equal(weights(found.trainer), weights(whole))


@pytest.mark.parametrize("rate_steps", [None, 4])
@pytest.mark.parametrize("kept", [True, False])
def test_a_training_in_parts_is_the_training_in_one(
    tmp_path: Path, rate_steps: int | None, kept: bool
) -> None:
    """Whether its states are kept or lost."""
    settings = config(rate_steps=rate_steps)
    for steps in (2, 4, 7, 12):
        part, whole = chosen(settings, steps, tmp_path if kept else None), chosen(settings, steps)
        assert part.number == whole.number
        assert torch.equal(weights(part.trainer), weights(whole.trainer))


def test_only_the_best_goes_on_behind_the_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[float] = []
    advance = Trainer.advance
    monkeypatch.setattr(
        Trainer, "advance", lambda self: (steps.append(self.step), advance(self))[1]
    )
    chosen(config(rate_steps=4), 4, tmp_path)
    assert len(steps) == 3 * 4
    chosen(config(rate_steps=4), 8, tmp_path)
    assert len(steps) == 3 * 4 + 4  # from the states of all
    chosen(config(rate_steps=4), 12, tmp_path)
    assert len(steps) == 3 * 4 + 8


def test_a_rate_that_diverges_is_not_chosen_and_none_is_left_where_all_do() -> None:
    found = chosen(config(learning_rates=[1e30, 1e-2]), 12)
    assert found.number == 1
    with pytest.raises(Diverged, match=r"at step \d+ \(training.learning_rates: the last"):
        chosen(config(learning_rates=[1e30, 1e31]), 12)


def test_muon_s_rate_stays_the_same_multiple() -> None:
    one = config(optimizer="muon", learning_rate=4e-3, matrix_learning_rate=0.02).at_rate(1e-3)
    assert one.matrix_learning_rate == pytest.approx(5e-3) and one.learning_rate == 1e-3
    assert not one.learning_rates and one.content()["optimizer"] == "muon"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rates": [1e-3]}, "training.learning_rates=[0.001]: expected two or more"),
        ({"learning_rates": [1e-3, 1e-3]}, "expected two or more different numbers above 0"),
        ({"learning_rates": [1e-3, 0.0]}, "expected two or more different numbers above 0"),
        ({"learning_rates": [1e-3, float("nan")]}, "expected two or more different numbers"),
        ({"learning_rates": [], "rate_steps": 3}, "training.rate_steps=3: expected null"),
        ({"rate_steps": 13}, "training.rate_steps=13: expected at most training.steps=12"),
        ({"rate_steps": 0}, "training.rate_steps=0: expected at least 1"),
    ],
)
def test_rates_that_cannot_be_used_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as caught:
        config(**changes).check()
    assert message in str(caught.value)
