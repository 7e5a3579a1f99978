"""A proxy from how differently a model answers different sequences."""

from typing import cast

import torch
from torch import nn

JITTER = 1e-5  # of the eigenvalues, as in the authors' code


def jacobian_covariance(model: nn.Module, tokens: torch.Tensor) -> float:
    """How little the Jacobians of different sequences are correlated: -sum(log(e) + 1/e) over the
    eigenvalues e of their correlation matrix.

    Mellor et al. 2020, "Neural architecture search without training" (arXiv 2006.04647v1), with the
    embedded tokens in place of the image. A Jacobian is the gradient of the sum of all logits of a
    sequence by its embeddings, taken flat.

    Args:
        model: untrained, with an `embedding`; its weights and their `grad` stay as they are.
        tokens: int64 (batch, length + 1), with at least two sequences.

    Raises:
        ValueError: for a batch of one, which has nothing to correlate.
    """
    if len(tokens) < 2:
        raise ValueError(f"a batch of {len(tokens)}: expected at least 2 sequences")
    embedded: list[torch.Tensor] = []

    def keep(module: nn.Module, given: object, output: torch.Tensor) -> torch.Tensor:
        embedded.append(output.detach().requires_grad_())
        return embedded[0]

    handle = cast(nn.Module, model.embedding).register_forward_hook(keep)
    try:
        logits = model(tokens[:, :-1])
    finally:
        handle.remove()
    (jacobian,) = torch.autograd.grad(logits.float().sum(), embedded)
    correlation = torch.corrcoef(jacobian.flatten(1).double())
    eigenvalues = torch.linalg.eigvalsh(correlation) + JITTER
    return -float((eigenvalues.log() + 1 / eigenvalues).sum())
