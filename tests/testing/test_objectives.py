"""Our objectives pass the suite; objectives that are wrong do not."""

from collections.abc import Mapping
from typing import Any

import pytest

from star.evaluation import OBJECTIVES
from star.evaluation.objectives import NAMED, STATIC, Context, Objective
from star.testing.objectives import ObjectiveSuite
from tests.evaluation.harness.toy import CHOICE, shared_tasks

# Settings in which they take little time here.
SMALL = {"context": 24, "tokens": 3, "repeats": 2}
SHORT = {"tasks": ["pairs_2"], "steps": 4, "batch_size": 2, "held_out": 8}
GIVEN: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("decode_latency", "prefill_throughput", "peak_memory"), SMALL),
    "recall_error": SHORT,
    "harness_accuracy": {"tasks": [CHOICE], "task_folder": str(shared_tasks()), "limit": 3},
    "mad_score": {"tasks": ["memorization"], "steps": 1},
}


def suite(name: str) -> ObjectiveSuite:
    fields = {"reference": name, "given": GIVEN.get(name, {})}
    return type(f"Suite{name}", (ObjectiveSuite,), fields)()


CHECKS = [name for name in vars(ObjectiveSuite) if name.startswith("test_")]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", [*OBJECTIVES, *NAMED])
def test_ours(name: str, check: str) -> None:
    if name == "harness_accuracy":
        pytest.importorskip("lm_eval")
    getattr(suite(name), check)()


class Drifting(Objective):
    """Another number at every call."""

    name, cost = "drifting", STATIC
    calls = 0

    def measure(self, context: Context) -> Mapping[str, float]:
        Drifting.calls += 1
        return {self.name: Drifting.calls}


class Endless(Objective):
    """No number."""

    name, cost = "endless", STATIC

    def measure(self, context: Context) -> Mapping[str, float]:
        return {self.name: float("inf")}


class Genes(Objective):
    """Looks at genes that are inert."""

    name, cost = "genes", STATIC

    def measure(self, context: Context) -> Mapping[str, float]:
        return {self.name: float(sum(sum(liv) for liv in context.genome.livs))}


class Misnamed(Objective):
    """Measures something else."""

    name, cost = "misnamed", STATIC

    def measure(self, context: Context) -> Mapping[str, float]:
        return {"other": 1.0}


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        (Drifting, "test_it_measures_the_same_twice"),
        (Endless, "test_it_measures_finite_numbers_under_its_name"),
        (Misnamed, "test_it_measures_finite_numbers_under_its_name"),
        (Genes, "test_equal_architectures_measure_the_same"),
    ],
)
def test_a_wrong_one_is_found(
    kind: type[Objective], check: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("star.testing.objectives.load_objective", lambda *given: kind())
    with pytest.raises(AssertionError):
        getattr(suite("tests:Wrong"), check)()
