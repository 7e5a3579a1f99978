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
def accuracy(model: nn.Module, instances: Instances, batch_size: int = 64) -> float:
    """Share of all scored positions whose likeliest token is the wanted one, from 0 to 1.

    The mean is over positions, not over classes (micro accuracy).

    Args:
        model: tokens int64 (batch, length) to logits (batch, length, vocabulary).
        instances: on the model's device.
        batch_size: sequences at a time.
    """
    training = model.training
    model.eval()
    right = torch.zeros((), dtype=torch.int64, device=instances.targets.device)
    for inputs, targets in zip(
        instances.inputs.split(batch_size), instances.targets.split(batch_size), strict=True
    ):
        right += (model(inputs).argmax(-1) == targets).sum()  # IGNORED is no token
    model.train(training)
    return int(right) / int(instances.scored.sum())
