"""What measuring a genome would be worth, against closed forms, and the processes behind it."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy.stats import norm

from star.genomes import Alphabet, Genome, GenomeError, arrays, get_alphabet
from star.search.bayesian.acquisition import Acquisition, Known, Quantity
from star.search.bayesian.process import KERNELS, Inputs, fit_process
from star.search.space.features import Features
from tests.search.made_up import RECIPE

pytest.importorskip("botorch")

STAR: Alphabet = get_alphabet("star")
DEPTH = 4


def genomes(count: int, seed: int = 0) -> list[Genome]:
    rows = arrays.sample(count, DEPTH, np.random.default_rng(seed), STAR, 0.25)
    return [Genome.from_array(livs.reshape(-1), STAR).canonical() for livs in rows]


def quality(genome: Genome) -> float:
    names = [liv_class.name for liv_class in genome.classes()]
    return 3 - sum(0.3 * name.startswith("SA") + 0.1 * name.startswith("GM") for name in names)


def size(some: Sequence[Genome]) -> np.ndarray:
    return np.array([float(genome.to_array().sum()) for genome in some])


def features() -> Features:
    return Features(STAR, DEPTH, RECIPE.model, RECIPE.cache)


def acquisition(measured: list[Genome], *quantities: Quantity, kernel: str = "rbf") -> Acquisition:
    columns = [
        np.array([quality(g) for g in measured]) if q.cost is None else q.cost(measured)
        for q in quantities
    ]
    known = Known(measured, np.column_stack(columns))
    return Acquisition(Inputs(features(), kernel, measured), known, quantities, seed=0)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_process_predicts_what_it_has_not_seen(kernel: str) -> None:
    seen, unseen = genomes(60), genomes(60, seed=1)
    inputs = Inputs(features(), kernel, seen)
    rows = torch.tensor(inputs.matrix(seen))
    values = torch.tensor([quality(g) for g in seen], dtype=torch.float64)
    process = fit_process(rows, values, kernel, rows.shape[1])
    found = process.posterior(torch.tensor(inputs.matrix(unseen))).mean[:, 0].detach().numpy()
    truth = [quality(g) for g in unseen]
    assert np.corrcoef(found, truth)[0, 1] > 0.8


@pytest.mark.parametrize("kernel", KERNELS)
def test_equal_architectures_are_equal(kernel: str) -> None:
    one = Genome.from_text("11121-91111-11121-91111")
    other = Genome.from_text("11131-91111-11131-91111")
    assert one.id == other.id
    inputs = Inputs(features(), kernel, genomes(20))
    rows = inputs.matrix([one, other])
    np.testing.assert_array_equal(rows[0], rows[1])


def test_one_objective_is_the_expected_improvement() -> None:
    """Against the closed form of the expected improvement, on the process's own posterior."""
    measured, others = genomes(40), genomes(200, seed=1)
    found = acquisition(measured, Quantity())
    rows = torch.tensor(found._matrix(others))
    process = found._function.model.models[0]
    with torch.no_grad():
        posterior = process.posterior(rows)
        mean, deviation = posterior.mean[:, 0].numpy(), posterior.variance.sqrt()[:, 0].numpy()
        best = process.posterior(torch.tensor(found._rows)).mean.max().item()
    z = (mean - best) / deviation
    expected = np.log(np.maximum(deviation * (z * norm.cdf(z) + norm.pdf(z)), 1e-300))
    values, top = found.values(others), np.argsort(-expected)[:20]
    assert np.corrcoef(values[top], expected[top])[0, 1] > 0.9
    assert np.argmax(values) in np.argsort(-expected)[:5]


def test_a_batch_prefers_what_dominates() -> None:
    """Smaller and better than anything that was measured comes before what is neither."""
    everyone = genomes(200)
    cost = Quantity(cost=size)
    order = sorted(everyone, key=lambda g: (quality(g), float(size([g])[0])))
    best, measured = order[:3], [g for g in everyone if g not in order[:20]][:60]
    pool = [*genomes(60, seed=2), *best]
    found = acquisition(measured, Quantity(), cost)
    chosen = found.batch(pool, 6)
    assert len(chosen) == len(set(chosen)) == 6
    front = [(quality(g), float(size([g])[0])) for g in measured]

    def improves(genome: Genome) -> bool:
        own = quality(genome), float(size([genome])[0])
        return not any(q <= own[0] and s <= own[1] for q, s in front)

    share = sum(improves(pool[n]) for n in chosen) / 6
    assert share > 1.5 * sum(map(improves, pool)) / len(pool)


def test_what_breaks_a_limit_is_worth_little() -> None:
    measured, others = genomes(60), genomes(60, seed=1)
    limited = acquisition(measured, Quantity(cost=size), Quantity(limit=2.4))
    values = limited.values(others)
    keeps = np.array([quality(g) <= 2.4 for g in others])
    assert keeps.any() and not keeps.all()
    assert np.median(values[keeps]) > np.median(values[~keeps])


def test_the_same_seed_gives_the_same_batch() -> None:
    measured, pool = genomes(30), genomes(80, seed=1)
    batches = [
        acquisition(measured, Quantity(), Quantity(cost=size)).batch(pool, 5) for _ in range(2)
    ]
    assert batches[0] == batches[1]


def test_equal_rows_are_taken_once() -> None:
    pool = genomes(6, seed=1)
    found = acquisition(genomes(20), Quantity(), Quantity(cost=size))
    chosen = found.batch([*pool, *pool], 8)
    assert len(chosen) == len(set(chosen)) <= 8


def test_a_genome_that_is_too_deep_is_refused() -> None:
    deep = Genome.from_text("-".join(["91111"] * (DEPTH + 1)))
    with pytest.raises((GenomeError, KeyError, ValueError)):
        Inputs(features(), "categorical", [deep]).matrix([deep])
