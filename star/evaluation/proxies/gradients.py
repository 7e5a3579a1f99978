"""Proxies from the gradient of the next-token loss at initialisation."""

import torch
from torch import nn

from star.training.loop import token_loss

PARTS = 4  # of the batch, whose gradients ZiCo compares
SMALLEST = 1e-12  # of a spread that is divided by


def _gradients(model: nn.Module, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of the mean loss on tokens (batch, length + 1), by name of the weight; those that the loss
    does not depend on are left out."""
    weights = dict(model.named_parameters())
    loss = token_loss(model, tokens)
    found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    return {n: g for n, g in zip(weights, found, strict=True) if g is not None}


def gradient_norm(model: nn.Module, tokens: torch.Tensor) -> float:
    """Sum over all weights of the Euclidean norm of the loss's gradient.

    Abdelfattah et al. 2021, "Zero-cost proxies for lightweight NAS" (arXiv 2101.08134), there
    `grad_norm`.

    Args:
        model: untrained; its weights and their `grad` stay as they are.
        tokens: int64 (batch, length + 1).
    """
    return sum(float(gradient.norm()) for gradient in _gradients(model, tokens).values())


def snip(model: nn.Module, tokens: torch.Tensor) -> float:
    """Sum over all weights of |weight * gradient|: how much the loss hangs on each.

    Lee et al. 2019, "SNIP" (arXiv 1810.02340), summed over the network by Abdelfattah et al. 2021.

    Args:
        model: untrained; its weights and their `grad` stay as they are.
        tokens: int64 (batch, length + 1).
    """
    weights = dict(model.named_parameters())
    found = _gradients(model, tokens).items()
    return sum(float((weights[name] * gradient).abs().sum().detach()) for name, gradient in found)


def zico(model: nn.Module, tokens: torch.Tensor) -> float:
    """Sum over weight tensors of log(sum of mean |g| / standard deviation of g): gradients that are
    large and agree between parts of the batch mean fast convergence.

    Li et al. 2023, "ZiCo" (arXiv 2301.11300), equation 15, with `PARTS` parts of one batch in
    place of batches. The standard deviation is that of |g|, as in their code.

    Args:
        model: untrained; its weights and their `grad` stay as they are.
        tokens: int64 (batch, length + 1), with at least two sequences.

    Raises:
        ValueError: for a batch of one, which has no spread.
    """
    if len(tokens) < 2:
        raise ValueError(f"a batch of {len(tokens)}: expected at least 2 sequences")
    parts = tokens.tensor_split(min(PARTS, len(tokens)))
    by_part = [_gradients(model, part) for part in parts]
    total = 0.0
    for name in by_part[0]:
        sizes = torch.stack([gradients[name].abs() for gradients in by_part])
        spread = sizes.std(dim=0, correction=0)
        varies = spread > SMALLEST
        if varies.any():
            ratio = (sizes.mean(dim=0)[varies] / spread[varies]).sum()
            total += float(ratio.log())
    return total
