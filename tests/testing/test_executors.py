"""Executors on this machine against the suite that every executor must pass."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from star.base.command_line import compose_config
from star.evaluation import Evaluation, Recipe
from star.evaluation.executors import Executor, ProcessesConfig, Setup, TableConfig, Task
from star.search.recipe import make_recipe
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


@pytest.mark.slow
def test_the_executor_of_the_documentation_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (Path(__file__).parents[2] / "docs" / "executors.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(code.splitlines()) < 30
    names: dict[str, Any] = {}
    exec(code, names)
    names["TestAnnounced"]().test_every_task_is_answered_once_and_failures_are_results(tmp_path)
    assert " infeasible\n" in capsys.readouterr().out


class Wrong:
    """An executor that breaks a promise in `evaluate`."""

    def __init__(self, setup: Setup, promise: str) -> None:
        self.right, self.promise = TableConfig().make(setup), promise

    def __enter__(self) -> "Wrong":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def evaluate(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Evaluation]]:
        for index, evaluation in self.right.evaluate(tasks):
            if self.promise == "order":  # answers by place, as if they came in order of asking
                yield len(tasks) - 1 - index, evaluation
            else:
                yield index, evaluation
            if self.promise == "once" and index == 0:
                yield index, evaluation


@pytest.mark.parametrize("promise", ["once", "order"])
def test_an_executor_that_breaks_its_promise_is_found_out(promise: str, tmp_path: Path) -> None:
    class Suite(TestTable):
        def make(self, setup: Setup) -> Executor:
            return Wrong(setup, promise)

    with pytest.raises(AssertionError):
        Suite().test_every_task_is_answered_once_and_failures_are_results(tmp_path)
