"""Our algorithms, and some of pymoo's, pass the suite; one that does not improve fails it."""

from typing import ClassVar

import pytest

from star.testing.algorithms import RANDOM, AlgorithmSuite


class TestNSGA2(AlgorithmSuite):
    algorithm: ClassVar = {"_target_": "pymoo.algorithms.moo.nsga2.NSGA2"}


class TestScalarisedGA(AlgorithmSuite):
    algorithm: ClassVar = {"_target_": "star.search.algorithms.scalarised.ScalarisedGA"}


class TestFirefly(AlgorithmSuite):
    algorithm: ClassVar = {"_target_": "star.search.algorithms.firefly.Firefly"}


class TestRandomSearch(AlgorithmSuite):
    algorithm = RANDOM
    improves = False


class TestPlainGA(AlgorithmSuite):
    algorithm: ClassVar = {"_target_": "pymoo.algorithms.soo.nonconvex.ga.GA"}
    objectives = ("validation_loss",)


def test_random_search_does_not_pass_for_one_that_improves() -> None:
    suite = type("Pretender", (AlgorithmSuite,), {"algorithm": RANDOM})()
    with pytest.raises(AssertionError):
        suite.test_it_finds_more_than_random_search()
