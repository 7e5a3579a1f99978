"""Populations as arrays: the same sampling, repair, canonical form and ids as one genome at a
time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, chi2_contingency

from star.genomes import (
    ALPHABETS,
    GENE_NAMES,
    NOT_SHARED,
    STRUCTURES,
    Genome,
    arrays,
    fit_depth,
)
from star.genomes.validity import find_problems
from tests.genomes.definition import canonical_livs, fitted_livs, repair_livs

SEEDS = st.integers(0, 2**32 - 1)
DEPTHS = st.sampled_from([1, 2, 3, 6, 24])
NAMES = st.sampled_from(sorted(ALPHABETS))


def crowded(seed: int, count: int, depth: int, alphabet: str) -> np.ndarray:
    """Genes within their ranges, few classes and few group numbers each: groups are large and
    strategies disagree."""
    rng = np.random.default_rng(seed)
    genes = np.ones((count, depth, 5), dtype=np.int64)
    palettes = rng.choice(ALPHABETS[alphabet].ids, size=(count, 3))
    genes[:, :, 0] = np.take_along_axis(palettes, rng.integers(0, 3, (count, depth)), axis=1)
    genes[:, :, 1::2] = rng.integers(1, min(3, depth) + 1, (count, depth, 2))
    genes[:, :, 2] = rng.integers(1, 3, (count, depth))
    genes[:, :, 4] = rng.integers(1, 6, (count, depth))
    return genes


def arbitrary(seed: int, count: int, depth: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-2, 40, size=(count, depth, 5))


def problems(genes: np.ndarray, alphabet: str) -> list[int]:
    """Number of problems of each genome, counted a genome at a time."""
    return [len(find_problems(livs, ALPHABETS[alphabet])) for livs in genes.tolist()]


def one_at_a_time(
    depth: int, rng: np.random.Generator, alphabet: str, sharing_probability: float
) -> list:
    """A random genome drawn gene by gene, as `random_genome` describes it."""
    letters = ALPHABETS[alphabet]
    palette = [int(rng.choice(letters.ids)) for _ in range(int(rng.integers(1, depth + 1)))]
    livs = []
    for _ in range(depth):
        liv_class = int(rng.choice(palette))
        groups = rng.integers(1, max(1, depth // 2) + 1, size=2)
        tied = 2 if rng.random() < sharing_probability else NOT_SHARED
        strategy = NOT_SHARED
        if rng.random() < sharing_probability:
            strategy = int(rng.choice(list(letters.by_id[liv_class].operator.structure.sharing)))
        livs.append([liv_class, int(groups[0]), tied, int(groups[1]), strategy])
    return [list(liv) for liv in canonical_livs(repair_livs(livs, rng, letters)[0], letters)]


@settings(deadline=None)
@given(SEEDS, DEPTHS, NAMES)
def test_canonical_form_equals_that_of_one_genome_at_a_time(
    seed: int, depth: int, name: str
) -> None:
    alphabet = ALPHABETS[name]
    genes, _ = arrays.repair(crowded(seed, 50, depth, name), np.random.default_rng(seed), alphabet)
    expected = np.array([canonical_livs(livs, alphabet) for livs in genes.tolist()])
    assert np.array_equal(arrays.canonical(genes, alphabet), expected)


def test_canonical_form_does_not_depend_on_the_other_genomes() -> None:
    alphabet = ALPHABETS["extended"]
    count = 2 * arrays.CHUNK + 3
    genes, _ = arrays.repair(crowded(0, count, 5, "extended"), np.random.default_rng(0), alphabet)
    together = arrays.canonical(genes, alphabet)
    for row in (0, arrays.CHUNK - 1, arrays.CHUNK, count - 1):
        assert np.array_equal(arrays.canonical(genes[[row]], alphabet)[0], together[row])


@settings(deadline=None)
@given(SEEDS, st.sampled_from([1, 2, 3, 5]), st.integers(1, 12), NAMES)
def test_fitted_depth_equals_that_of_one_genome_at_a_time(
    seed: int, own: int, depth: int, name: str
) -> None:
    alphabet = ALPHABETS[name]
    genes, _ = arrays.repair(crowded(seed, 20, own, name), np.random.default_rng(seed), alphabet)
    fitted = arrays.fit_depth(genes, depth, alphabet)
    expected = [fitted_livs(livs, depth, alphabet) for livs in genes.tolist()]
    assert np.array_equal(fitted, np.array(expected))
    one = fit_depth(Genome.from_genes(genes[0].tolist(), alphabet), depth).canonical()
    assert one.livs == expected[0]


def test_every_strategy_leaves_the_borrower_a_group_of_its_own() -> None:
    # The canonical form of arrays relies on it: LIVs that borrow by the same strategy have weights
    # in common.
    for structure in STRUCTURES.values():
        assert all(set(structure.groups) - set(borrowed) for borrowed in structure.sharing.values())


@pytest.mark.slow
@settings(deadline=None)
@given(SEEDS, NAMES)
def test_ids_are_those_of_the_genomes(seed: int, name: str) -> None:
    genes = arrays.sample(8, 12, np.random.default_rng(seed), ALPHABETS[name], 0.6)
    expected = [Genome.from_genes(livs, name).id for livs in genes.tolist()]
    assert arrays.ids(genes, ALPHABETS[name]) == expected


@settings(deadline=None)
@given(SEEDS, DEPTHS, NAMES)
def test_valid_genomes_are_those_without_problems(seed: int, depth: int, name: str) -> None:
    genes = np.concatenate([crowded(seed, 40, depth, name), arbitrary(seed, 5, depth)])
    expected = [number == 0 for number in problems(genes, name)]
    assert arrays.valid(genes, ALPHABETS[name]).tolist() == expected


@settings(deadline=None)
@given(SEEDS, DEPTHS, NAMES, st.booleans())
def test_repair_makes_valid_and_leaves_valid_genomes_alone(
    seed: int, depth: int, name: str, wild: bool
) -> None:
    genes = arbitrary(seed, 30, depth) if wild else crowded(seed, 30, depth, name)
    before = genes.copy()
    fixed, changed = arrays.repair(genes, np.random.default_rng(seed), ALPHABETS[name])
    assert not any(problems(fixed, name))
    assert np.array_equal(changed, fixed != genes) and np.array_equal(genes, before)
    was_valid = np.array(problems(genes, name)) == 0
    assert not changed[was_valid].any() and changed[~was_valid].any(axis=(1, 2)).all()


def test_repair_leaves_genes_alone_that_are_valid_given_those_before() -> None:
    genes = np.array(
        [[[1, 1, 1, 1, 2], [1, 1, 1, 1, 2], [1, 1, 1, 1, 3], [1, 1, 1, 2, 3], [30, 2, 1, 2, 1]]]
    )
    fixed, changed = arrays.repair(genes, np.random.default_rng(0), ALPHABETS["star"])
    assert np.argwhere(changed[0]).tolist() == [[2, 4], [4, 0]]
    assert fixed[0, 2, 4] in (1, 2)


@pytest.mark.parametrize(
    "livs",
    [
        [[1, 1, 1, 1, 2], [1, 1, 1, 1, 3]],  # the group's strategy, or none
        [[9, 1, 1, 1, 4], [9, 1, 1, 1, 3]],  # any of the class, then the group's if there is one
        [[0, 1, 7, 3, 1], [1, 1, 1, 0, 1]],  # classes, group numbers and the kind of sharing
    ],
)
def test_repair_draws_as_one_genome_at_a_time_does(livs: list[list[int]]) -> None:
    alphabet, rng, count = ALPHABETS["star"], np.random.default_rng(3), 4000
    drawn, _ = arrays.repair(np.array([livs] * count), rng, alphabet)
    single = [repair_livs(livs, rng, alphabet)[0] for _ in range(count)]
    assert_same_distribution(
        encoded(drawn.reshape(count, -1)), encoded(np.array(single).reshape(count, -1))
    )


def encoded(rows: np.ndarray) -> list[tuple]:
    return [tuple(row) for row in rows.tolist()]


def assert_same_distribution(first: list, second: list) -> None:
    """Chi-square test of two lists of outcomes; rare ones are counted together."""
    outcomes = sorted(set(first) | set(second))
    table = np.array(
        [[sample.count(outcome) for outcome in outcomes] for sample in (first, second)]
    )
    rare = table.sum(axis=0) < 10
    table = np.concatenate([table[:, ~rare], table[:, rare].sum(axis=1, keepdims=True)], axis=1)
    table = table[:, table.sum(axis=0) > 0]
    statistic, _, freedom, _ = chi2_contingency(table)
    assert statistic <= chi2.isf(1e-4, max(freedom, 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ALPHABETS))
@pytest.mark.parametrize("depth", [3, 8])
def test_sampling_draws_as_one_genome_at_a_time_does(name: str, depth: int) -> None:
    count, rng = 1500, np.random.default_rng(depth)
    drawn = arrays.sample(count, depth, rng, ALPHABETS[name], 0.5)
    single = np.array([one_at_a_time(depth, rng, name, 0.5) for _ in range(count)])
    deepest = depth - 1  # one LIV a genome: its LIVs are not independent
    for gene in range(len(GENE_NAMES)):
        assert_same_distribution(
            drawn[:, deepest, gene].tolist(), single[:, deepest, gene].tolist()
        )
    palettes = [[len(set(livs)) for livs in sample[:, :, 0].tolist()] for sample in (drawn, single)]
    assert_same_distribution(*palettes)
    sharing = [
        (sample[:, :, 2::2] != NOT_SHARED).sum(axis=(1, 2)).tolist() for sample in (drawn, single)
    ]
    assert_same_distribution(*sharing)


@settings(deadline=None)
@given(SEEDS, DEPTHS, NAMES, st.sampled_from([0.0, 0.25, 1.0]))
def test_samples_are_valid_canonical_and_repeatable(
    seed: int, depth: int, name: str, probability: float
) -> None:
    alphabet = ALPHABETS[name]
    genes = arrays.sample(20, depth, np.random.default_rng(seed), alphabet, probability)
    assert genes.dtype == np.int64 and genes.shape == (20, depth, 5)
    assert not any(problems(genes, name))
    assert np.array_equal(arrays.canonical(genes, alphabet), genes)
    assert np.array_equal(
        arrays.sample(20, depth, np.random.default_rng(seed), alphabet, probability), genes
    )
    assert probability or (genes[:, :, 2::2] == NOT_SHARED).all()


def test_no_genomes_are_no_problem() -> None:
    alphabet, rng = ALPHABETS["star"], np.random.default_rng(0)
    empty = arrays.sample(0, 4, rng, alphabet)
    assert empty.shape == arrays.canonical(empty, alphabet).shape == (0, 4, 5)
    assert (
        arrays.repair(empty, rng, alphabet)[0].shape == (0, 4, 5)
        and arrays.ids(empty, alphabet) == []
    )
