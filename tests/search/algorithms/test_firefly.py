"""The firefly algorithm: attractiveness, movement, random step, elitism."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pymoo.core.evaluator import Evaluator
from pymoo.core.population import Population
from pymoo.problems.static import StaticProblem

from star.genomes import GENES_PER_LIV, Genome
from star.search.algorithms.firefly import Firefly, Swarm
from star.search.config import SearchConfig
from star.search.space.problem import GenomeProblem
from star.search.variation.gene_mutation import GeneMutation
from star.search.variation.sampling import CanonicalDuplicates, GenomeRepair, GenomeSampling

FIREFLY = {"_target_": "star.search.algorithms.firefly.Firefly"}
DEPTH = 4


def classes(genome: Genome) -> float:
    """Sum of class numbers."""
    return float(genome.to_array()[::GENES_PER_LIV].sum())


def started(
    texts: list[str], objectives: list[list[float]], violated: tuple[int, ...] = (), **settings: Any
) -> Firefly:
    """Fireflies at these genomes with these objectives, ready to move."""
    seeds = [Genome.from_text(text) for text in texts]
    problem = GenomeProblem(seeds[0].depth, len(objectives[0]))
    duplicates = CanonicalDuplicates()
    sampling = GenomeSampling(seeds)
    algorithm = Firefly(
        len(seeds),
        sampling,
        GeneMutation(),
        GenomeRepair(),
        duplicates,
        **settings,
    )
    algorithm.setup(problem, seed=0, termination=("n_gen", 99))
    tell(algorithm, algorithm.ask(), objectives, violated)
    return algorithm


def tell(
    algorithm: Firefly,
    population: Any,
    objectives: list[list[float]],
    violated: tuple[int, ...] = (),
) -> None:
    algorithm.fresh.eliminate_duplicates.proposed.update(  # type: ignore[attr-defined]
        Genome.from_array(individual.X).id for individual in population
    )
    violations = np.zeros((len(population), 1))
    violations[list(violated)] = 1
    Evaluator().eval(
        StaticProblem(algorithm.problem, F=np.array(objectives, dtype=float), G=violations),
        population,
    )
    algorithm.tell(infills=population)


def texts(population: Any) -> list[str]:
    return [Genome.from_array(individual.X).to_text() for individual in population]


@pytest.mark.parametrize(
    ("beta0", "gamma", "distance", "expected"),
    [
        (1, 1, 0, 1),
        (1, 1, 1, math.exp(-1)),
        (0.5, 4, 0.5, 0.5 * math.exp(-1)),
        (0.8, 0, 1, 0.8),
        (0, 1, 0, 0),
    ],
)
def test_attractiveness_fades_with_the_square_of_the_distance(
    beta0: float, gamma: float, distance: float, expected: float
) -> None:
    firefly = Firefly(2, GenomeSampling(), GeneMutation(), beta0=beta0, gamma=gamma)
    assert firefly.attractiveness(np.array([distance])) == pytest.approx([expected])


def test_distance_is_the_share_of_genes_that_differ_between_canonical_forms() -> None:
    # The second differs from the first in inert sharing only, the third in two classes.
    genomes = ["11111-31111-51111-71111", "12111-31111-51131-71111", "91111-31111-21111-71111"]
    rows = np.stack([Genome.from_text(text).to_array() for text in genomes])
    swarm = Swarm(Population.new(X=rows), GenomeProblem(DEPTH, 1), np.zeros(3))
    assert swarm.distances == pytest.approx(np.array([[0, 0, 0.1], [0, 0, 0.1], [0.1, 0.1, 0]]))


def test_full_attraction_copies_a_brighter_firefly_and_none_moves_nobody() -> None:
    genomes = ["11111-11111", "31111-31111", "51111-51111"]
    swarm = started(genomes, [[2.0], [1.0], [3.0]])
    assert swarm.pop is not None
    before = Swarm(swarm.pop, GenomeProblem(2, 1), np.array([2.0, 1.0, 3.0]))
    rng = np.random.default_rng(0)
    assert before.sources(0, np.ones(3), rng).tolist() == [1, 1]  # the only brighter one
    assert before.sources(1, np.ones(3), rng).tolist() == [1, 1]  # the brightest stays
    assert set(before.sources(2, np.ones(3), rng).tolist()) < {0, 1}
    assert before.sources(2, np.zeros(3), rng).tolist() == [2, 2]
    dark = Swarm(swarm.pop, GenomeProblem(2, 1), np.array([np.inf, 1.0, np.inf]))
    assert dark.sources(0, np.ones(3), rng).tolist() == [
        1,
        1,
    ]  # never towards one that was not measured


def test_livs_are_taken_as_often_as_attractiveness_says() -> None:
    genomes = ["-".join([liv] * DEPTH) for liv in ("11111", "31111")]
    swarm = started(genomes, [[1.0], [0.0]])
    assert swarm.pop is not None
    before = Swarm(swarm.pop, GenomeProblem(DEPTH, 1), np.array([1.0, 0.0]))
    rng, beta = np.random.default_rng(0), swarm.attractiveness(before.distances[0])
    taken = np.mean([before.sources(0, beta, rng) == 1 for _ in range(1000)])
    assert taken == pytest.approx(
        math.exp(-5 * 0.2**2), abs=0.03
    )  # classes differ: one gene of five


def test_the_random_step_starts_at_alpha_and_decays() -> None:
    swarm = started(["11111-11111", "31111-31111"], [[1.0], [2.0]], alpha=0.4, decay=0.5)
    rates = []
    for _ in range(3):
        population = swarm.ask()
        rates.append(swarm.mutation.rate)
        tell(swarm, population, [[3.0]] * 2)
    assert rates == pytest.approx([0.4, 0.2, 0.1])


def test_parents_are_the_firefly_and_those_it_took_livs_from() -> None:
    genomes = ["-".join([liv] * DEPTH) for liv in ("11111", "31111", "51111", "91111")]
    swarm = started(genomes, [[0.0], [1.0], [2.0], [3.0]], gamma=0.0, beta0=0.5, alpha=0.0)
    ids = [Genome.from_text(text).id for text in genomes]
    letters = dict(zip(ids, "1359", strict=True))
    moved: Any = swarm.ask()
    chosen = [individual for individual in moved if individual.get("parents")]
    firsts = [individual.get("parents")[0] for individual in chosen]
    assert set(firsts) == set(ids[1:])  # the brightest has nowhere to go
    for individual in chosen:
        used = set(texts([individual])[0].split("-"))
        taken = {letters[parent] for parent in individual.get("parents")}
        assert {liv[0] for liv in used} <= taken and len(taken) - len(used) in (0, 1)


@pytest.mark.parametrize(("elitism", "kept"), [(0, 0), (1, 1), (2, 2), (9, 3)])
def test_so_many_of_the_brightest_stay(elitism: int, kept: int) -> None:
    genomes = ["11111-11111", "31111-31111", "51111-51111"]
    swarm = started(genomes, [[1.0], [2.0], [3.0]], elitism=elitism)
    moved = swarm.ask()
    assert moved is not None
    new = texts(moved)
    tell(swarm, moved, [[7.0], [6.0], [8.0]])
    assert texts(swarm.pop)[:kept] == genomes[:kept]
    assert texts(swarm.pop)[kept:] == [new[1], new[0], new[2]][: 3 - kept]


def test_fireflies_without_a_new_place_are_replaced_by_random_genomes() -> None:
    genomes = ["-".join([liv] * DEPTH) for liv in ("11111", "31111", "51111")]
    swarm = started(
        genomes, [[1.0], [2.0], [3.0]], alpha=0.0, gamma=0.0
    )  # each can only copy what is there
    for _ in range(3):
        moved = swarm.ask()
        assert (
            moved is not None
            and len(set(texts(moved))) == 3
            and not set(texts(moved)) & set(genomes)
        )
        assert all(not individual.get("parents") for individual in moved)
        tell(swarm, moved, [[9.0]] * 3)


def test_several_objectives_are_weighed(evolve: Callable) -> None:
    objectives = [classes, lambda genome: -classes(genome)]
    for weights, rising in (([1.0, 0.1], False), ([0.1, 1.0], True)):
        config = SearchConfig(
            algorithm={**FIREFLY, "scalarisation": "weights", "weights": weights},
            population=8,
            generations=8,
        )
        run = evolve(config, objectives, depth=DEPTH)
        means = [run.values(generation)[:, 0].mean() for generation in (0, 7)]
        assert (means[1] > means[0]) == rising


@pytest.mark.slow
def test_attraction_is_what_finds_better_genomes(evolve: Callable) -> None:
    def mean_best(**settings: float) -> float:
        config = SearchConfig(algorithm={**FIREFLY, **settings}, population=10, generations=8)
        return float(np.mean([evolve(config, [classes], seed).values().min() for seed in range(8)]))

    assert mean_best() < mean_best(beta0=0.0)
