"""The four algorithms of conf/search on objectives that cost nothing, and the settings they
share."""

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from pymoo.algorithms.moo.nsga2 import binary_tournament
from pymoo.core.population import Population

import star.evolve  # noqa: F401  # registers the schema
from star.base.errors import UserError
from star.evaluation import CacheSetting
from star.evaluation.objectives import static_metrics
from star.genomes import Genome, ModelConfig
from star.search.algorithms.build import build_algorithm, check_search, knockout
from star.search.config import SearchConfig
from star.search.front import hypervolume, reference_point
from star.search.space.problem import GenomeProblem

ALGORITHMS = ("nsga2", "ga", "firefly", "random")
PYMOO_GA = {"_target_": "pymoo.algorithms.soo.nonconvex.ga.GA"}
FIREFLY = {"_target_": "star.search.algorithms.firefly.Firefly"}
TARGET = Genome.from_text("11111-31111-91111-51111-71111-91111")
DEPTH = TARGET.depth


def configured(search: str, **settings: Any) -> SearchConfig:
    """The settings of conf/search/<search>.yaml, smaller, with these changes."""
    with initialize_config_module("star.conf", version_base="1.3"):
        config = OmegaConf.to_object(
            compose("evolve", ["+experiment=smoke", "scale=cpu", f"search={search}"])
        ).search  # type: ignore[union-attr]
    values = {
        "population": 10,
        "generations": 6,
        "seeds": [],
        "baselines": [],
        "sharing_mutation_probability": 0.0,
        **settings,
    }
    for name, value in values.items():
        setattr(config, name, value)
    return config


def repetition(genome: Genome) -> float:
    """LIVs beyond the first of each class."""
    return genome.depth - len({liv_class.id for liv_class in genome.classes()})


def cache(genome: Genome) -> float | None:
    """Bytes; a long convolution cannot be measured."""
    if any(liv_class.name.startswith("GConv-2") for liv_class in genome.classes()):
        return None
    return static_metrics(genome, ModelConfig(), CacheSetting())["cache_bytes"]


def unlikeness(genome: Genome) -> float:
    """Genes in which a genome differs from TARGET."""
    return float((genome.to_array() != TARGET.to_array()).sum())


def test_every_file_of_conf_search_composes() -> None:
    names = {
        path.name.removesuffix(".yaml") for path in files("star.conf").joinpath("search").iterdir()
    }
    assert names >= set(ALGORITHMS)
    for name in names:
        config = configured(name)
        check_search(config)
        algorithm, _, _ = build_algorithm(config, GenomeProblem(DEPTH, 2), [], 0)
        assert (
            f"{type(algorithm).__module__}.{type(algorithm).__name__}"
            == config.algorithm["_target_"]
        )


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_search_improves_over_its_first_generation(evolve: Callable, name: str) -> None:
    gains = []
    for seed in range(4):
        run = evolve(configured(name), [repetition, cache], seed)
        assert len(run.ids()) == 60 and len(run.values()) < 60
        reference = reference_point(run.values())
        before, after = (hypervolume(values, reference) for values in (run.values(0), run.values()))
        gains.append(after - before)
    assert min(gains) >= 0 and sum(gain > 0 for gain in gains) >= 3


@pytest.mark.parametrize("name", ["nsga2", "ga", "firefly"])
def test_selection_beats_random_search_at_equal_evaluations(evolve: Callable, name: str) -> None:
    best = {
        search: [
            evolve(configured(search, generations=8), [unlikeness], seed).values().min()
            for seed in range(10)
        ]
        for search in (name, "random")
    }
    assert np.mean(best[name]) < np.mean(best["random"]) - 1


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_same_seed_gives_the_same_search(evolve: Callable, name: str) -> None:
    first, second, other = (
        evolve(configured(name, generations=4), [repetition, cache], seed).ids()
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
    run = evolve(configured(name, generations=4), [lambda genome: None, cache])
    assert len(run.ids()) == 40 and not run.archive.feasible


def test_the_first_generation_is_the_same_for_every_algorithm(evolve: Callable) -> None:
    first = [
        evolve(configured(name, generations=1), [repetition, cache], 5).ids() for name in ALGORITHMS
    ]
    assert all(ids == first[0] for ids in first)


def test_other_algorithms_for_one_objective_still_refuse_several() -> None:
    config = configured("nsga2", algorithm=PYMOO_GA)
    with pytest.raises(
        UserError,
        match="minimises one objective, but search.objectives names 2; use search=nsga2, ",
    ):
        build_algorithm(config, GenomeProblem(DEPTH, 2), [], 0)


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
                configured(name, tournament_size=size, population=16, generations=2),
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
    algorithm, _, _ = build_algorithm(configured("nsga2"), GenomeProblem(DEPTH, 2), [], 0)
    selection = algorithm.mating.selection  # type: ignore[attr-defined]
    assert selection.func_comp is binary_tournament and selection.pressure == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tournament_size": 0}, "search.tournament_size=0: expected at least 1"),
        ({"elitism": -1}, "search.elitism=-1: expected at least 0"),
        ({"crossover_points": 0}, "search.crossover_points=0: expected at least 1"),
        ({"mutation_probability": 2.0}, "search.mutation_probability=2.0: expected a probability"),
        (
            {"scalarisation": "product"},
            "search.scalarisation=product: expected one of weights, chebyshev",
        ),
        ({"weights": [1.0, -1.0]}, "search.weights=[1.0, -1.0]: expected numbers of at least 0"),
        (
            {"weights": [0.0, 0.0]},
            "search.weights=[0.0, 0.0]: expected numbers of at least 0, not all of them 0",
        ),
        ({"weights": [1.0, float("nan")]}, "search.weights=[1.0, nan]: expected numbers"),
        (
            {"weights": [1.0]},
            "search.weights=[1.0]: expected one for each of the 2 in search.objectives, or []",
        ),
        ({"algorithm": {**FIREFLY, "alpha": 2}}, "alpha=2: expected a number from 0 to 1"),
        ({"algorithm": {**FIREFLY, "gamma": -1}}, "gamma=-1: expected a number from 0 to 1000"),
        ({"algorithm": {**FIREFLY, "decay": "slow"}}, "decay=slow: expected a number from 0 to 1"),
    ],
)
def test_a_setting_out_of_range_is_named(settings: dict[str, Any], message: str) -> None:
    config = configured("ga", **settings)
    with pytest.raises(UserError) as caught:
        check_search(config)
        build_algorithm(config, GenomeProblem(DEPTH, 2), [], 0)
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
        ("age2.AGEMOEA2", {}),
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
    run = evolve(configured("nsga2", algorithm=algorithm), [repetition, cache])
    assert len(run.ids(0)) == 10 and len(run.ids()) == 60


def test_searches_share_nothing(evolve: Callable) -> None:
    spea2 = configured("nsga2", algorithm={"_target_": "pymoo.algorithms.moo.spea2.SPEA2"})
    first = evolve(spea2, [repetition, cache]).ids()
    evolve(spea2, [lambda genome: -1e6 * unlikeness(genome), cache])
    evolve(spea2, [unlikeness])
    assert evolve(spea2, [repetition, cache]).ids() == first
