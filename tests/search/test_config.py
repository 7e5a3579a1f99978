"""Settings of a search: mistakes are named with their key, and none of them is written anywhere."""

from typing import Any

import pytest

from star.base.command_line import compose_config
from star.base.errors import UserError
from star.search import EvolveConfig, Search, SearchConfig
from star.search.config import RENAMED, SpaceConfig, VariationConfig
from tests.search.made_up import MadeUp

NSGA2 = "pymoo.algorithms.moo.nsga2.NSGA2"
GA = "pymoo.algorithms.soo.nonconvex.ga.GA"


def refused(**settings: Any) -> str:
    """What is wrong with these settings of a search."""
    objectives = {"objectives": ["validation_loss", "cache_bytes"], **settings}
    with pytest.raises(UserError) as caught:
        Search.from_config(EvolveConfig(search=SearchConfig(**objectives)), MadeUp())
    return str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"population": 0}, "search.population=0"),
        ({"generations": 0}, "search.generations=0"),
        (
            {"space": SpaceConfig(alphabet="greek")},
            "search.space.alphabet=greek: expected one of star, extended",
        ),
        (
            {"variation": VariationConfig(mutation_probability=1.5)},
            "search.variation.mutation_probability=1.5",
        ),
        ({"algorithm": {}}, "search.algorithm._target_ is not set"),
        ({"algorithm": {"_target_": "pymoo.no.such.Algorithm"}}, "search.algorithm"),
        ({"algorithm": {"_target_": "pymoo.core.population.Population"}}, "search.algorithm"),
        (
            {"algorithm": {"_target_": NSGA2, "xyz": 1}},
            "search.algorithm.xyz: NSGA2 has no such argument",
        ),
        (
            {"algorithm": {"_target_": GA}},
            "minimises one objective, but search.objectives names 2",
        ),
        (
            {"objectives": ["speed"]},
            "search.objectives: 'speed' is unknown; available: validation_loss",
        ),
        ({"objectives": ["parameters", "parameters"]}, "different names"),
        ({"objectives": []}, "search.objectives=[]: expected one or more"),
        ({"baselines": ["nope"]}, "search.baselines: library genome 'nope' is unknown"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], message: str) -> None:
    assert message in refused(**settings)


@pytest.mark.parametrize("search", ["nsga2", "ga", "firefly", "random"])
def test_a_misspelt_argument_of_an_algorithm_is_an_error(search: str) -> None:
    overrides = ["+experiment=smoke", "scale=cpu", f"search={search}", "search.algorithm.xyz=1"]
    config = compose_config("evolve", overrides)
    with pytest.raises(UserError, match=r"search.algorithm.xyz: \w+ has no such argument"):
        Search.from_config(config, MadeUp())


@pytest.mark.parametrize("key", sorted(RENAMED))
def test_a_key_of_before_gives_one_line_that_names_the_new_one(key: str) -> None:
    with pytest.raises(UserError) as caught:
        compose_config("evolve", [f"{key}=1"])
    assert str(caught.value) == f"{key}: is now {RENAMED[key]}"


@pytest.mark.parametrize(
    "new", [name for name in RENAMED.values() if name.startswith(("search.space", "search.var"))]
)
def test_the_new_name_of_a_key_exists(new: str) -> None:
    value: Any = EvolveConfig()
    for part in new.split("."):
        value = getattr(value, part)
