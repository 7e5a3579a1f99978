"""The training loop: gradients, clipping, steps.

`quality` measures what came of it on held-out text.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from star.data import Corpus
from star.training.config import TrainingConfig
from star.training.optimizers import learning_rate_at, make_optimizer, set_learning_rate


class Diverged(Exception):
    """A loss or gradient was not finite; the message says at which step."""


def token_loss(model: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """Mean next-token cross-entropy in nats, float32; tokens int64 (batch, length + 1)."""
    logits = model(tokens[:, :-1])
    return F.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten())


def _accumulate(
    loss_of: Callable[[torch.Tensor], torch.Tensor], tokens: torch.Tensor, config: TrainingConfig
) -> float:
    """Backward over one batch in micro-batches; returns the batch's mean loss."""
    parts = tokens.split(config.micro_batch_size or config.batch_size)
    total = 0.0
    for part in parts:
        with config.autocast(tokens.device):
            loss = loss_of(part)
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
        """Move the model to `config.torch_device()`. Raises `UserError` for a corpus with a part
        shorter than its windows."""
        corpus.check_length(config.length, config.validation_length)
        self.corpus, self.config, self.seed = corpus, config, seed
        self.device = config.torch_device()
        self.model = model.to(self.device).train()
        self.optimizer = make_optimizer(model, config)
        self.step = 0

    @property
    def tokens(self) -> int:
        """Training tokens seen."""
        return self.step * self.config.tokens_per_step

    def loss(self, tokens: torch.Tensor) -> torch.Tensor:
        """What a step lowers, a scalar; a subclass may have another. tokens int64 (batch, length +
        1)."""
        return token_loss(self.model, tokens)

    def advance(self) -> StepResult:
        """Make one step in place. Raises `Diverged` when the loss or gradient norm is not
        finite."""
        learning_rate = learning_rate_at(self.step, self.config)
        set_learning_rate(self.optimizer, learning_rate)
        tokens = self.corpus.batch(
            self.seed, self.step, self.config.batch_size, self.config.length
        ).to(self.device)
        loss = _accumulate(self.loss, tokens, self.config)
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip))
        for name, value in (("loss", loss), ("gradient norm", norm)):
            if not math.isfinite(value):
                raise Diverged(f"{name} is {value} at step {self.step}")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return StepResult(self.step, loss, norm, learning_rate)
