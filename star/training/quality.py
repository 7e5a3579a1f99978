"""The held-out quality of a model: its loss in three units, and that of two kinds of tokens which
show what a memory is worth."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from star.data import Corpus
from star.data.repeats import repeats
from star.training.config import TrainingConfig
from star.training.loop import Diverged


@dataclass(frozen=True)
class Quality:
    """Held-out quality; None where it was not measured."""

    NGRAM: ClassVar[int] = 4  # bytes that a token of `repeat_loss` ends
    LATE: ClassVar[int] = 4  # `late_loss` is of the last of so many equal parts of a window

    validation_loss: float  # nats per token
    bits_per_byte: float
    perplexity: float  # exp(validation_loss)
    # nats per token, of those that end an n-gram which occurred before in the same window: recall
    # hits (Arora et al. 2023, arXiv 2312.04927); None too where no window has any
    repeat_loss: float | None = None
    late_loss: float | None = None  # nats per token, at the end of the windows

    @classmethod
    def from_loss(cls, loss: float, bytes_per_token: float) -> "Quality":
        """The three from the first. loss: nats per token; bytes_per_token: of the text."""
        bits = loss / math.log(2) / bytes_per_token
        return cls(loss, bits, math.exp(loss) if loss < 700 else math.inf)  # exp(710) overflows

    @property
    def metrics(self) -> dict[str, float]:
        """What was measured, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


def token_losses(model: nn.Module, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Next-token cross-entropy in nats, float32: the mean, as `loop.token_loss` bit for bit, and of
    each token (batch, length); tokens int64 (batch, length + 1)."""
    logits = model(tokens[:, :-1])
    logs, targets = F.log_softmax(logits.float().flatten(0, 1), dim=-1), tokens[:, 1:].flatten()
    each = F.nll_loss(logs, targets, reduction="none")
    return F.nll_loss(logs, targets), each.view(len(tokens), -1)


@torch.no_grad()
def validate(
    model: nn.Module, corpus: Corpus, config: TrainingConfig, selecting: bool = False
) -> Quality:
    """Quality on a fixed held-out sample.

    Args:
        model: moved to `config.torch_device()`.
        corpus: the text.
        config: says how large the sample is.
        selecting: on other windows, to choose by: what is chosen is then reported on the usual
            ones.

    Raises:
        Diverged: when the loss is not finite.
        UserError: for a held-out text that is too short.
    """
    length = config.validation_length or config.length
    corpus.check_length(config.length, length)
    device, training = config.torch_device(), model.training
    model.to(device).eval()
    means, losses, hits = [], [], []
    sample = (config.validation_batches, config.validation_batch_size, length)
    for tokens in corpus.validation_batches(*sample, selecting=selecting):
        with config.autocast(device):
            mean, each = token_losses(model, tokens.to(device))
        means.append(mean.item())
        losses.append(each.double().cpu().numpy())
        hits.append(repeats(tokens.numpy(), Quality.NGRAM)[:, 1:])
    model.train(training)
    loss = sum(means) / len(means)
    if not math.isfinite(loss):
        raise Diverged(f"validation loss is {loss}")
    return _quality(loss, np.concatenate(losses), np.concatenate(hits), corpus.bytes_per_token)


def _quality(loss: float, losses: np.ndarray, hits: np.ndarray, bytes_per_token: float) -> Quality:
    """loss: the mean; losses: float64 (windows, positions); hits: booleans of that shape."""
    units = Quality.from_loss(loss, bytes_per_token)
    late = losses[:, -max(1, losses.shape[1] // Quality.LATE) :]
    repeat_loss = float(losses[hits].mean()) if hits.any() else None
    return Quality(**units.metrics, repeat_loss=repeat_loss, late_loss=float(late.mean()))
