"""The training loop: AdamW, warm-up, schedule, clipping; and the held-out quality of a model."""

import contextlib
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from star.data import Corpus
from star.training.config import TrainingConfig


class Diverged(Exception):
    """A loss or gradient was not finite; the message says at which step."""


@dataclass(frozen=True)
class TrainingResult:
    """What a training took. train_loss: mean nats per token over the last tenth of the steps."""

    steps: int
    tokens: int
    train_loss: float
    seconds: float


@dataclass(frozen=True)
class Quality:
    """Held-out quality. validation_loss: nats per token; bits_per_byte; perplexity: exp(validation_loss)."""

    validation_loss: float
    bits_per_byte: float
    perplexity: float


def learning_rate_at(step: int, config: TrainingConfig) -> float:
    """Learning rate of a step counted from 0: linear warm-up, then constant or cosine."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.learning_rate
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return config.learning_rate * (config.final_fraction + (1 - config.final_fraction) * cosine)


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices only: norms, biases and other vectors are not decayed, nor are parameters
    that a model marks with `no_weight_decay`."""
    decayed, free = [], []
    for parameter in model.parameters():
        is_matrix = parameter.ndim >= 2 and not getattr(parameter, "no_weight_decay", False)
        (decayed if is_matrix else free).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    beta1, beta2 = config.betas
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(beta1, beta2), fused=True)


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


def train(
    model: nn.Module,
    corpus: Corpus,
    config: TrainingConfig,
    seed: int,
    on_step: Callable[[int, float], None] | None = None,
) -> TrainingResult:
    """Train in place on `config.torch_device()`; batches depend on (seed, step) only.

    on_step receives the step (from 0) and its loss. Raises `Diverged` at the first loss or gradient norm that is
    not finite, and `UserError` for a corpus shorter than `config.length`.
    """
    corpus.check_length(config.length)
    device = config.torch_device()
    model.to(device).train()
    optimizer = make_optimizer(model, config)
    losses: list[float] = []
    start = time.perf_counter()
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, config)
        tokens = corpus.batch(seed, step, config.batch_size, config.length).to(device)
        loss = _accumulate(model, tokens, config)
        norm = nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
        for name, value in (("loss", loss), ("gradient norm", float(norm))):
            if not math.isfinite(value):
                raise Diverged(f"{name} is {value} at step {step}")
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss)
        if on_step is not None:
            on_step(step, loss)
    tail = losses[-max(1, len(losses) // 10) :]
    tokens_seen = config.steps * config.batch_size * config.length
    return TrainingResult(config.steps, tokens_seen, sum(tail) / len(tail), time.perf_counter() - start)


@torch.no_grad()
def validate(model: nn.Module, corpus: Corpus, config: TrainingConfig) -> Quality:
    """Quality on the corpus's fixed held-out sample. Raises `Diverged` when the loss is not finite."""
    corpus.check_length(config.length)
    device = config.torch_device()
    model.to(device).eval()
    losses = []
    sample = (config.validation_batches, config.validation_batch_size, config.length)
    for tokens in corpus.validation_batches(*sample):
        with _autocast(config, device):
            losses.append(token_loss(model, tokens.to(device)).item())
    loss = sum(losses) / len(losses)
    if not math.isfinite(loss):
        raise Diverged(f"validation loss is {loss}")
    bits = loss / math.log(2) / corpus.bytes_per_token
    return Quality(loss, bits, math.exp(loss) if loss < 700 else math.inf)
