"""Quality on held-out text after the short training: in three units, and of tokens that show what
a memory is worth."""

import math
from collections.abc import Mapping

from star.evaluation.objectives.base import Context, Objective
from star.training import Quality

LOSS = "validation_loss"  # what every search measures, ranks by and shows


class ValidationLoss(Objective):
    """Mean next-token cross-entropy."""

    name, unit, label = LOSS, "nats/token", "loss"

    def measure(self, context: Context) -> Mapping[str, float]:
        """With the others, since they cost nothing."""
        return context.quality.metrics

    def format(self, value: float) -> str:
        """Four decimals."""
        return f"{value:.4f}"


class BitsPerByte(ValidationLoss):
    """The same in bits a byte of text, comparable between tokenisers."""

    name, unit, label = "bits_per_byte", "bits/byte", ""


class Perplexity(ValidationLoss):
    """exp of the loss."""

    name, unit, label, bounds = "perplexity", "", "", (1.0, math.inf)


class RepeatLoss(ValidationLoss):
    """The loss of tokens that end an n-gram which occurred before in the same window, so that a
    model with a memory can look them up (`star.training.Quality`)."""

    name, label = "repeat_loss", "repeats"
    optional = (
        f"no held-out window repeats {Quality.NGRAM} bytes; use longer ones "
        "(training.validation_length) or more of them"
    )


class LateLoss(ValidationLoss):
    """The loss in the last quarter of the windows, where most of the text is known."""

    name, label = "late_loss", "late"
    optional = "nothing trains the candidates"
