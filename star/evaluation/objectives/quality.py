"""Quality on held-out text after the short training, in three units."""

from collections.abc import Mapping

from star.evaluation.objectives.base import Context, Objective


class ValidationLoss(Objective):
    """Mean next-token cross-entropy."""

    name, unit, label = "validation_loss", "nats/token", "loss"

    def measure(self, context: Context) -> Mapping[str, float]:
        """With the other two units, since they cost nothing."""
        return vars(context.quality)

    def format(self, value: float) -> str:
        """Four decimals."""
        return f"{value:.4f}"


class BitsPerByte(ValidationLoss):
    """The same in bits a byte of text, comparable between tokenisers."""

    name, unit, label = "bits_per_byte", "bits/byte", ""


class Perplexity(ValidationLoss):
    """exp of the loss."""

    name, unit, label = "perplexity", "", ""
