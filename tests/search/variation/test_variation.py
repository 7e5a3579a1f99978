"""Variation operators on their own and inside pymoo's algorithms."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.soo.nonconvex.ga import GA
from pymoo.core.population import Population
from pymoo.optimize import minimize

from star.genomes import (
    ALPHABETS,
    GENES_PER_LIV,
    Genome,
    GenomeError,
    ModelConfig,
    cache_bytes,
    get_alphabet,
    parameter_count,
    random_genome,
)
from star.search.space.problem import GenomeProblem
from star.search.variation.chain import MutationChain
from star.search.variation.crossover import LivCrossover
from star.search.variation.depth_mutation import DepthMutation
from star.search.variation.gene_mutation import GeneMutation
from star.search.variation.history import variation
from star.search.variation.sampling import CanonicalDuplicates, GenomeRepair, GenomeSampling
from tests.genomes.definition import valid_gene_values

SEEDS = st.integers(0, 2**32 - 1)
DEPTH = 7


def sample(seed: int, count: int = 6, alphabet: str = "extended") -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([random_genome(DEPTH, rng, alphabet, 0.6).to_array() for _ in range(count)])


def problem(alphabet: str = "extended", objectives: int = 2) -> GenomeProblem:
    return GenomeProblem(DEPTH, objectives, alphabet)


def applied(
    operator: Any, space: GenomeProblem, rows: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Genes (individuals, depth * 5) after a mutation or a repair of them."""
    return operator.do(space, Population.new("X", rows.copy()), random_state=rng).get("X")


@settings(deadline=None)
@given(SEEDS, st.integers(1, 6))
def test_crossover_cuts_between_livs_only(seed: int, points: int) -> None:
    parents = sample(seed)
    matings = np.array([[0, 3], [1, 4], [2, 5]])
    children = LivCrossover(points, prob=1.0).do(
        problem(),
        Population.new("X", parents),
        matings,
        random_state=np.random.default_rng(seed),
    )
    livs = np.asarray(children.get("X")).reshape(2, 3, DEPTH, GENES_PER_LIV)
    origin = parents.reshape(2, 3, DEPTH, GENES_PER_LIV)
    kept, taken = (livs == origin).all(-1), (livs == origin[::-1]).all(-1)
    assert (kept | taken).all()
    assert (kept[0] == kept[1]).all()
    switches = (kept[0, :, 1:] & ~taken[0, :, 1:]) & (taken[0, :, :-1] & ~kept[0, :, :-1])
    assert switches.sum(axis=1).max() <= points


def test_crossover_cuts_everywhere_alike() -> None:
    rows = np.array([[1, 1, 1, 1, 1] * DEPTH, [9, 1, 1, 1, 1] * DEPTH])
    children = LivCrossover(2, prob=1.0).do(
        problem(),
        Population.new("X", rows),
        np.tile([0, 1], (3000, 1)),
        random_state=np.random.default_rng(0),
    )
    cuts = np.array([variation(child)["crossover"] for child in children[:3000]])
    counts = np.bincount(cuts.ravel(), minlength=DEPTH)
    assert counts[0] == 0 and (np.abs(counts[1:] - 1000) < 120).all()


def test_crossover_of_one_liv_copies_the_parents() -> None:
    rows = np.array([[1, 1, 1, 1, 1], [9, 1, 1, 1, 1]])
    children = LivCrossover(prob=1.0).do(
        GenomeProblem(1, 1),
        Population.new("X", rows),
        np.array([[0, 1]]),
        random_state=np.random.default_rng(0),
    )
    assert np.array_equal(children.get("X"), rows)


def test_crossover_records_the_parents() -> None:
    space, rows = problem(), sample(1, 4)
    population = Population.new("X", rows)
    ids = [Genome.from_array(row, "extended").id for row in rows]
    children = LivCrossover().do(
        space, population, np.array([[0, 1], [2, 3]]), random_state=np.random.default_rng(0)
    )
    assert [child.get("parents") for child in children] == [ids[:2], ids[2:], ids[:2], ids[2:]]


