"""A Gaussian process of one trained quantity, from features of canonical genomes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from star.base.errors import UserError
from star.evaluation.pareto import Values
from star.genomes import BACKBONE_GENES, GENES_PER_LIV, Genome
from star.search.space.features import Features

RBF, CATEGORICAL = "rbf", "categorical"
KERNELS = (RBF, CATEGORICAL)


def require_botorch() -> None:
    """Raise `UserError` where the extra is missing."""
    try:
        import botorch  # noqa: F401
    except ImportError:
        raise UserError("search=bayes: BoTorch is not installed; pip install botorch") from None


class Inputs:
    """What a process sees of genomes, one row each; the scale is that of those it was made from."""

    def __init__(self, features: Features, kernel: str, genomes: Sequence[Genome]) -> None:
        """Prepare.

        Args:
            features: of the search's architectures.
            kernel: `rbf`: their columns, with mean 0 and together variance 1 over the genomes;
                columns that are equal for all are left out. `categorical`: the integer genes of
                the canonical form, absent LIVs as zeros, and those of the backbone where they
                vary.
            genomes: those that were measured.
        """
        self.kernel, self._features = kernel, features
        if kernel == RBF:
            columns = features.matrix(genomes)
            spread = columns.std(axis=0)
            self._kept = np.flatnonzero(spread > 0)
            # Distances near 1 whatever the number of columns: far off, no lengthscale is found.
            scale = np.sqrt(max(len(self._kept), 1))
            self._mean, self._spread = columns.mean(axis=0)[self._kept], spread[self._kept] * scale

    def matrix(self, genomes: Sequence[Genome]) -> Values:
        """(genomes, columns)."""
        if self.kernel == RBF:
            return (self._features.matrix(genomes)[:, self._kept] - self._mean) / self._spread
        end = self._features.depth * GENES_PER_LIV
        behind = BACKBONE_GENES if self._features.has_backbone else 0
        rows = np.zeros((len(genomes), end + behind))
        for row, genome in zip(rows, genomes, strict=True):
            row[: genome.depth * GENES_PER_LIV] = genome.canonical().liv_array().reshape(-1)
            row[end:] = genome.backbone[:behind]
        return rows


def _rbf(columns: Sequence[int]) -> Any:
    from gpytorch.kernels import RBFKernel

    return RBFKernel(active_dims=tuple(columns))


def _categorical(columns: Sequence[int]) -> Any:
    from botorch.models.kernels.categorical import CategoricalKernel

    return CategoricalKernel(active_dims=tuple(columns))


MAKERS: dict[str, Callable[[Sequence[int]], Any]] = {RBF: _rbf, CATEGORICAL: _categorical}


def fit_process(rows: torch.Tensor, values: torch.Tensor, kernel: str, columns: int) -> Any:
    """BoTorch's `SingleTaskGP` on standardised values, by the marginal likelihood.

    One lengthscale for all columns: with one each, tens of measured genomes would have to say as
    much about a hundred columns. Noise is learnt, since trainings with another seed differ.

    Args:
        rows: (genomes, all columns), float64.
        values: (genomes,), float64.
        kernel: of `KERNELS`.
        columns: how many of the first columns of rows the kernel sees.
    """
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.transforms.outcome import Standardize
    from gpytorch.kernels import ScaleKernel
    from gpytorch.mlls import ExactMarginalLogLikelihood

    process = SingleTaskGP(
        rows, values[:, None], covar_module=ScaleKernel(MAKERS[kernel](range(columns))),
        outcome_transform=Standardize(1),
    )  # fmt: skip
    fit_gpytorch_mll(ExactMarginalLogLikelihood(process.likelihood, process))
    return process
