"""Accuracy of answers as mad-lab has it: macro, over classes.

Neighbour: `star.evaluation.probing.micro_accuracy`, over all scored tokens, is what counts here.
"""

import torch

from star.data.mad import IGNORED

MACRO_BATCH = 128  # sequences, as many as mad-lab averages classes over at a time


def macro_accuracy(
    predicted: torch.Tensor, targets: torch.Tensor, batch_size: int = MACRO_BATCH
) -> float:
    """What mad-lab publishes: in batches the mean over classes, and then the mean over batches.

    It uses torchmetrics' `MulticlassAccuracy`, whose mean is over the classes that are targets *or
    predictions*: one that is only predicted counts as 0.

    Args:
        predicted: tokens, int64 (instances, positions).
        targets: of that shape, `IGNORED` where nothing is scored.
        batch_size: sequences of a batch.
    """
    batches = zip(predicted.split(batch_size), targets.split(batch_size), strict=True)
    values = [_mean_over_classes(*batch) for batch in batches]
    return sum(values) / len(values)


def _mean_over_classes(predicted: torch.Tensor, targets: torch.Tensor) -> float:
    scored = targets != IGNORED
    predicted, targets = predicted[scored], targets[scored]
    classes = int(torch.cat([predicted, targets]).max()) + 1
    wanted = torch.bincount(targets, minlength=classes).double()
    given = torch.bincount(predicted, minlength=classes)
    right = torch.bincount(targets[predicted == targets], minlength=classes)
    occurs = (wanted + given) > 0
    return float((right[occurs] / wanted[occurs].clamp(min=1)).mean())
