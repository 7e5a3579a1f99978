"""How far numbers of few trainings can be trusted: spreads over seeds, intervals, the probability
to be on a front, and rank correlations with their intervals.

Several designs that were trained with the same seeds share what a seed does to all of them, since
batches are the same. So there are two spreads: `pooled_spread` of a design's mean, and the one of
`fit_seeds`, without what seeds do to all alike, which decides who dominates whom.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[np.float64]

DRAWS = 2000  # of a Monte Carlo or bootstrap estimate
LEVEL = 0.95  # of intervals
BATCH = 10**7  # comparisons of two designs that are held in memory at once
FAR = 6.0  # errors beyond which a design is not drawn, since it is dominated for certain


@dataclass(frozen=True)
class Spread:
    """A standard deviation, and how many degrees of freedom it was estimated with."""

    deviation: float  # nan where no degree of freedom is left
    degrees: int

    @property
    def is_known(self) -> bool:
        """Whether there was anything to estimate it from."""
        return self.degrees > 0


def _spread(squares: float, degrees: int) -> Spread:
    return Spread(float(np.sqrt(squares / degrees)) if degrees > 0 else float("nan"), degrees)


def pooled_spread(samples: Sequence[Array]) -> Spread:
    """Spread over seeds within designs, the same for all of them (as in a one-way analysis of
    variance). samples: values of each design, (seeds,) each."""
    squares = sum(float(((one - one.mean()) ** 2).sum()) for one in samples if len(one) > 1)
    return _spread(squares, sum(len(one) - 1 for one in samples if len(one)))


@dataclass(frozen=True)
class SeedFit:
    """What seeds do to all designs alike, and what remains (a two-way analysis of variance without
    interaction, by least squares; designs may lack seeds)."""

    effects: Mapping[int, float]  # what each seed adds, against the first one
    spread: Spread  # of what remains, which decides between designs of the same seeds


def fit_seeds(trainings: Sequence[Mapping[int, float]]) -> SeedFit:
    """Fit value = design + seed + rest. trainings: of each design, its values by seed."""
    several = [one for one in trainings if len(one) > 1]  # others tell nothing
    seeds = sorted({seed for one in trainings for seed in one})
    rows = [(number, seed) for number, one in enumerate(several) for seed in one]
    values = np.array([several[number][seed] for number, seed in rows])
    terms = np.zeros((len(rows), len(several) + len(seeds)))
    for row, (number, seed) in enumerate(rows):
        terms[row, number] = 1
        if seed != seeds[0]:
            terms[row, len(several) + seeds.index(seed)] = 1
    if not rows:
        return SeedFit(dict.fromkeys(seeds, 0.0), _spread(0.0, 0))
    solution, _, rank, _ = np.linalg.lstsq(terms, values, rcond=None)
    squares = float(((values - terms @ solution) ** 2).sum())
    added = [0.0, *solution[len(several) + 1 :].tolist()]  # nothing, for the first seed
    effects = dict(zip(seeds, added, strict=True))
    return SeedFit(effects, _spread(squares, len(rows) - int(rank)))


def mean_interval(
    mean: float, count: int, spread: Spread, level: float = LEVEL
) -> tuple[float, float]:
    """Student's t interval of a mean over so many seeds; infinite where the spread is not known."""
    if not spread.is_known:
        return -np.inf, np.inf
    half = float(stats.t.ppf((1 + level) / 2, spread.degrees)) * spread.deviation / np.sqrt(count)
    return mean - half, mean + half


def non_dominated(values: Array) -> npt.NDArray[np.bool_]:
    """Which designs no other one dominates: at most as large everywhere and smaller somewhere.

    Args:
        values: to be minimised, (..., designs, objectives).

    Returns:
        (..., designs).
    """
    one, other = values[..., :, None, :], values[..., None, :, :]
    dominated = (other <= one).all(axis=-1) & (other < one).any(axis=-1)
    return np.logical_not(np.asarray(dominated.any(axis=-1)))


