"""A rung before all training: what is measured there, who is refused, and that it costs nothing
later."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from star.data import Corpus
from star.evaluation import Context, Evaluation, Measured, Objective, Recipe, evaluate
from star.evaluation.constraints import Budget
from star.evaluation.executors import Task
from star.evaluation.ledger import Ledger
from star.evaluation.objectives import OWN, TRAINED
from star.evaluation.result import infeasible
from star.genomes import CacheSetting, Genome, ModelConfig, former_id
from star.search import EvolveConfig, Search, SearchConfig
from star.search.archive import Archive
from star.search.candidates import BASELINE, RANDOM, Candidate
from star.search.evaluating import EvaluationLoop
from star.search.halving import HalvingConfig, SuccessiveHalving
from star.search.memory import SearchMemory
from star.training import TrainingConfig
from tests.search.made_up import DataConfig, MadeUp

STEPS = 8
FORGETFUL = "tests.search.test_gate:Forgetful"
RECIPE = Recipe(
    ModelConfig(width=16),
    CacheSetting(),
    TrainingConfig(
        steps=STEPS, batch_size=2, length=16, validation_batches=1, device="cpu", warmup_steps=2
    ),
    DataConfig(),
    seed=3,
    objectives=(FORGETFUL,),
)
GENOMES = [
    Genome.from_text(f"{first}1111-{second}1111") for first in range(1, 9) for second in range(1, 3)
]


class Forgetful(Objective):
    """Stands for what trains a small model of its own: the share of LIVs that are no attention."""

    name, cost = "forgetful", OWN

    def measure(self, context: Context) -> Mapping[str, float]:
        assert context.model is None or context.quality
        attention = sum(liv.name.startswith("SA") for liv in context.genome.classes())
        return {self.name: 1 - attention / context.genome.depth, "forgetful_spread": 0.25}


class Rungs(MadeUp):
    """Made-up values by number, of the cost classes that are asked for."""

    def __init__(self, values: Mapping[str, tuple[float, float]]) -> None:
        super().__init__(order=0)
        self.result, self.values = self.measure, values

    def measure(self, task: Task) -> Evaluation:
        """By genome id a loss, which falls with the steps, and what is measured before training;
        infinity is what fails there."""
        loss, forgetful = self.values[task.genome.id]
        metrics = {"cache_bytes": 1.0, "parameters": 1.0}
        if OWN in task.costs:
            if forgetful == float("inf"):
                return infeasible("diverged", "made up", metrics)
            metrics["forgetful"] = forgetful
        if TRAINED in task.costs:
            metrics["validation_loss"] = loss + 8.0 / task.steps
        return Evaluation("ok", "", metrics, float(task.steps))

    def counts(self) -> dict[tuple[int, tuple[str, ...]], int]:
        """How many tasks there were of each rung and its cost classes, in order."""
        kinds = [(task.steps, task.costs) for task in self.asked]
        return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def values() -> dict[str, tuple[float, float]]:
    """Losses rise with the number of a genome; what is measured before training falls with it."""
    return {genome.id: (float(n), 1.0 - n / 100) for n, genome in enumerate(GENOMES)}


def run(
    asked: Rungs, limit: float = 1.0, memory: SearchMemory | None = None,
    objectives: tuple[str, ...] = ("validation_loss", FORGETFUL), rungs: tuple[int, ...] = (0, 4),
) -> Archive:  # fmt: skip
    measured = Measured.of([FORGETFUL])
    budget = Budget({"forgetful": limit}, measured, RECIPE)
    archive = Archive([*map(measured.objectives.__getitem__, map(name_of, objectives))])
    halving = SuccessiveHalving(HalvingConfig([*rungs]), STEPS, 100)
    with asked as executor:
        loop = EvaluationLoop(archive, executor, halving, budget, 0, lambda _: None, memory)
        loop.run([Candidate(GENOMES[0], BASELINE, 0)])
        loop.run([Candidate(genome, RANDOM, 0) for genome in GENOMES[1:]])
    return archive


def name_of(reference: str) -> str:
    return "forgetful" if reference == FORGETFUL else reference


def test_models_of_their_own_are_trained_once_and_before_the_text() -> None:
    asked = Rungs(values())
    archive = run(asked)
    assert asked.counts() == {
        (STEPS, (TRAINED, OWN)): 1,  # the baseline, whatever halving says
        (0, (OWN,)): 15,
        (4, (TRAINED,)): 15,
        (STEPS, (TRAINED,)): 8,
    }
    whole = [e for e in archive.all if e.evaluation.feasible]
    assert len(whole) == 9
    assert all({"validation_loss", "forgetful"} <= {*e.evaluation.metrics} for e in whole)


def test_without_a_rung_0_the_first_one_trains_them_and_no_other() -> None:
    asked = Rungs(values())
    archive = run(asked, rungs=(2, 4))
    assert [(steps, costs) for steps, costs in asked.counts() if steps < STEPS] == [
        (2, (TRAINED, OWN)),
        (4, (TRAINED,)),
    ]
    whole = [e for e in archive.all if e.evaluation.feasible]
    assert len(whole) > 1
    for evaluated in whole:
        loss, forgetful = asked.values[evaluated.genome_id]
        assert evaluated.evaluation.metrics["validation_loss"] == loss + 8.0 / STEPS
        assert evaluated.evaluation.metrics["forgetful"] == forgetful


def test_a_limit_refuses_there() -> None:
    asked = Rungs(values())
    archive = run(asked, limit=0.925)  # numbers 8 to 15 keep it
    assert asked.counts()[4, (TRAINED,)] == 8
    reasons = {archive[genome.id].evaluation.reason for genome in GENOMES[1:8]}
    assert all(reason.startswith("over_budget: forgetful 0.9") for reason in reasons)
    stricter = Rungs(values())
    run(stricter, limit=0.875)
    assert stricter.counts()[4, (TRAINED,)] == 3


def test_what_fails_there_leaves_with_its_reason() -> None:
    failing = values() | {GENOMES[15].id: (0.0, float("inf"))}
    archive = run(Rungs(failing))
    assert archive[GENOMES[15].id].evaluation.failure == "diverged"
    assert archive[GENOMES[15].id].train_tokens == 0


def test_nobody_is_ranked_there() -> None:
    asked = Rungs(values())
    archive = run(asked, limit=0.955, objectives=("validation_loss", "cache_bytes"))
    trained = {task.genome.id for task in asked.asked if task.steps == 4}
    assert trained == {genome.id for genome in GENOMES[5:]}  # more than half of those brought
    reasons = {archive[genome.id].evaluation.reason for genome in GENOMES[1:5]}
    assert all(reason.startswith("over_budget: forgetful 0.9") for reason in reasons)
    assert asked.counts()[STEPS, (TRAINED,)] == 6  # and rung 4 ranks as ever


def test_rows_of_later_rungs_are_whole_and_a_replay_asks_for_nothing(tmp_path: Path) -> None:
    measured = Measured.of([FORGETFUL])
    content, needed = RECIPE.content("data", measured.content()), ("validation_loss", "forgetful")
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        memory = SearchMemory(ledger, content, RECIPE, measured, "run", True, needed)
        first = run(Rungs(values()), memory=memory)
        again = Rungs(values())
        memory = SearchMemory(ledger, content, RECIPE, measured, "run", True, needed)
        memory.report_damage()
        assert [e.row() for e in run(again, memory=memory).all] == [e.row() for e in first.all]
        assert not again.asked
        # A search without a gate takes its whole trainings for its own.
        whole = [memory.recall(genome, STEPS) for genome in GENOMES]
        known = [evaluation for evaluation in whole if evaluation is not None]
        assert len(known) == 9 and all("forgetful" in e.metrics for e in known)


def test_rows_of_the_gate_are_no_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    measured = Measured.of([FORGETFUL])
    content, needed = RECIPE.content("data", measured.content()), ("validation_loss", "forgetful")
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        memory = SearchMemory(ledger, content, RECIPE, measured, "run", True, needed)
        run(Rungs(values()), memory=memory)
        memory.report_damage()
        assert not caplog.records
        more = SearchMemory(ledger, content, RECIPE, measured, "run", True, (*needed, "perplexity"))
        more.report_damage()
        assert "damaged rows: 16 " in caplog.text  # of the rungs above


def test_gate_and_training_together_are_the_plain_evaluation() -> None:
    text = np.arange(4000, dtype=np.uint8) % 11
    corpus = Corpus(text, text[:900], "test")
    genome = Genome.from_text("11111-51111-71111-91111")
    plain = evaluate(genome, RECIPE, corpus)
    before = evaluate(genome, RECIPE, corpus, 0, costs=(OWN,))
    after = evaluate(genome, RECIPE, corpus, costs=(TRAINED,))
    assert before.train_seconds == 0 and "validation_loss" not in before.metrics
    assert "forgetful" not in after.metrics and before.metrics["forgetful_spread"] == 0.25
    assert {**before.metrics, **after.metrics} == dict(plain.metrics)


def config(*objectives: str, **constraints: float) -> EvolveConfig:
    search = SearchConfig(
        objectives=["validation_loss", *objectives], population=8, generations=3, baselines=[],
        halving=HalvingConfig([0, 4]),
    )  # fmt: skip
    return EvolveConfig(
        depth=2, search=search, training=TrainingConfig(steps=8), constraints=constraints
    )


def test_a_gate_with_nothing_to_measure_says_so() -> None:
    (notice,) = Search.from_config(config("cache_bytes"), MadeUp()).notices
    assert notice.startswith("search.halving.rungs=[0, 4]: nothing is measured at rung 0")
    assert not Search.from_config(config("cache_bytes", FORGETFUL), MadeUp()).notices


def test_a_search_goes_through_such_a_gate() -> None:
    run = Search.from_config(config("cache_bytes"), MadeUp())
    assert list(run.generations()) == [-1, 0, 1, 2] and run.archive.feasible


class Any(MadeUp):
    """A loss and a made-up recall from the genome."""

    def __init__(self) -> None:
        super().__init__(self.measure)

    def measure(self, task: Task) -> Evaluation:
        number = int(former_id(task.genome.id)[:6], 16) / 16**6
        metrics = {"cache_bytes": 1.0, "parameters": 1.0}
        metrics |= {"forgetful": 1 - number} if OWN in task.costs else {}
        metrics |= {"validation_loss": 2 + number / task.steps} if TRAINED in task.costs else {}
        return Evaluation("ok", "", metrics, 0.1)


def test_an_algorithm_goes_on_from_candidates_without_a_loss() -> None:
    search = Search.from_config(config(FORGETFUL, forgetful=0.8), Any())
    assert list(search.generations()) == [-1, 0, 1, 2]
    assert len(search.archive) == 24 and len(search.archive.feasible) == 11
    assert all(e.evaluation.metrics["forgetful"] <= 0.8 for e in search.archive.front())