@settings(deadline=None, max_examples=40)
@given(SEEDS)
def test_constrained_mutation_keeps_genomes_valid(seed: int) -> None:
    rows = sample(seed)
    mutated = applied(GeneMutation(0.3), problem(), rows, np.random.default_rng(seed))
    assert all(not Genome.from_array(row, "extended").validate() for row in mutated)


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.sampled_from(["star", "extended"]))
def test_constrained_mutation_draws_all_valid_values_and_no_other(seed: int, alphabet: str) -> None:
    genes = sample(seed, 1, alphabet)[0]
    livs = genes.reshape(-1, GENES_PER_LIV).tolist()
    mutation, rng = GeneMutation(1.0), np.random.default_rng(seed)
    liv = int(rng.integers(DEPTH))
    for gene in range(GENES_PER_LIV):
        position = liv * GENES_PER_LIV + gene
        rows = np.tile(genes, (600, 1))
        chosen = np.zeros((600, DEPTH, GENES_PER_LIV), dtype=bool)
        chosen[:, liv, gene] = True
        mutated = mutate_only(mutation, rows, chosen, rng, alphabet)
        expected = valid_gene_values(livs, liv, gene, get_alphabet(alphabet)) - {
            int(genes[position])
        }
        assert set(mutated[:, position].tolist()) == (expected or {int(genes[position])})
        counts = np.bincount(mutated[:, position])
        assert counts.max() < 3 * max(600 / max(len(expected), 1), 30)
        mutated[:, position] = genes[position]
        assert np.array_equal(mutated, rows)


def mutate_only(
    mutation: GeneMutation,
    rows: np.ndarray,
    chosen: np.ndarray,
    rng: np.random.Generator,
    alphabet: str,
) -> np.ndarray:
    """Mutation whose draw of genes is `chosen`."""

    class Chosen:
        """A generator whose first draw chooses the genes; the others are random."""

        def __init__(self) -> None:
            self.draws = [np.where(chosen, 0.0, 2.0)]

        def random(self, size: Any) -> np.ndarray:
            return self.draws.pop() if self.draws else rng.random(size)

    return mutation._do(problem(alphabet), rows, random_state=Chosen())  # type: ignore[arg-type]


def test_constrained_mutation_of_an_invalid_genome_draws_from_whole_ranges() -> None:
    rows = np.tile(Genome.from_text("1.1.1.1.2-1.1.1.1.3-9.1.1.1.1").to_array(), (500, 1))
    space = GenomeProblem(3, 1)
    mutated = applied(GeneMutation(1.0), space, rows, np.random.default_rng(0))
    assert (mutated != rows).all()
    assert set(mutated[:, 4].tolist()) == {1, 3, 4, 5} and set(mutated[:, 10].tolist()) <= set(
        range(1, 18)
    ) - {9}


def test_variation_is_repeatable() -> None:
    def vary() -> np.ndarray:
        rng = np.random.default_rng(7)
        population = GenomeSampling().do(problem(), 20, random_state=rng)
        matings = np.arange(20).reshape(10, 2)
        children = LivCrossover().do(problem(), population, matings, random_state=rng)
        mutated = GeneMutation(0.2, constrained=False).do(problem(), children, random_state=rng)
        return np.asarray(GenomeRepair().do(problem(), mutated, random_state=rng).get("X"))

    assert np.array_equal(vary(), vary())


def test_mutation_changes_genes_at_its_rate_and_reaches_every_class() -> None:
    rows = sample(0, 200)
    mutated = applied(GeneMutation(0.1), problem(), rows, np.random.default_rng(0))
    assert 0.07 < (rows != mutated).mean() < 0.11  # a gene with one valid value stays
    assert set(mutated[:, ::GENES_PER_LIV].ravel()) == set(ALPHABETS["extended"].ids)


def test_unconstrained_mutation_needs_repair_and_repair_counts_it() -> None:
    rows = sample(0, 60)
    free = GeneMutation(0.3, constrained=False)
    mutated = applied(free, problem(), rows, np.random.default_rng(0))
    invalid = sum(bool(Genome.from_array(row, "extended").validate()) for row in mutated)
    repair = GenomeRepair()
    fixed = applied(repair, problem(), mutated, np.random.default_rng(0))
    assert invalid > 10
    assert (repair.seen, repair.repaired_genomes) == (60, invalid)
    assert repair.repaired_genes == (fixed != mutated).sum() >= invalid
    assert all(not Genome.from_array(row, "extended").validate() for row in fixed)


