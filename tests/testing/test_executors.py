"""Executors on this machine against the suite that every executor must pass."""

from pathlib import Path

import pytest

from star.base.command_line import compose_config
from star.evaluation import Recipe
from star.evaluation.executors import Executor, ProcessesConfig, Setup, TableConfig
from star.search.search import make_recipe
from star.testing.executors import ExecutorSuite


@pytest.mark.slow
class TestProcesses(ExecutorSuite):
    def make(self, setup: Setup) -> Executor:
        return ProcessesConfig(workers=2).make(setup)


class TestTable(ExecutorSuite):
    trains = False

    def make(self, setup: Setup) -> Executor:
        return TableConfig().make(setup)

    def recipe(self, folder: Path) -> Recipe:
        return make_recipe(compose_config("evolve", ["scale=cpu", "+experiment=tabular"]))[1]

    def unusable(self, recipe: Recipe) -> tuple[Recipe, int]:
        return recipe, 30  # steps that the table has no losses after
