"""Training a model on the instances of a synthetic task, step by step, and its accuracy on them."""

import math
from collections.abc import Iterable, Iterator

import torch
from torch import nn
from torch.nn import functional as F

from star.data.mad import IGNORED, Instances
from star.training import Diverged


def answer_loss(model: nn.Module, batch: Instances) -> torch.Tensor:
    """Mean cross-entropy in nats, float32, over the scored positions of a batch.

    model: tokens int64 (batch, length) to logits (batch, length, vocabulary).
    """
    logits = model(batch.inputs)
    return F.cross_entropy(
        logits.float().flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED
    )


def train_on_instances(
    model: nn.Module,
    batches: Iterable[Instances],
    optimizer: torch.optim.Optimizer,
    gradient_clip: float = 1.0,
) -> Iterator[float]:
    """Train in place, one step a batch, and give the loss of each step after it was made.

        for step, loss in enumerate(train_on_instances(model, batches, optimizer), start=1):
            if step % 50 == 0 and accuracy(model, held_out) > 0.99:
                break

    The caller measures, stops, or changes learning rates between two steps. The model is in
    training mode during each of them.

    Args:
        model: tokens int64 (batch, length) to logits (batch, length, vocabulary).
        batches: one a step, on the model's device.
        optimizer: over the model's parameters.
        gradient_clip: largest norm of all gradients together.

    Raises:
        Diverged: when a loss or gradient norm is not finite, before the step is made.
    """
    for step, batch in enumerate(batches):
        model.train()
        loss = answer_loss(model, batch)
        loss.backward()
        norm = float(nn.utils.clip_grad_norm_(model.parameters(), gradient_clip))
        for name, value in (("loss", loss.item()), ("gradient norm", norm)):
            if not math.isfinite(value):
                raise Diverged(f"{name} is {value} at step {step}")
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield loss.item()


@torch.no_grad()
def answers(model: nn.Module, inputs: torch.Tensor, batch_size: int = 64) -> torch.Tensor:
    """The likeliest token at each position, int64 (sequences, length), on the device of the inputs.

    Args:
        model: tokens int64 (batch, length) to logits (batch, length, vocabulary).
        inputs: tokens int64 (sequences, length), on any device.
        batch_size: sequences at a time.
    """
    training, device = model.training, next(model.parameters()).device
    model.eval()
    found = [model(part.to(device)).argmax(dim=-1) for part in inputs.split(batch_size)]
    model.train(training)
    return torch.cat(found).to(inputs.device)


def micro_accuracy(predicted: torch.Tensor, targets: torch.Tensor) -> float:
    """Share of all scored positions that are right, from 0 to 1: the mean is over positions, not
    over classes.

    Args:
        predicted: tokens int64 (sequences, length).
        targets: of that shape, `IGNORED` where nothing is scored.
    """
    right = predicted == targets  # IGNORED is no token
    return int(right.sum()) / int((targets != IGNORED).sum())


def accuracy(model: nn.Module, instances: Instances, batch_size: int = 64) -> float:
    """`micro_accuracy` of what the model answers; arguments as in `answers`."""
    return micro_accuracy(answers(model, instances.inputs, batch_size), instances.targets)