def test_sampling_puts_seeds_first_and_never_repeats() -> None:
    seeds = [Genome.from_array(row, "extended") for row in sample(5, 3)]
    sampling = GenomeSampling([*seeds, seeds[0]])
    rows = sampling.do(problem(), 12, random_state=np.random.default_rng(0)).get("X")
    ids = [Genome.from_array(row, "extended").id for row in rows]
    assert ids[:3] == [seed.id for seed in seeds] and len(set(ids)) == 12


def test_sampling_of_a_tiny_space_ends() -> None:
    random_state = np.random.default_rng(0)
    assert len(GenomeSampling().do(GenomeProblem(1, 1), 40, random_state=random_state)) == 17


def test_duplicates_are_found_by_canonical_form() -> None:
    inert = Genome.from_text("12222-92222").to_array()
    plain = Genome.from_text("11111-91111").to_array()
    other = Genome.from_text("21111-91111").to_array()
    kept: Any = CanonicalDuplicates().do(Population.new("X", np.stack([inert, plain, other])))
    assert [list(individual.X) for individual in kept] == [list(inert), list(other)]
    duplicates = CanonicalDuplicates()
    duplicates.proposed.add(Genome.from_text("21111-91111").id)
    assert len(duplicates.do(Population.new("X", np.stack([plain, other])))) == 1


def test_duplicates_of_other_populations_are_found_after_genes_changed() -> None:
    first, second = (Genome.from_text(text).to_array() for text in ("11111-91111", "21111-91111"))
    duplicates, others = CanonicalDuplicates(), Population.new("X", np.stack([second]))
    population = Population.new("X", np.stack([first]))
    assert len(duplicates.do(population, others)) == 1
    population[0].set("X", second)
    assert len(duplicates.do(population, others)) == 0


@pytest.mark.parametrize("genes", [np.ones((2, 10)), np.full((2, 10), 18)])
def test_duplicates_of_what_is_no_genome_are_an_error(genes: np.ndarray) -> None:
    with pytest.raises(GenomeError, match="genome"):
        CanonicalDuplicates().do(Population.new("X", genes))


class StaticCosts(GenomeProblem):
    """Parameters and cache as objectives: a problem that pymoo can minimise without training."""

    def _evaluate(self, X: np.ndarray, out: dict, *args: object, **kwargs: object) -> None:
        genomes = [self.genome(row) for row in X]
        model = ModelConfig()
        values = [[parameter_count(g, model).non_embedding, cache_bytes(g, model)] for g in genomes]
        out["F"] = np.array(values, dtype=float)[:, : self.n_obj]
        out["G"] = -np.ones((len(X), 1))


@pytest.mark.parametrize("modes", [{}, {"motif": 3}, {"depths": (5, 9)}])
@pytest.mark.parametrize(("algorithm", "objectives"), [(NSGA2, 2), (GA, 1)])
def test_operators_work_in_pymoo_algorithms_and_improve(
    algorithm: type, objectives: int, modes: dict
) -> None:
    settings = {
        "sampling": GenomeSampling(),
        "crossover": LivCrossover(),
        "mutation": MutationChain([DepthMutation()], GeneMutation())
        if "depths" in modes
        else GeneMutation(),
        "repair": GenomeRepair(),
        "eliminate_duplicates": CanonicalDuplicates(full_depth=DEPTH if "motif" in modes else None),
    }
    space = StaticCosts(DEPTH, objectives, **modes)
    built = algorithm(pop_size=12, **settings)
    result = minimize(space, built, ("n_gen", 12), seed=0)
    first = minimize(space, algorithm(pop_size=12, **settings), ("n_gen", 1), seed=0)
    assert np.atleast_2d(result.F)[:, 0].min() < np.atleast_2d(first.F)[:, 0].min()
    assert all(not space.genome(row).validate() for row in result.pop.get("X"))
