"""Statistics against scipy, closed forms and brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymoo.util.nds.fast_non_dominated_sort import fast_non_dominated_sort
from scipy import stats

from star.evaluation.statistics import (
    Spread,
    fit_seeds,
    front_probabilities,
    mean_interval,
    non_dominated,
    pooled_spread,
    rank_correlations,
)

MONTE_CARLO = 0.03  # three standard errors of a share of 2,000 draws


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


# Spreads and intervals


def test_one_design_has_the_interval_of_a_t_test() -> None:
    sample = 2.0 + random(5)
    spread = pooled_spread([sample])
    expected = stats.ttest_1samp(sample, 0).confidence_interval(0.95)
    assert mean_interval(sample.mean(), 5, spread) == pytest.approx(tuple(expected))
    wider = mean_interval(sample.mean(), 5, spread, level=0.99)
    assert wider == pytest.approx(tuple(stats.ttest_1samp(sample, 0).confidence_interval(0.99)))


def test_the_pooled_spread_is_that_of_an_analysis_of_variance() -> None:
    """F = (variance between designs) / (pooled variance within them)."""
    samples = [random(n, seed=n) + n for n in (3, 4, 6)]
    spread, everything = pooled_spread(samples), np.concatenate(samples)
    between = sum(len(s) * (s.mean() - everything.mean()) ** 2 for s in samples) / 2
    assert between / spread.deviation**2 == pytest.approx(stats.f_oneway(*samples).statistic)
    assert spread.degrees == 13 - 3


def test_designs_of_one_training_borrow_the_spread_of_the_others() -> None:
    several = [random(3), random(3, seed=1)]
    spread = pooled_spread([*several, np.array([5.0]), np.array([7.0])])
    assert spread == pooled_spread(several) and spread.degrees == 4


def test_a_spread_that_nothing_tells_gives_no_interval() -> None:
    spread = pooled_spread([np.array([1.0]), np.array([2.0])])
    assert not spread.is_known and np.isnan(spread.deviation)
    assert mean_interval(1.0, 1, spread) == (-np.inf, np.inf)


def by_seed(table: np.ndarray) -> list[dict[int, float]]:
    return [dict(enumerate(row)) for row in table.tolist()]


def test_what_a_seed_does_to_all_designs_is_no_part_of_their_spread() -> None:
    noise, designs, seeds = random(6, 4), 10 * random(6, 1, seed=1), 10 * random(1, 4, seed=2)
    fit, table = fit_seeds(by_seed(noise)), noise + designs + seeds
    found = fit_seeds(by_seed(table))
    assert found.spread.degrees == 15
    assert found.spread.deviation == pytest.approx(fit.spread.deviation)
    assert pooled_spread(list(table)).deviation > 3 * found.spread.deviation
    means = table.mean(axis=0)
    assert [found.effects[n] for n in range(4)] == pytest.approx(list(means - means[0]))


def test_the_spread_of_two_designs_is_that_of_a_paired_t_test() -> None:
    table = random(2, 5)
    spread, difference = fit_seeds(by_seed(table)).spread, table[0].mean() - table[1].mean()
    statistic = difference / (spread.deviation * np.sqrt(2 / 5))
    assert statistic == pytest.approx(stats.ttest_rel(table[0], table[1]).statistic)  # type: ignore
    assert spread.degrees == 4


def test_designs_may_lack_seeds() -> None:
    """Without a rest the effects are exact, whoever was trained with which seeds."""
    effects = {0: 0.0, 1: 0.5, 2: -1.0}
    trainings = [{0: 1.0, 1: 1.5}, {0: 2.0, 2: 1.0}, {1: 3.5, 2: 2.0, 0: 3.0}, {0: 9.0}]
    fit = fit_seeds(trainings)
    assert fit.effects == pytest.approx(effects)
    assert fit.spread.degrees == 7 - 3 - 2 and fit.spread.deviation == pytest.approx(0, abs=1e-9)
    alone = fit_seeds([{4: 1.0}, {4: 2.0}])
    assert alone.effects == {4: 0.0} and not alone.spread.is_known
    assert not fit_seeds([{0: 1.0, 1: 2.0}]).spread.is_known  # the seed may have done it all


# Fronts


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 3))
def test_who_is_not_dominated_is_what_pymoo_sorts_first(seed: int, count: int, width: int) -> None:
    values = np.random.default_rng(seed).integers(0, 4, (count, width)).astype(float)
    assert set(np.flatnonzero(non_dominated(values))) == {*fast_non_dominated_sort(values)[0]}


def test_the_probability_of_two_designs_is_that_of_the_closed_form() -> None:
    """P(a < b) for normal values, and for Student's t of the difference where both have an error
    that was estimated together."""
    means, errors = np.array([[1.0], [1.3]]), np.array([[0.3], [0.4]])
    known = front_probabilities(means, errors)
    assert known[0] == pytest.approx(stats.norm.cdf(0.3 / 0.5), abs=MONTE_CARLO)
    assert known.sum() == pytest.approx(1)
    estimated = front_probabilities(means, errors, degrees=[3])
    assert estimated[0] == pytest.approx(stats.t.cdf(0.3 / 0.5, 3), abs=MONTE_CARLO)


def test_probabilities_are_those_of_brute_force() -> None:
    """Every draw by itself, sorted by pymoo, with another stream of random numbers."""
    rng, draws = np.random.default_rng(9), 2000
    means = np.array([[1.0, 5.0], [1.1, 4.0], [1.05, 4.0], [0.9, 9.0], [1.4, 3.9], [3.0, 9.0]])
    errors = np.array([[0.1, 0.0]] * 5 + [[0.05, 0.0]])
    hits = np.zeros(len(means))
    for _ in range(draws):
        spread = np.sqrt(8 / rng.chisquare(8))
        values = means + rng.standard_normal(means.shape) * errors * [spread, 1]
        hits[fast_non_dominated_sort(values)[0]] += 1
    found = front_probabilities(means, errors, degrees=[8, 1])
    assert found == pytest.approx(hits / draws, abs=1.5 * MONTE_CARLO)
    assert found[5] == 0 and 0.2 < found[1] < 0.4


def test_exact_values_are_on_the_front_or_are_not() -> None:
    values = np.array([[1.0, 2.0], [2.0, 1.0], [2.0, 2.0], [1.0, 2.0]])
    assert list(front_probabilities(values, np.zeros_like(values))) == [1, 1, 0, 1]
    assert list(front_probabilities(values[:0], values[:0])) == []


@pytest.mark.slow
def test_the_same_call_gives_the_same_numbers_however_large() -> None:
    means = np.column_stack([random(60), random(60, seed=1)])
    errors = np.full_like(means, 0.2)
    first, second = (front_probabilities(means, errors, degrees=[5, 5]) for _ in range(2))
    assert list(first) == list(second) and 0 < first.sum() < 60


# Rank correlations


@pytest.mark.parametrize("ties", [False, True])
def test_correlations_are_scipys(ties: bool) -> None:
    one = random(20)
    other = one + random(20, seed=1)
    if ties:
        one, other = one.round(), other.round()
    spearman, kendall = rank_correlations(one, other, draws=200)
    assert spearman.value == pytest.approx(stats.spearmanr(one, other)[0])
    assert kendall.value == pytest.approx(stats.kendalltau(one, other)[0])


@pytest.mark.slow
def test_their_intervals_are_bootstrap_percentiles_as_scipys() -> None:
    one = random(25)
    other = one + random(25, seed=1)
    spearman, kendall = rank_correlations(one, other)
    for found, measure in ((spearman, stats.spearmanr), (kendall, stats.kendalltau)):
        expected = stats.bootstrap(
            (one, other), lambda a, b, m=measure: m(a, b)[0], paired=True,
            vectorized=False, n_resamples=1000, method="percentile", rng=3,
        ).confidence_interval  # fmt: skip
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.06)
        assert found.low < found.value < found.high


def test_a_correlation_that_is_not_defined_says_so() -> None:
    for one, other in (([1, 2], [1, 2]), ([1, 1, 1], [1, 2, 3]), ([], [])):
        for found in rank_correlations(np.array(one, float), np.array(other, float)):
            assert str(found) == "not defined" and np.isnan(found.low)


def test_a_perfect_order_is_one() -> None:
    spearman, kendall = rank_correlations(np.arange(9.0), np.arange(9.0) ** 3)
    assert (spearman.value, kendall.value) == (pytest.approx(1), pytest.approx(1))
    assert str(spearman) == "1.00 [1.00, 1.00]"


def test_a_spread_is_plain_data() -> None:
    assert Spread(0.1, 4) == Spread(0.1, 4) and Spread(0.1, 4).is_known
