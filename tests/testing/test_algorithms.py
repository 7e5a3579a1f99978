"""The algorithms of conf/search against the suite that every algorithm must pass."""

from typing import Any

import pytest

from star.base.command_line import compose_config
from star.testing.algorithms import RANDOM, AlgorithmSuite


class TestOurs(AlgorithmSuite):
    @pytest.fixture(autouse=True, params=["nsga2", "ga", "firefly"])
    def choose(self, request: pytest.FixtureRequest) -> None:
        self.name = request.param

    def make(self) -> dict[str, Any]:
        config = compose_config("evolve", ["+experiment=smoke", f"search={self.name}"])
        return config.search.algorithm


class TestRandomSearch(AlgorithmSuite):
    learns = False

    def make(self) -> dict[str, Any]:
        return RANDOM


class TestSingleObjective(AlgorithmSuite):
    objectives = ("validation_loss",)

    def make(self) -> dict[str, Any]:
        return {"_target_": "pymoo.algorithms.soo.nonconvex.ga.GA"}


def test_an_algorithm_that_does_not_learn_is_found_out() -> None:
    class Claims(TestRandomSearch):
        learns = True

    with pytest.raises(AssertionError):
        Claims().test_it_learns_from_what_was_measured()
