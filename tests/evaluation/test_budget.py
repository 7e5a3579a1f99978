"""Constraints in a search: static ones save the training, trained ones decide after it."""

from typing import Any

from star.evaluation import Evaluation
from star.evaluation.executors import Task
from star.genomes import Genome
from star.search import EvolveConfig, Search, SearchConfig
from star.search.archive import Archive
from tests.search.made_up import MadeUp, static_costs

ATTENTION, CONVOLUTION, RECURRENCE = (Genome.from_text(f"{first}1111-91111") for first in "175")
GENOMES = [ATTENTION, CONVOLUTION, RECURRENCE]
LOSSES = {ATTENTION.id: 1.0, CONVOLUTION.id: 2.0, RECURRENCE.id: 3.0}
VARIETY = "tests.search.objectives:Variety"


def measure(task: Task) -> Evaluation:
    loss = LOSSES[task.genome.id]
    variety = len({liv_class.id for liv_class in task.genome.classes()})
    attention = float(task.genome.id == ATTENTION.id)
    quality = {"validation_loss": loss, "variety": variety, "attention": attention}
    return Evaluation("ok", "", {**static_costs(task.genome), **quality})


def run(name: str, *also_measured: str, **constraints: Any) -> tuple[Archive, list[str]]:
    """The archive, and what was trained.

    Args:
        name: `seeds` or `baselines`, what the three genomes are.
        also_measured: further objectives.
        constraints: by objective.
    """
    search = SearchConfig(
        objectives=["validation_loss", "cache_bytes"],
        also_measure=list(also_measured),
        population=3,
        generations=1,
        baselines=[],
    )
    setattr(search, name, [genome.to_text() for genome in GENOMES])
    executor = MadeUp(measure)
    config = EvolveConfig(depth=2, search=search, constraints=constraints)
    made = Search.from_config(config, executor)
    last = {"baselines": -1, "seeds": 0}[name]
    assert last in made.generations()  # which ends it behind that generation
    return made.archive, [genome.id for genome in executor.genomes]


def test_without_constraints_everything_is_trained_and_feasible() -> None:
    archive, trained = run("seeds")
    assert len(trained) == len(archive.feasible) == 3


def test_a_static_objective_over_budget_costs_no_training() -> None:
    """Where no change of its LIVs keeps the constraint."""
    archive, trained = run("seeds", VARIETY, variety=3, cache_bytes="2MB")
    assert not trained
    refused = archive[ATTENTION.id].evaluation
    assert refused.failure == "over_budget"
    assert refused.reason == "over_budget: variety 2 below 3"
    assert refused.metrics["cache_bytes"] == static_costs(ATTENTION)["cache_bytes"]


def test_a_trained_objective_over_budget_is_infeasible_after_its_training() -> None:
    archive, trained = run("seeds", validation_loss=2.5)
    assert len(trained) == 3
    assert {e.genome_id for e in archive.feasible} == {ATTENTION.id, CONVOLUTION.id}
    judged = archive[RECURRENCE.id].evaluation
    assert judged.reason == "over_budget: validation_loss 3 above 2.5"
    assert judged.metrics["validation_loss"] == 3.0
    assert archive.failures() == {"over_budget": 1}


def test_an_objective_of_a_users_own_may_be_a_constraint() -> None:
    attention = "tests.search.objectives:Attention"
    archive, trained = run("baselines", attention, attention=0.5)
    assert len(trained) == 3
    assert archive[ATTENTION.id].evaluation.reason == "over_budget: attention 1 above 0.5"
    assert {e.genome_id for e in archive.front()} == {CONVOLUTION.id}


def test_a_maximised_static_objective_below_its_constraint_costs_no_training() -> None:
    archive, trained = run("seeds", VARIETY, variety=3)
    assert not trained
    reasons = {evaluated.evaluation.reason for evaluated in archive.all}
    assert reasons == {"over_budget: variety 2 below 3"}
    assert len(run("seeds", VARIETY, variety=2)[1]) == 3


def test_baselines_are_trained_whatever_they_cost_and_are_not_of_the_front() -> None:
    archive, trained = run("baselines", cache_bytes="100kB", validation_loss=2.5)
    assert len(trained) == len(archive.baselines) == 3
    assert [e.genome_id for e in archive.front()] == [CONVOLUTION.id]
    reasons = [archive[genome.id].evaluation.reason for genome in (ATTENTION, RECURRENCE)]
    assert reasons[0] == "over_budget: cache_bytes 1,048,576 above 100,000"
    assert reasons[1] == "over_budget: validation_loss 3 above 2.5"