def front_probabilities(
    means: Array,
    errors: Array,
    degrees: Sequence[int] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Array:
    """Probability of each design that none of the others truly dominates it, (designs,).

    The true values are drawn around the means: by Student's t where the errors were estimated,
    with one draw of each objective's spread for all designs, since they share its estimate.

    Args:
        means: measured values to be minimised, (designs, objectives).
        errors: standard errors of the means, (designs, objectives); 0 for what is exact.
        degrees: of freedom that each objective's spread was estimated with; None: it is known.
        draws: how many.
        seed: of the draws: the same call gives the same numbers.
    """
    probabilities = np.zeros(len(means))
    if not len(means):
        return probabilities
    rng = np.random.default_rng(seed)
    factors = np.ones((draws, means.shape[1]))
    if degrees is not None:
        freedom = np.maximum(np.asarray(degrees, dtype=np.float64), 1)
        factors = np.sqrt(freedom / rng.chisquare(freedom, size=factors.shape))
    close = _contenders(means, errors * np.quantile(factors, 0.999, axis=0))
    count, objectives = int(close.sum()), means.shape[1]
    hits = np.zeros(count)
    size = max(1, BATCH // (count * count * objectives))
    for start in range(0, draws, size):
        part = factors[start : start + size, None, :]
        noise = rng.standard_normal((len(part), count, objectives))
        hits += non_dominated(means[close] + noise * errors[close] * part).sum(axis=0)
    probabilities[close] = hits / draws
    return probabilities


def _contenders(means: Array, errors: Array) -> npt.NDArray[np.bool_]:
    """Which designs could be on the front at all: the best that they may be is not dominated by the
    worst that any other may be."""
    worst, best = means + FAR * errors, means - FAR * errors
    possible = np.ones(len(means), dtype=bool)
    for number, value in enumerate(best):
        others = np.delete(worst, number, axis=0)
        beaten = (others <= value).all(axis=1) & (others < value).any(axis=1)
        possible[number] = not beaten.any()
    return possible


@dataclass(frozen=True)
class Correlation:
    """A rank correlation with its bootstrap interval; nan where it is not defined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if np.isnan(self.value):
            return "not defined"
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def rank_correlations(
    one: Array, other: Array, level: float = LEVEL, draws: int = DRAWS, seed: int = 0
) -> tuple[Correlation, Correlation]:
    """Spearman's rho and Kendall's tau-b between two measurements of the same designs.

    The intervals are bootstrap percentiles over designs. With fewer than 3 designs, or where all
    values of a measurement are equal, nothing is defined.

    Args:
        one: (designs,).
        other: (designs,).
        level: of the intervals.
        draws: resamples of the designs.
        seed: of the resampling.
    """
    rng = np.random.default_rng(seed)
    resamples = [rng.integers(0, len(one), len(one)) for _ in range(draws)] if len(one) > 2 else []
    found = []
    for measure in (_spearman, _kendall):
        values = np.array([measure(one[chosen], other[chosen]) for chosen in resamples])
        values = values[~np.isnan(values)]
        value = measure(one, other) if resamples else float("nan")
        if np.isnan(value) or not len(values):
            found.append(Correlation(float("nan"), float("nan"), float("nan")))
            continue
        low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
        found.append(Correlation(value, float(low), float(high)))
    return found[0], found[1]


def _spearman(one: Array, other: Array) -> float:
    return _pearson(stats.rankdata(one), stats.rankdata(other))


def _kendall(one: Array, other: Array) -> float:
    """Pearson's correlation of the signs of all differences, which is tau-b."""
    signs = (np.sign(values[:, None] - values[None, :]).ravel() for values in (one, other))
    return _pearson(*signs, centred=True)


def _pearson(one: Array, other: Array, centred: bool = False) -> float:
    if not centred:
        one, other = one - one.mean(), other - other.mean()
    scale = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / scale if scale > 0 else float("nan")
