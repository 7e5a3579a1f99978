"""Our objectives against the suite that every objective must pass."""

import pytest

from star.evaluation import OBJECTIVES, Objective
from star.testing.objectives import ObjectiveSuite


class TestOurs(ObjectiveSuite):
    @pytest.fixture(autouse=True, params=OBJECTIVES)
    def choose(self, request: pytest.FixtureRequest) -> None:
        self.objective = OBJECTIVES[request.param]

    def make(self) -> Objective:
        return self.objective
