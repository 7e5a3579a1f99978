"""Populations of different depths: what keeps them valid, within their bounds and the architectures
they are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymoo.core.population import Population

from star.genomes import GENES_PER_LIV, Genome
from star.search.space.depths import (
    by_depth,
    depths_of,
    fit_group_numbers,
    without_absent,
    without_gaps,
)
from star.search.space.problem import GenomeProblem
from star.search.variation.crossover import LivCrossover
from star.search.variation.depth_mutation import DepthMutation
from star.search.variation.gene_mutation import GeneMutation
from star.search.variation.history import variation
from star.search.variation.sampling import CanonicalDuplicates, GenomeRepair, GenomeSampling

SEEDS = st.integers(0, 2**32 - 1)
BOUNDS = st.tuples(st.integers(1, 6), st.integers(0, 5)).map(lambda pair: (pair[0], sum(pair)))


def space(bounds: tuple[int, int]) -> GenomeProblem:
    return GenomeProblem(3, 2, "extended", depths=bounds)


def sampled(problem: GenomeProblem, count: int, rng: np.random.Generator) -> Population:
    return GenomeSampling(sharing_probability=0.6).do(problem, count, random_state=rng)


def depths(population: Population) -> list[int]:
    rows = np.stack([individual.X for individual in population])
    return depths_of(rows.reshape(len(rows), -1, GENES_PER_LIV)).tolist()


def check(problem: GenomeProblem, population: Population) -> None:
    """Valid genomes within the bounds, absent LIVs at the end only."""
    for individual in population:
        genome = problem.genome(individual.X).check()
        assert problem.least_depth <= genome.depth <= problem.vector_depth
        assert np.array_equal(problem.vector(genome), individual.X)
        assert (problem.xl <= individual.X).all() and (problem.xu >= individual.X).all()


@settings(deadline=None, max_examples=60)
@given(SEEDS, BOUNDS, st.booleans())
def test_operators_keep_genomes_valid_and_within_bounds(
    seed: int, bounds: tuple[int, int], constrained: bool
) -> None:
    problem, rng = space(bounds), np.random.default_rng(seed)
    population = sampled(problem, 10, rng)
    check(problem, population)
    population = GeneMutation(0.3).do(
        problem, population, random_state=rng
    )  # group numbers up to the depth
    rows = population.get("X")
    pairs = rng.integers(len(population), size=(8, 2))
    children = LivCrossover(3, prob=0.9).do(problem, population, pairs, random_state=rng)
    tails = np.array(depths(children)).reshape(2, -1).T
    assert np.array_equal(
        np.sort(tails, axis=1), np.sort(np.array(depths(population))[pairs], axis=1)
    )
    livs = np.stack([child.X for child in children]).reshape(len(children), -1, GENES_PER_LIV)
    assert (livs[:, :, [1, 3]].max(axis=(1, 2)) <= depths(children)).all()
    children = GenomeRepair().do(problem, children, random_state=rng)
    children = DepthMutation(0.8, 0.6).do(problem, children, random_state=rng)
    check(problem, children)
    mutated = GeneMutation(0.3, constrained).do(problem, children, random_state=rng)
    check(
        problem, mutated if constrained else GenomeRepair().do(problem, mutated, random_state=rng)
    )
    assert np.array_equal(population.get("X"), rows)


def test_depths_are_sampled_alike_and_mutation_reaches_both_bounds() -> None:
    problem, rng = space((3, 7)), np.random.default_rng(0)
    counts = np.bincount(depths(sampled(problem, 2000, rng)))
    assert len(counts) == 8 and not counts[:3].any() and (np.abs(counts[3:] - 400) < 80).all()
    population = sampled(problem, 40, rng)
    for target in (3, 7):
        reached = set()
        for _ in range(60):
            population = DepthMutation(1.0).do(problem, population, random_state=rng)
            reached |= set(depths(population))
        assert target in reached and reached <= set(range(3, 8))


def test_every_kind_of_edit_occurs_at_the_given_probability_and_within_bounds_only() -> None:
    problem, rng = space((4, 6)), np.random.default_rng(0)
    population = sampled(problem, 1500, rng)
    before = depths(population)
    edited = DepthMutation(0.4).do(problem, population, random_state=rng)
    edits = [variation(individual).get("depth", []) for individual in edited]
    assert 0.36 < sum(map(len, edits)) / 1500 < 0.44
    kinds = {
        depth: {
            edit[0][0] for was, edit in zip(before, edits, strict=True) if edit and was == depth
        }
        for depth in before
    }
    assert kinds == {
        4: {"insert", "duplicate"},
        5: {"insert", "duplicate", "delete"},
        6: {"delete"},
    }
    places = {
        edit[0][1]
        for was, edit in zip(before, edits, strict=True)
        if edit and was == 5 and edit[0][0] == "insert"
    }
    assert places == set(range(6))


def test_mutation_of_one_depth_does_nothing() -> None:
    problem, rng = space((4, 4)), np.random.default_rng(0)
    population = sampled(problem, 20, rng)
    rows = population.get("X")
    assert np.array_equal(
        DepthMutation(1.0).do(problem, population, random_state=rng).get("X"), rows
    )


def test_crossover_cuts_within_the_livs_that_both_parents_have() -> None:
    problem = space((1, 8))
    texts = ("-".join(["11111"] * 4), "-".join(["91111"] * 8))
    rows = np.stack([problem.vector(Genome.from_text(text, "extended")) for text in texts])
    population = Population.new("X", rows)
    children = LivCrossover(2, prob=1.0).do(
        problem, population, np.tile([0, 1], (300, 1)), random_state=np.random.default_rng(0)
    )
    cuts = [variation(child)["crossover"] for child in children[:300]]
    assert {cut for pair in cuts for cut in pair} == {1, 2, 3} and {len(pair) for pair in cuts} == {
        2
    }


@settings(deadline=None, max_examples=60)
@given(SEEDS)
def test_renumbered_groups_are_the_same_architecture(seed: int) -> None:
    rng = np.random.default_rng(seed)
    genome = sampled(space((5, 5)), 1, rng)[0].X.reshape(1, 5, GENES_PER_LIV)
    shifted = genome.copy()
    shifted[:, :, [1, 3]] += rng.integers(0, 2, (1, 1, 2)) * 5
    padded = np.concatenate([shifted, np.zeros((1, 2, GENES_PER_LIV), dtype=np.int64)], axis=1)
    fitted = fit_group_numbers(padded)
    assert not fitted[:, 5:].any() and fitted[:, :5, [1, 3]].max() <= 5
    ids = [Genome.from_array(livs[0, :5].reshape(-1), "extended").id for livs in (genome, fitted)]
    assert ids[0] == ids[1]


def test_genomes_are_taken_by_depth_and_gaps_closed() -> None:
    livs = np.zeros((3, 4, GENES_PER_LIV), dtype=np.int64)
    for row, present in enumerate(([0, 1], [0, 1, 2, 3], [0, 3])):
        livs[row, present] = 1 + np.array(present)[:, None]
    assert depths_of(livs).tolist() == [2, 4, 4]
    closed = without_gaps(livs)
    assert depths_of(closed).tolist() == [2, 4, 2] and closed[2, :, 0].tolist() == [1, 4, 0, 0]
    groups = {genes.shape[1]: np.arange(3)[rows].tolist() for rows, genes in by_depth(closed)}
    assert groups == {2: [0, 2], 4: [1]}
    assert len(list(by_depth(closed[[1]]))) == 1
    assert len(without_absent(closed[2].reshape(-1))) == 10


def test_duplicates_are_found_among_depths() -> None:
    problem = space((2, 4))
    texts = ("11111-91111", "11222-91111", "11111-91111-91111")
    rows = np.stack([problem.vector(Genome.from_text(text, "extended")) for text in texts])
    kept = CanonicalDuplicates("extended").do(Population.new("X", rows))
    assert depths(kept) == [2, 3]  # pyright: ignore


@pytest.mark.parametrize("depth", [2, 4])
def test_seeds_keep_their_depth(depth: int) -> None:
    problem, seed = space((2, 4)), Genome.from_text("-".join(["91111"] * depth), "extended")
    first = GenomeSampling([seed]).do(problem, 6, random_state=np.random.default_rng(0))[0]
    assert problem.genome(first.X) == seed
