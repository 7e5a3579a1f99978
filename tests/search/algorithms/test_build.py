"""The four algorithms of conf/search on objectives that cost nothing, and the settings they
share."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from pymoo.algorithms.moo.nsga2 import binary_tournament
from pymoo.core.population import Population

from star.base.command_line import compose_config
from star.base.errors import UserError
from star.evaluation.pareto import hypervolume, reference_point
from star.genomes import Genome
from star.search.algorithms.build import build_algorithm, knockout
from star.search.config import SearchConfig
from star.search.space.problem import GenomeProblem
from tests.search.made_up import has_long_convolution, static_costs

ALGORITHMS = ("nsga2", "ga", "firefly", "random")
PYMOO_GA = {"_target_": "pymoo.algorithms.soo.nonconvex.ga.GA"}
FIREFLY = {"_target_": "star.search.algorithms.firefly.Firefly"}
TARGET = Genome.from_text("11111-31111-91111-51111-71111-91111")
DEPTH = TARGET.depth


@cache
def composed(search: str) -> SearchConfig:
    """The settings of conf/search/<search>.yaml; composing takes as long as a small search."""
    return compose_config("evolve", ["+experiment=smoke", "scale=cpu", f"search={search}"]).search


def configured(
    search: str, arguments: Mapping[str, Any] = {}, variation: Mapping[str, Any] = {},
    **settings: Any,
) -> SearchConfig:  # fmt: skip
    """The settings of conf/search/<search>.yaml, smaller and changed.

    Args:
        search: name of the file.
        arguments: of the algorithm, beside those of the file.
        variation: settings of `search.variation`.
        settings: other settings of the search.
    """
    config = deepcopy(composed(search))
    config.algorithm.update(arguments)
    for name, value in {"sharing_mutation_probability": 0.0, **variation}.items():
        setattr(config.variation, name, value)
    for name, value in {"population": 10, "generations": 6, **settings}.items():
        setattr(config, name, value)
    return config


def built(config: SearchConfig, objectives: int = 2) -> Any:
    """The algorithm of these settings."""
    return build_algorithm(config, GenomeProblem(DEPTH, objectives), [], 0).algorithm


def repetition(genome: Genome) -> float:
    """LIVs beyond the first of each class."""
    return genome.depth - len({liv_class.id for liv_class in genome.classes()})


def cache_bytes(genome: Genome) -> float | None:
    """Bytes; a long convolution cannot be measured."""
    return None if has_long_convolution(genome) else static_costs(genome)["cache_bytes"]


def unlikeness(genome: Genome) -> float:
    """Genes in which a genome differs from TARGET."""
    return float((genome.to_array() != TARGET.to_array()).sum())


@pytest.mark.slow
def test_every_file_of_conf_search_composes() -> None:
    names = {
        path.name.removesuffix(".yaml") for path in files("star.conf").joinpath("search").iterdir()
    }
    assert names >= set(ALGORITHMS)
    for name in names:
        config = configured(name)
        config.check(DEPTH)
        kind = type(built(config))
        assert f"{kind.__module__}.{kind.__name__}" == config.algorithm["_target_"]


@pytest.mark.slow
def test_the_last_generation_alone_is_better_than_the_first(evolve: Callable) -> None:
    """Random search, whose generations are all alike, is the control."""

    def gain(search: str) -> float:
        """Mean difference in hypervolume between the last generation and the first."""
        gains = []
        for seed in range(4):
            run = evolve(configured(search, generations=8), [repetition, cache_bytes], seed)
            assert len(run.ids()) == 80 and len(run.values()) < 80
            reference = reference_point(run.values())
            first, last = (hypervolume(run.values(number), reference) for number in (0, 7))
            gains.append(last - first)
        return float(np.mean(gains))

    gains = {name: gain(name) for name in ALGORITHMS}
    assert abs(gains.pop("random")) < 0.1 and min(gains.values()) > 0.2


@pytest.mark.slow
def test_selection_beats_random_search_at_equal_evaluations(evolve: Callable) -> None:
    best = {
        name: np.mean(
            [
                evolve(configured(name, generations=8), [unlikeness], seed).values().min()
                for seed in range(10)
            ]
        )
        for name in ALGORITHMS
    }
    assert max(best[name] for name in ("nsga2", "ga", "firefly")) < best["random"] - 1


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_same_seed_gives_the_same_search(evolve: Callable, name: str) -> None:
    first, second, other = (
        evolve(configured(name, generations=4), [repetition, cache_bytes], seed).ids()
        for seed in (3, 3, 4)
    )
    assert first == second and first != other


@pytest.mark.parametrize("name", ALGORITHMS)
def test_seeds_come_first_and_nothing_is_proposed_twice(evolve: Callable, name: str) -> None:
    seeds = [
        Genome.from_text("-".join([liv] * DEPTH)).canonical() for liv in ("11111", "91111", "51111")
    ]
    run = evolve(configured(name, population=4, generations=5), [unlikeness], seeds=seeds)
    assert run.ids(0)[:3] == [seed.id for seed in seeds]
    assert [len(run.ids(generation)) for generation in range(5)] == [4] * 5


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_small_space_is_searched_whole(evolve: Callable, name: str) -> None:
    run = evolve(configured(name, population=8, generations=20), [repetition], depth=1)
    classes = GenomeProblem(1, 1).alphabet.ids
    assert {e.candidate.genome.livs[0].liv_class for e in run.archive.all} == set(classes)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_search_survives_generations_without_any_measurement(evolve: Callable, name: str) -> None:
    run = evolve(configured(name, generations=4), [lambda genome: None, cache_bytes])
    assert len(run.ids()) == 40 and not run.archive.feasible


def test_the_first_generation_is_the_same_for_every_algorithm(evolve: Callable) -> None:
    first = [
        evolve(configured(name, generations=1), [repetition, cache_bytes], 5).ids()
        for name in ALGORITHMS
    ]
    assert all(ids == first[0] for ids in first)


def test_other_algorithms_for_one_objective_still_refuse_several() -> None:
    config = configured("nsga2", algorithm=PYMOO_GA)
    with pytest.raises(
        UserError,
        match="minimises one objective, but search.objectives names 2; use search=nsga2, ",
    ):
        built(config)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_a_tournament_is_won_by_the_best_of_its_size(size: int) -> None:
    competitors = np.random.default_rng(size).integers(0, 20, (30, size))

    def lower(population: Population, pairs: np.ndarray, **kwargs: Any) -> np.ndarray:
        assert pairs.shape == (30, 2)
        return pairs.min(axis=1, keepdims=True)

    assert (
        knockout(lower)(Population.empty(), competitors) == competitors.min(axis=1, keepdims=True)
    ).all()


@pytest.mark.parametrize("name", ["nsga2", "ga"])
def test_the_size_of_the_tournament_reaches_the_selection(evolve: Callable, name: str) -> None:
    def parents_quality(size: int) -> float:
        quality = []
        for seed in range(4):
            run = evolve(
                configured(name, arguments={"tournament_size": size}, population=16, generations=2),
                [unlikeness],
                seed,
            )
            children = [e.candidate for e in run.archive.all if e.candidate.generation == 1]
            parents = [
                run.archive[parent].evaluation for child in children for parent in child.parents
            ]
            quality += [parent.metrics["validation_loss"] for parent in parents]
        return float(np.mean(quality))

    means = [parents_quality(size) for size in (1, 2, 6)]
    assert means[0] > means[1] > means[2]


def test_the_default_tournament_is_pymoos_own() -> None:
    selection = built(configured("nsga2")).mating.selection
    assert selection.func_comp is binary_tournament and selection.pressure == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"arguments": {"tournament_size": 0}},
            "search.algorithm.tournament_size=0: expected at least 1",
        ),
        (
            {"variation": {"crossover_points": 0}},
            "search.variation.crossover_points=0: expected at least 1",
        ),
        (
            {"variation": {"mutation_probability": 2.0}},
            "search.variation.mutation_probability=2.0: expected a probability",
        ),
        (
            {"arguments": {"scalarisation": "product"}},
            "scalarisation=product: expected one of weights, chebyshev",
        ),
        (
            {"arguments": {"weights": [1.0, -1.0]}},
            "weights=[1.0, -1.0]: expected numbers of at least 0",
        ),
        (
            {"arguments": {"weights": [0.0, 0.0]}},
            "weights=[0.0, 0.0]: expected numbers of at least 0, not all",
        ),
        ({"arguments": {"weights": [1.0, float("nan")]}}, "weights=[1.0, nan]: expected numbers"),
        (
            {"arguments": {"weights": [1.0]}},
            "search.algorithm.weights=[1.0]: expected one for each of the 2 in search.objectives, "
            "or []",
        ),
        ({"arguments": {"xyz": 1}}, "search.algorithm.xyz: ScalarisedGA has no such argument"),
        ({"algorithm": {**FIREFLY, "elitism": -1}}, "elitism=-1: expected at least 0"),
        ({"algorithm": {**FIREFLY, "alpha": 2}}, "alpha=2: expected a number from 0 to 1"),
        ({"algorithm": {**FIREFLY, "gamma": -1}}, "gamma=-1: expected a number from 0 to 1000"),
        ({"algorithm": {**FIREFLY, "decay": "slow"}}, "decay=slow: expected a number from 0 to 1"),
    ],
)
def test_a_setting_out_of_range_is_named(settings: dict[str, Any], message: str) -> None:
    config = configured("ga", **settings)
    with pytest.raises(UserError) as caught:
        config.check(DEPTH)
        built(config)
    assert message in str(caught.value)


DIRECTIONS = {
    "_target_": "pymoo.util.ref_dirs.get_reference_directions",
    "_args_": ["das-dennis", 2],
    "n_partitions": 9,
}
POINTS = {"_target_": "numpy.array", "_args_": [[[0.0, 500.0], [2.0, 100.0]]]}


@pytest.mark.parametrize(
    ("target", "arguments"),
    [
        ("spea2.SPEA2", {}),
        pytest.param("age2.AGEMOEA2", {}, marks=pytest.mark.slow),  # numba compiles for seconds
        ("sms.SMSEMOA", {}),
        ("nsga3.NSGA3", {"ref_dirs": DIRECTIONS}),
        ("ctaea.CTAEA", {"ref_dirs": DIRECTIONS}),  # whose population is the number of directions
        ("rnsga2.RNSGA2", {"ref_points": POINTS}),
    ],
)
def test_other_algorithms_of_pymoo_search(
    evolve: Callable, target: str, arguments: dict[str, Any]
) -> None:
    algorithm = {"_target_": f"pymoo.algorithms.moo.{target}", **arguments}
    run = evolve(configured("nsga2", algorithm=algorithm), [repetition, cache_bytes])
    assert len(run.ids(0)) == 10 and len(run.ids()) == 60


def test_searches_share_nothing(evolve: Callable) -> None:
    spea2 = configured("nsga2", algorithm={"_target_": "pymoo.algorithms.moo.spea2.SPEA2"})
    first = evolve(spea2, [repetition, cache_bytes]).ids()
    evolve(spea2, [lambda genome: -1e6 * unlikeness(genome), cache_bytes])
    evolve(spea2, [unlikeness])
    assert evolve(spea2, [repetition, cache_bytes]).ids() == first
