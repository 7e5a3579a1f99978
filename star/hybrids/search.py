"""The search for a mixture: steps of the weights and steps of the mixture, one after the other.

Source: Manticore (arXiv 2406.00894), section 3; first-order DARTS (arXiv 1806.09055).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from star.data import Corpus
from star.models.hybrid import HybridModel
from star.training import Diverged, Trainer, load_state, save_state
from star.training.loop import token_loss

from .costs import Penalty
from .mixtures import Parametrisation

WEIGHTS, MIXTURE = 0, 1  # which of two steps noise is drawn for


@dataclass(frozen=True)
class SearchStep:
    """One finished step of both."""

    step: int  # from 1
    weight_loss: float  # nats per token, of the batch that weights were trained on
    mixture_loss: float  # of the batch that the mixture was, without its cost


def mixture_gradient(
    model: HybridModel,
    values: torch.Tensor,
    weights: torch.Tensor,
    losses: list[Callable[[], torch.Tensor]],
    cost: Callable[[], torch.Tensor] | None = None,
) -> tuple[torch.Tensor, float]:
    """The gradient of a mean loss, and of a cost, with respect to a mixture's values; and that
    loss, in nats. Weights of the model get none.

    Args:
        model: runs with these weights.
        values: (blocks, components).
        weights: made of them, (blocks, components).
        losses: of micro-batches.
        cost: in nats, made of the values; None is none.
    """
    leaf = weights.detach().requires_grad_()
    model.weights = leaf
    of_weights, total = torch.zeros_like(leaf), 0.0
    for loss_of in losses:
        loss = loss_of()
        (gradient,) = torch.autograd.grad(loss, leaf)
        of_weights += gradient / len(losses)
        total += loss.item() / len(losses)
    surrogate = (weights * of_weights).sum()  # whose gradient is the loss's, by the chain rule
    if cost is not None:
        surrogate = surrogate + cost()
    (gradient,) = torch.autograd.grad(surrogate, values)
    return gradient, total


class MixtureSearch:
    """A search between two steps. What follows depends on the seed and the finished steps alone."""

    def __init__(
        self,
        trainer: Trainer,
        mixture: Parametrisation,
        text: Corpus,
        penalty: Penalty | None = None,
    ) -> None:
        """Build it.

        Args:
            trainer: of the weights, on text of their own; its model is a `HybridModel` with all
                components in all blocks.
            mixture: on the trainer's device.
            text: that the mixture is trained on.
            penalty: what weights (blocks, components) cost, in nats; None is nothing.
        """
        assert isinstance(trainer.model, HybridModel)
        self.model: HybridModel = trainer.model
        self.trainer, self.mixture, self.text, self.penalty = trainer, mixture, text, penalty

    @property
    def step(self) -> int:
        """Finished steps."""
        return self.trainer.step

    def _noise(self, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.trainer.seed, self.step, purpose])

    def advance(self) -> SearchStep:
        """One step of the weights with the mixture as it is, and one of the mixture with the
        weights as they are. Raises `Diverged` where a loss or gradient is not finite."""
        mixture = self.mixture
        weights = mixture.drawn(self._noise(MIXTURE))
        of_weights = self.mixture.drawn(self._noise(WEIGHTS)).detach()
        tokens = self._tokens()
        self.model.weights = of_weights
        result = self.trainer.advance()
        gradient, loss = self._gradient(weights, tokens)
        if not (math.isfinite(loss) and bool(gradient.isfinite().all())):
            raise Diverged(f"loss of the mixture is {loss} at step {self.step - 1}")
        mixture.update(gradient)
        return SearchStep(self.step, result.loss, loss)

    def _tokens(self) -> torch.Tensor:
        config = self.trainer.config
        drawn = self.text.batch(self.trainer.seed, self.step, config.batch_size, config.length)
        return drawn.to(self.trainer.device)

    def _gradient(self, weights: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, float]:
        config, mixture, penalty = self.trainer.config, self.mixture, self.penalty

        def loss_of(part: torch.Tensor) -> Callable[[], torch.Tensor]:
            def loss() -> torch.Tensor:
                with config.autocast(tokens.device):
                    return token_loss(self.model, part)

            return loss

        micro = tokens.split(config.micro_batch_size or config.batch_size)
        cost = None if penalty is None else lambda: penalty(mixture.weights())
        losses = [loss_of(part) for part in micro]
        return mixture_gradient(self.model, mixture.values, weights, losses, cost)

    def found(self) -> tuple[tuple[float, ...], ...]:
        """The mixture, (blocks, components), each row with a sum of 1."""
        rows = self.mixture.weights().detach().double().cpu()
        return tuple(map(tuple, (rows / rows.sum(dim=-1, keepdim=True)).tolist()))

    def save(self, path: Path) -> None:
        """Write all that is needed to go on, as one whole file."""
        save_state(path, self.trainer, self.mixture.state())

    def load(self, path: Path) -> None:
        """Bring a fresh search to the saved state. Raises `UserError` for a file that cannot be
        read, or is another's."""
        load_state(path, self.trainer, None, self.mixture.state())
