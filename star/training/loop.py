"""The training loop: gradients, clipping, steps; and the held-out quality of a model."""

import contextlib
import math
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from star.data import Corpus
from star.training.config import TrainingConfig
from star.training.optimizers import learning_rate_at, make_optimizer, set_learning_rate


class Diverged(Exception):
    """A loss or gradient was not finite; the message says at which step."""


@dataclass(frozen=True)
class Quality:
    """Held-out quality, in three units."""

    validation_loss: float  # nats per token
    bits_per_byte: float
    perplexity: float  # exp(validation_loss)

    @classmethod
    def from_loss(cls, loss: float, bytes_per_token: float) -> "Quality":
        """The three from the first. loss: nats per token; bytes_per_token: of the text."""
        bits = loss / math.log(2) / bytes_per_token
        return cls(loss, bits, math.exp(loss) if loss < 700 else math.inf)  # exp(710) overflows


def token_loss(model: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """Mean next-token cross-entropy in nats, float32; tokens int64 (batch, length + 1)."""
    logits = model(tokens[:, :-1])
    return F.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten())


def _autocast(config: TrainingConfig, device: torch.device) -> AbstractContextManager[object]:
    dtype = config.autocast_dtype(device)
    return contextlib.nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


def _accumulate(model: nn.Module, tokens: torch.Tensor, config: TrainingConfig) -> float:
    """Backward over one batch in micro-batches; returns the batch's mean loss."""
    parts = tokens.split(config.micro_batch_size or config.batch_size)
    total = 0.0
    for part in parts:
        with _autocast(config, tokens.device):
            loss = token_loss(model, part)
        (loss / len(parts)).backward()
        total += loss.item() / len(parts)
    return total


@dataclass(frozen=True)
class StepResult:
    """One finished step."""

    step: int  # from 1
    loss: float  # mean of its batch
    gradient_norm: float  # before clipping
    learning_rate: float  # of AdamW


class Trainer:
    """A training between two steps: the model, its optimiser and the number of finished steps.

    Nothing else decides what follows: batches depend on (seed, step) alone and no random numbers
    are drawn.
    """

    def __init__(self, model: nn.Module, corpus: Corpus, config: TrainingConfig, seed: int) -> None:
        """Move the model to `config.torch_device()`. Raises `UserError` for a corpus shorter than
        `config.length`."""
        corpus.check_length(config.length)
        self.corpus, self.config, self.seed = corpus, config, seed
        self.device = config.torch_device()
        self.model = model.to(self.device).train()
        self.optimizer = make_optimizer(model, config)
        self.step = 0

    @property
    def tokens(self) -> int:
        """Training tokens seen."""
        return self.step * self.config.tokens_per_step

    def advance(self) -> StepResult:
        """Make one step in place. Raises `Diverged` when the loss or gradient norm is not
        finite."""
        learning_rate = learning_rate_at(self.step, self.config)
        set_learning_rate(self.optimizer, learning_rate)
        tokens = self.corpus.batch(
            self.seed, self.step, self.config.batch_size, self.config.length
        ).to(self.device)
        loss = _accumulate(self.model, tokens, self.config)
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip))
        for name, value in (("loss", loss), ("gradient norm", norm)):
            if not math.isfinite(value):
                raise Diverged(f"{name} is {value} at step {self.step}")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return StepResult(self.step, loss, norm, learning_rate)


@torch.no_grad()
def validate(model: nn.Module, corpus: Corpus, config: TrainingConfig) -> Quality:
    """Quality on the corpus's fixed held-out sample. Raises `Diverged` when the loss is not
    finite."""
    corpus.check_length(config.length)
    device, training = config.torch_device(), model.training
    model.to(device).eval()
    losses = []
    sample = (config.validation_batches, config.validation_batch_size, config.length)
    for tokens in corpus.validation_batches(*sample):
        with _autocast(config, device):
            losses.append(token_loss(model, tokens.to(device)).item())
    model.train(training)
    loss = sum(losses) / len(losses)
    if not math.isfinite(loss):
        raise Diverged(f"validation loss is {loss}")
    return Quality.from_loss(loss, corpus.bytes_per_token)
