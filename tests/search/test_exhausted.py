"""A search that finds no new designs ends early, and says so."""

from collections.abc import Callable
from typing import Any

import pytest

from star.search import EvolveConfig, Search, SearchConfig
from star.search.config import SpaceConfig
from tests.search.made_up import MadeUp


def searched(generations: int, population: int = 6) -> Search:
    """Of two designs: one LIV of two classes."""
    space = SpaceConfig(classes=["SA-1", "GMemless"])
    search = SearchConfig(
        objectives=["validation_loss", "cache_bytes"],
        population=population,
        generations=generations,
        baselines=[],
        space=space,
    )
    made = Search.from_config(EvolveConfig(depth=1, search=search), MadeUp())
    for _ in made.generations():
        pass
    return made


def test_it_says_after_which_generation() -> None:
    search = searched(generations=4)
    assert len(search.archive) == 2
    assert search.ended_by == "lack of new designs: none was found after generation 1 of 4"
    assert searched(generations=1, population=2).ended_by == ""


SMALL = (
    *("+experiment=smoke", "scale=cpu", "depth=1", "training.steps=1", "search.baselines=[]"),
    *("search.population=6", "search.space.classes=[SA-1,GMemless]", "run_dir=run"),
)


@pytest.mark.slow
def test_the_command_says_it(command: Callable[..., Any]) -> None:
    result = command("evolve", *SMALL, "search.generations=3")
    assert result.returncode == 0, result.stderr
    assert "\nended by lack of new designs: none was found after generation 1 of 3\n" in (
        result.stdout
    )
    assert "generation 1/3  2/18 candidates" in result.stdout


@pytest.mark.slow
def test_the_command_says_that_one_generation_was_short(command: Callable[..., Any]) -> None:
    result = command("evolve", *SMALL, "search.generations=1")
    assert "proposed 2 of 6 designs: no other new ones were found" in result.stdout
