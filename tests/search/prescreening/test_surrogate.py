"""The surrogate: what it learns, and that it says honestly how well."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from star.evaluation.executors import TableConfig
from star.genomes import CacheSetting, Genome, ModelConfig, get_alphabet, random_genome
from star.search.prescreening.regression import rank_correlation
from star.search.prescreening.surrogate import ProxyPredictor, Surrogate
from star.search.space.features import Features

STAR, MODEL, CACHE = get_alphabet("star"), ModelConfig(width=32), CacheSetting()
DEPTH = 6


def genomes(count: int, seed: int = 0) -> list[Genome]:
    rng = np.random.default_rng(seed)
    return [random_genome(DEPTH, rng, STAR) for _ in range(count)]


def surrogate(depth: int = DEPTH) -> Surrogate:
    return Surrogate(Features(STAR, depth, MODEL, CACHE))


def attention(genome: Genome) -> float:
    """How much of a genome is attention, the later the more: a loss that it can learn."""
    return sum(n for n, c in enumerate(genome.classes(), 1) if c.name.startswith("SA"))


def test_it_ranks_what_it_has_not_seen() -> None:
    model, known, unseen = surrogate(), genomes(120), genomes(200, seed=1)
    said = model.fit(known, np.array([attention(genome) for genome in known]))
    found = float(spearmanr(model.predict(unseen), [*map(attention, unseen)])[0])  # type: ignore[arg-type]
    assert found > 0.9 and said == pytest.approx(found, abs=0.1)


def test_it_claims_nothing_of_noise() -> None:
    values = np.random.default_rng(2).normal(size=80)
    assert abs(surrogate().fit(genomes(80), values)) < 0.4
    assert surrogate().fit(genomes(80), np.ones(80)) == 0


def test_the_same_values_give_the_same_predictions_in_any_unit() -> None:
    known, unseen = genomes(60), genomes(30, seed=1)
    values = np.array([attention(genome) for genome in known]) + 1.0
    first, second, scaled = surrogate(), surrogate(), surrogate()
    correlation = first.fit(known, values)
    assert second.fit(known, values) == correlation
    assert scaled.fit(known, 1e6 * values) == pytest.approx(correlation, abs=1e-3)
    assert (first.predict(unseen) == second.predict(unseen)).all()
    assert scaled.predict(unseen) == pytest.approx(1e6 * first.predict(unseen), rel=1e-3)


def test_it_ranks_real_trainings_better_than_the_number_of_parameters_does() -> None:
    table = TableConfig().read()
    rows = table.rows[table.rows["seed"] == 0]
    chosen = np.random.default_rng(0).permutation(len(rows))
    texts, losses = rows["genome"].to_numpy()[chosen], rows["validation_loss_80"].to_numpy()[chosen]
    found = [Genome.from_text(text) for text in texts[:400]]
    model = surrogate(depth=3)
    said = model.fit(found[:64], losses[:64])
    assert rank_correlation(model.predict(found[64:]), losses[64:400]) > 0.85
    assert said > 0.75


def test_rank_correlation_of_a_constant_is_none() -> None:
    assert rank_correlation(np.ones(5), np.arange(5.0)) == 0
    assert rank_correlation(np.arange(5.0), np.exp(np.arange(5.0))) == pytest.approx(1)


def test_a_proxy_takes_its_sign_from_what_was_measured() -> None:
    known = genomes(30)
    values = np.array([attention(genome) + 0.01 * n for n, genome in enumerate(known)])
    of = {genome.id: value for genome, value in zip(known, values, strict=True)}
    for sign in (1, -1):
        proxy = ProxyPredictor(lambda genome, sign=sign: sign * of[genome.id])
        assert proxy.fit(known, values) == pytest.approx(1)
        assert proxy.predict(known) == pytest.approx(values)


def test_what_has_no_score_is_predicted_to_be_the_worst() -> None:
    known = genomes(20)
    without = ProxyPredictor(lambda genome: -np.inf if genome == known[3] else attention(genome))
    assert without.fit(known, np.array([-attention(genome) for genome in known])) > 0.9
    assert np.flatnonzero(np.isinf(without.predict(known))).tolist() == [3]
    assert without.predict(known)[3] == np.inf
    assert ProxyPredictor(lambda _: -np.inf).fit(known, np.arange(20.0)) == 0
