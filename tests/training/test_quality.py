"""The quality of a model: against torch's own loss, token by token."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from star.base.errors import UserError
from star.data import Corpus
from star.training import Quality, TrainingConfig, validate
from star.training.loop import token_loss
from star.training.quality import token_losses

TEXT = np.frombuffer(b"to be, or not to be: that is the question. " * 60, dtype=np.uint8)
CORPUS = Corpus(TEXT, TEXT, "test")
DISTINCT = np.random.default_rng(0).permutation(256).astype(np.uint8)  # nothing repeats


def config(**changes: object) -> TrainingConfig:
    settings = {"length": 32, "validation_batches": 3, "validation_batch_size": 2, "device": "cpu"}
    return TrainingConfig(**{**settings, **changes})  # type: ignore[arg-type]


def bigram() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(256, 16), nn.Linear(16, 256))


def losses(model: nn.Module, settings: TrainingConfig) -> tuple[np.ndarray, np.ndarray]:
    """Tokens (windows, length + 1) and float64 losses (windows, length) of the held-out sample."""
    length = settings.validation_length or settings.length
    sample = CORPUS.validation_batches(
        settings.validation_batches, settings.validation_batch_size, length
    )
    tokens = torch.cat(list(sample))
    with torch.no_grad():
        logits = model(tokens[:, :-1]).transpose(1, 2)
    return tokens.numpy(), F.cross_entropy(logits, tokens[:, 1:], reduction="none").double().numpy()


def test_the_mean_is_bit_for_bit_the_loss_that_training_minimises() -> None:
    """So that ledgers of before hold what is measured now."""
    model, tokens = bigram(), torch.from_numpy(TEXT[:330].astype(np.int64)).view(10, 33)
    mean, each = token_losses(model, tokens)
    assert torch.equal(mean, token_loss(model, tokens)) and each.shape == (10, 32)
    torch.testing.assert_close(each.mean(), mean)


@pytest.mark.parametrize("validation_length", [None, 80])
def test_losses_of_repeats_and_of_the_end_are_means_over_these_tokens(
    validation_length: int | None,
) -> None:
    model, settings = bigram(), config(validation_length=validation_length)
    quality = validate(model, CORPUS, settings)
    tokens, each = losses(model, settings)
    length = validation_length or 32
    assert each.shape == (6, length)
    assert quality.validation_loss == pytest.approx(each.mean(), rel=1e-6)
    assert quality.late_loss == pytest.approx(each[:, -length // 4 :].mean(), rel=1e-6)
    hits = []
    for row, of_row in zip(tokens, each, strict=True):
        text = bytes(row.astype(np.uint8))
        # The token at i + 1 is predicted at i; it ends text[i - 2 : i + 2].
        hits += [of_row[i] for i in range(2, length) if text.find(text[i - 2 : i + 2]) < i - 2]
    assert hits and quality.repeat_loss == pytest.approx(np.mean(hits), rel=1e-6)


def test_text_without_repeats_has_no_loss_of_them() -> None:
    quality = validate(bigram(), Corpus(DISTINCT, DISTINCT, "distinct"), config())
    assert quality.repeat_loss is None and "repeat_loss" not in quality.metrics
    assert quality.metrics.keys() == {
        *("validation_loss", "bits_per_byte", "perplexity", "late_loss")
    }
    assert set(Quality.from_loss(2.0, 1.0).metrics) == {
        *("validation_loss", "bits_per_byte", "perplexity")
    }


def test_the_end_of_a_short_window_is_its_last_token() -> None:
    settings = config(length=3)
    _, each = losses(bigram(), settings)
    assert validate(bigram(), CORPUS, settings).late_loss == pytest.approx(each[:, -1].mean())


def test_windows_to_choose_by_share_no_token_with_those_that_are_reported() -> None:
    text: Any = np.arange(2000)  # every token tells its place, as bytes could not

    class Places(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen: set[int] = set()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.seen |= set(x.flatten().tolist())
            return torch.zeros(*x.shape, 2000)

    corpora = [
        Corpus(text, text, "places"),
        Corpus(text, text, "places", apart_from=((4, 40),)),
    ]
    for corpus in corpora:
        seen = []
        for selecting in (False, True):
            model = Places()
            validate(model, corpus, config(), selecting)
            seen.append(model.seen)
        assert len(seen[0]) == len(seen[1]) == 6 * 32 and not seen[0] & seen[1]


def test_a_text_without_room_for_them_is_refused() -> None:
    short = Corpus(TEXT, TEXT[:250], "short")
    validate(bigram(), short, config())
    with pytest.raises(UserError, match="training.validation_batches: 6 held-out windows of 32"):
        validate(bigram(), short, config(), selecting=True)


def test_held_out_windows_longer_than_the_text_are_refused() -> None:
    with pytest.raises(UserError, match="training.validation_length=3000: the held-out text has"):
        validate(bigram(), CORPUS, config(validation_length=3000))
