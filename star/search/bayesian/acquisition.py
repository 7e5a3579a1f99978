"""What measuring a genome would be worth, by BoTorch's logarithmic noisy expected improvement of
the hypervolume (Ament et al. 2023, arXiv 2310.20708; Daulton et al. 2021, arXiv 2105.08195), or of
the best value where there is one objective.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from star.evaluation.pareto import Values, pareto_ranks
from star.genomes import Genome
from star.search.bayesian.process import Inputs, fit_process

REFERENCE = 1.1  # times the worst of what was measured, in units of its range
COMPARED = 64  # measured genomes, the best by rank, that an improvement is over
DRAWS = 32  # of the posterior; each has its own partition of the space above its front


@dataclass(frozen=True)
class Known:
    """What was measured: rows are genomes, columns quantities to be minimised, NaN where one was
    not measured."""

    genomes: Sequence[Genome]
    values: Values  # objectives, then quantities with a limit


@dataclass(frozen=True)
class Quantity:
    """One column of what is measured. cost: of genomes, where it is known without training; limit:
    the largest value, None for an objective."""

    cost: Callable[[Sequence[Genome]], Values] | None = None
    limit: float | None = None


class Acquisition:
    """The value of genomes for the next batch, given what was measured."""

    def __init__(
        self, inputs: Inputs, known: Known, quantities: Sequence[Quantity], seed: int
    ) -> None:
        """Fit a process to each quantity that is trained.

        Args:
            inputs: what the processes see.
            known: measured genomes, at least two of them in every quantity.
            quantities: of the columns, objectives first.
            seed: of the draws.
        """
        self._inputs, self._quantities, self._seed = inputs, quantities, seed
        low, high = np.nanmin(known.values, axis=0), np.nanmax(known.values, axis=0)
        self._best, self._range = low, np.where(high > low, high - low, 1.0)
        self._rows = self._matrix(known.genomes, known.values)
        self._columns = self._rows.shape[1] - sum(q.cost is not None for q in quantities)
        with _quiet(seed):
            self._function = self._make(known)

    def values(self, genomes: Sequence[Genome]) -> Values:
        """(genomes,): of each alone, on a logarithmic scale."""
        with torch.no_grad(), _quiet(self._seed):
            chunks = torch.tensor(self._matrix(genomes))[:, None].split(256)
            return torch.cat([self._function(chunk) for chunk in chunks]).numpy()

    def batch(self, genomes: Sequence[Genome], count: int) -> list[int]:
        """Indices of a batch, chosen one by one with those before it as pending."""
        from botorch.optim import optimize_acqf_discrete

        choices = torch.tensor(self._matrix(genomes))
        with _quiet(self._seed):
            chosen, _ = optimize_acqf_discrete(
                self._function, q=count, choices=choices, unique=True, max_batch_size=256
            )
        places: list[int] = []
        for row in chosen:  # genomes whose rows are equal are taken in order
            equal = (choices == row).all(dim=1).nonzero()[:, 0].tolist()
            places.append(next((p for p in equal if p not in places), equal[0]))
        return list(dict.fromkeys(places))

    def _scaled(self, values: Any, place: int | slice = slice(None)) -> Any:
        """0 for the worst that was measured, 1 for the best. place: of the quantity; all of them
        unless it is given."""
        return 1 - (values - self._best[place]) / self._range[place]

    def _matrix(self, genomes: Sequence[Genome], values: Values | None = None) -> Values:
        """What processes see, then exact costs, scaled."""
        exact = []
        for place, quantity in enumerate(self._quantities):
            if quantity.cost is not None:
                cost = quantity.cost(genomes) if values is None else values[:, place]
                cost = np.where(np.isfinite(cost), cost, self._best[place])  # seen by no process
                exact.append(self._scaled(cost, place))
        return np.column_stack([self._inputs.matrix(genomes), *exact])

    def _make(self, known: Known) -> Any:
        from botorch.acquisition.logei import qLogNoisyExpectedImprovement
        from botorch.acquisition.multi_objective.logei import (
            qLogNoisyExpectedHypervolumeImprovement,
        )
        from botorch.acquisition.multi_objective.objective import IdentityMCMultiOutputObjective
        from botorch.acquisition.objective import GenericMCObjective
        from botorch.models.model import ModelList
        from botorch.sampling.get_sampler import get_sampler

        rows, scaled = torch.tensor(self._rows), torch.tensor(self._scaled(known.values))
        model = ModelList(*self._models(rows, scaled))
        posterior: Any = model.posterior(rows[:1])
        sampler = get_sampler(posterior, torch.Size([DRAWS]), seed=self._seed)
        count = sum(quantity.limit is None for quantity in self._quantities)
        # Not above 0 where the limit is kept; larger is better here.
        constraints = [
            _above(place, float(self._scaled(quantity.limit, place)))
            for place, quantity in enumerate(self._quantities)
            if quantity.limit is not None
        ] or None
        whole = np.flatnonzero(np.isfinite(known.values).all(axis=1))
        ranks = pareto_ranks(known.values[whole, :count])
        best = whole[np.argsort(ranks, kind="stable")[:COMPARED]]
        common = {"X_baseline": rows[best], "sampler": sampler, "prune_baseline": True}
        common |= {"constraints": constraints, "cache_root": False}
        if count == 1:
            first = GenericMCObjective(lambda samples, X=None: samples[..., 0])
            return qLogNoisyExpectedImprovement(model, objective=first, **common)
        return qLogNoisyExpectedHypervolumeImprovement(
            model, ref_point=[1 - REFERENCE] * count,
            objective=IdentityMCMultiOutputObjective(outcomes=list(range(count))), **common,
        )  # fmt: skip

    def _models(self, rows: torch.Tensor, scaled: torch.Tensor) -> Iterator[Any]:
        """A process for what is trained, the column itself for what is known exactly."""
        from botorch.models.deterministic import GenericDeterministicModel

        column = self._columns
        for place, quantity in enumerate(self._quantities):
            if quantity.cost is None:
                there = scaled[:, place].isfinite()
                values = scaled[there, place]
                yield fit_process(rows[there], values, self._inputs.kernel, self._columns)
            else:
                yield GenericDeterministicModel(_column(column))
                column += 1


def _column(number: int) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda rows: rows[..., number : number + 1]


def _above(place: int, bound: float) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda samples: bound - samples[..., place]


@contextmanager
def _quiet(seed: int) -> Iterator[None]:
    """Draws from this seed, and no warnings: of a fit that stopped early, its result is used."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        yield
