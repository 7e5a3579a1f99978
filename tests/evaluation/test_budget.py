"""Constraints in a search: static ones save the training, trained ones decide after it."""

from collections.abc import Iterator, Sequence

from star.evaluation import CacheSetting, Evaluation, select_objectives
from star.evaluation.constraints import ConstraintsConfig
from star.evaluation.objectives import static_metrics
from star.genomes import Genome, ModelConfig
from star.search.archive import Archive
from star.search.budget import Budget
from star.search.candidates import BASELINE, RANDOM, Candidate
from star.search.loop import EvaluationLoop

ATTENTION, CONVOLUTION, RECURRENCE = (Genome.from_text(f"{first}1111-91111") for first in "175")
LOSSES = {ATTENTION.id: 1.0, CONVOLUTION.id: 2.0, RECURRENCE.id: 3.0}
SIZES = ModelConfig(), CacheSetting()


def run(origin: str, **constraints: object) -> tuple[Archive, list[str]]:
    """The archive, and what was trained."""
    trained: list[str] = []

    def train(
        genomes: Sequence[Genome], rung: object = None, /
    ) -> Iterator[tuple[int, Evaluation]]:
        for index, genome in enumerate(genomes):
            trained.append(genome.id)
            yield (
                index,
                Evaluation(
                    "ok",
                    "",
                    {**static_metrics(genome, *SIZES), "validation_loss": LOSSES[genome.id]},
                ),
            )

    archive = Archive(select_objectives(["validation_loss", "cache_bytes"]))
    budget = Budget(ConstraintsConfig(**constraints), *SIZES)  # type: ignore[arg-type]
    loop = EvaluationLoop(archive, train, 0, lambda _: None, budget=budget)
    loop.run([Candidate(genome, origin, 0) for genome in (ATTENTION, CONVOLUTION, RECURRENCE)])
    return archive, trained


def test_without_constraints_everything_is_trained_and_feasible() -> None:
    archive, trained = run(RANDOM)
    assert len(trained) == len(archive.feasible) == 3


def test_a_static_objective_over_budget_costs_no_training() -> None:
    archive, trained = run(RANDOM, cache_bytes="100kB")
    assert trained == [CONVOLUTION.id, RECURRENCE.id]
    refused = archive[ATTENTION.id].evaluation
    assert refused.failure == "over_budget" and refused.reason.startswith(
        "over_budget: cache_bytes 1.04858e+06 above"
    )
    assert refused.metrics["cache_bytes"] == static_metrics(ATTENTION, *SIZES)["cache_bytes"]


def test_a_trained_objective_over_budget_is_infeasible_after_its_training() -> None:
    archive, trained = run(RANDOM, validation_loss=2.5)
    assert len(trained) == 3 and {e.genome_id for e in archive.feasible} == {
        ATTENTION.id,
        CONVOLUTION.id,
    }
    judged = archive[RECURRENCE.id].evaluation
    assert (
        judged.reason == "over_budget: validation_loss 3 above 2.5"
        and judged.metrics["validation_loss"] == 3.0
    )
    assert archive.failures() == {"over_budget": 1}


def test_baselines_are_compared_with_whatever_they_cost() -> None:
    archive, trained = run(BASELINE, cache_bytes=1, validation_loss=0.1)
    assert len(trained) == len(archive.feasible) == 3
