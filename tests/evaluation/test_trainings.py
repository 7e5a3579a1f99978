"""Trainings of one candidate with several seeds and at several rates: against one at a time."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from star.base.command_line import compose_config
from star.base.errors import UserError
from star.data import Corpus, DataConfig
from star.evaluation import Context, Evaluation, EvaluationConfig, Objective, Recipe, evaluate
from star.evaluation.executors import Task
from star.evaluation.objectives import OWN
from star.evaluation.states import StateStore
from star.evaluation.trainings import averaged
from star.genomes import CacheSetting, Genome, ModelConfig
from star.runs.run import Run
from star.search import Search
from star.training import TrainingConfig
from tests.search.made_up import MadeUp

TEXT = np.frombuffer(b"to be, or not to be: that is the question. " * 60, dtype=np.uint8)
CORPUS = Corpus(TEXT, TEXT, "test")
GENOME = Genome.from_text("11111-91111")
RATES = [1e-5, 3e-2, 1e-3]
RECIPE = Recipe(
    ModelConfig(width=16),
    CacheSetting(),
    TrainingConfig(
        steps=6,
        batch_size=2,
        length=32,
        warmup_steps=2,
        validation_batches=2,
        validation_batch_size=2,
        device="cpu",
    ),
    DataConfig(),
    seed=3,
)
QUALITY = ("validation_loss", "bits_per_byte", "perplexity", "repeat_loss", "late_loss")


class Costly(Objective):
    """As if it trained models of its own."""

    name, cost = "costly", OWN
    seeds: ClassVar[list[int]] = []

    def measure(self, context: Context) -> Mapping[str, float]:
        Costly.seeds.append(context.recipe.seed)
        return {self.name: 1.5}


def at(recipe: Recipe, **training: object) -> Recipe:
    return replace(recipe, training=replace(recipe.training, **training))


def with_seeds(recipe: Recipe, seeds: int) -> Recipe:
    return replace(recipe, evaluation=EvaluationConfig(seeds))


def test_metrics_are_means_over_seeds_with_the_deviation_of_the_loss() -> None:
    ones = [evaluate(GENOME, replace(RECIPE, seed=3 + n), CORPUS).metrics for n in range(3)]
    found = evaluate(GENOME, with_seeds(RECIPE, 3), CORPUS)
    for name in QUALITY:
        assert found.metrics[name] == pytest.approx(statistics.fmean(one[name] for one in ones))
    losses = [one["validation_loss"] for one in ones]
    assert len(set(losses)) == 3
    deviation = found.metrics["validation_loss_deviation"]
    assert deviation == pytest.approx(np.std(losses, ddof=1))
    assert found.metrics["parameters"] == ones[0]["parameters"]
    assert "validation_loss_deviation" not in ones[0]


def test_what_trains_models_of_its_own_is_measured_once() -> None:
    Costly.seeds.clear()
    recipe = replace(with_seeds(RECIPE, 2), objectives=(f"{__name__}:Costly",))
    assert evaluate(GENOME, recipe, CORPUS).metrics["costly"] == 1.5 and Costly.seeds == [3]
    evaluate(GENOME, recipe, CORPUS, costs=(OWN,))
    assert Costly.seeds == [3, 3]


def test_one_seed_that_diverges_makes_the_candidate_infeasible() -> None:
    result = evaluate(GENOME, with_seeds(at(RECIPE, learning_rate=1e30), 2), CORPUS)
    assert result.failure == "diverged"


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_best_rate_is_reported_as_if_it_were_the_only_one(optimizer: str) -> None:
    recipe = at(RECIPE, optimizer=optimizer, learning_rates=RATES)
    found = evaluate(GENOME, recipe, CORPUS).metrics
    rate = found["learning_rate"]
    assert rate in RATES
    alone = evaluate(GENOME, replace(recipe, training=recipe.training.at_rate(rate)), CORPUS)
    assert found == {**alone.metrics, "learning_rate": rate}


def test_the_first_seed_chooses_the_rate_of_the_others() -> None:
    recipe = at(RECIPE, learning_rates=RATES)
    rate = evaluate(GENOME, recipe, CORPUS).metrics["learning_rate"]
    found = evaluate(GENOME, with_seeds(recipe, 2), CORPUS).metrics
    alone = replace(recipe, training=recipe.training.at_rate(rate))
    expected = evaluate(GENOME, with_seeds(alone, 2), CORPUS).metrics
    assert found == {**expected, "learning_rate": rate}


def test_the_rate_of_several_seeds_is_the_one_they_have_to_its_last_bit() -> None:
    for count in range(2, 12):
        found = averaged([{"validation_loss": n, "learning_rate": 0.003} for n in range(count)])
        assert found["learning_rate"] == 0.003 and found["validation_loss"] == (count - 1) / 2


@pytest.mark.parametrize("rate_steps", [None, 3])
def test_every_training_goes_on_from_its_own_state(tmp_path: Path, rate_steps: int | None) -> None:
    recipe = with_seeds(at(RECIPE, learning_rates=RATES, rate_steps=rate_steps), 2)
    states = StateStore(str(tmp_path / "states"))
    for steps in (2, 4, 6):
        part = evaluate(GENOME, recipe, CORPUS, steps, states)
        assert part.metrics == evaluate(GENOME, recipe, CORPUS, steps).metrics
    names = {path.stem.removeprefix(GENOME.id) for path in (tmp_path / "states").iterdir()}
    assert {f"_rate{n}" for n in range(3)} < names  # and those of the second seed
    assert all(name.replace("_", "").isalnum() for name in names if name)


def test_keys_of_seeds_and_rates() -> None:
    def content(recipe: Recipe) -> object:
        return recipe.content("f00d", {})

    assert content(with_seeds(RECIPE, 1)) == content(RECIPE)
    others = [
        with_seeds(RECIPE, 2),
        at(RECIPE, learning_rates=RATES),
        at(RECIPE, learning_rates=RATES, rate_steps=2),
        at(RECIPE, validation_length=64),
    ]
    assert len({str(content(recipe)) for recipe in (RECIPE, *others)}) == 5
    assert content(at(RECIPE, validation_length=32)) == content(RECIPE)  # as in training


def test_the_gap_between_the_windows_and_the_cache_is_said_where_there_is_one() -> None:
    note = replace(at(RECIPE, validation_length=64), cache=CacheSetting(context=4096)).length_note()
    assert "windows of 64 tokens, after training on 32, " in note
    assert "counted at 4,096 positions" in note and "memory of more than 32 positions" in note
    assert replace(RECIPE, cache=CacheSetting(context=32)).length_note() == ""
    shorter = replace(at(RECIPE, validation_length=8), cache=CacheSetting(context=32))
    assert "memory of more than 8 positions" in shorter.length_note()


class Trained(MadeUp):
    """Really trains, in this process."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe

    def evaluate(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Evaluation]]:
        self.asked += tasks
        for index, task in enumerate(tasks):
            yield index, evaluate(task.genome, self.recipe, CORPUS, task.steps)


def searched(folder: Path, *overrides: str) -> tuple[Run, Trained]:
    """A search of two baselines and two candidates."""
    given = (
        *("+experiment=smoke", "scale=cpu", "depth=2", "width=16", "search.generations=1"),
        *("search.population=2", "search.baselines=[lfm2,mamba]", "search.halving.rungs=[]"),
        *("training.steps=3", "training.length=32", "training.validation_batches=2"),
        *("training.validation_batch_size=2", "training.device=cpu", f"run_dir={folder}"),
    )
    search = Search.from_config(compose_config("evolve", [*given, *overrides]))
    search.executor = executor = Trained(search.recipe)
    return search.run(), executor


@pytest.mark.slow
def test_what_is_recorded_has_columns_and_a_resumed_run_finds_it(tmp_path: Path) -> None:
    given = ("evaluation.seeds=2", "training.learning_rates=[0.001,0.01]")
    run, _ = searched(tmp_path / "run", *given)
    assert run.metrics[:5] == QUALITY and run.metrics[-2:] == (
        *("learning_rate", "validation_loss_deviation"),
    )
    measured = run.population[run.population["status"] == "ok"]
    assert set(measured["learning_rate"]) <= {0.001, 0.01}
    assert (measured["seeds"] == 2).all()
    assert (measured["validation_loss_deviation"] > 0).all() and (measured["late_loss"] > 0).all()
    rows = run.population.to_csv()
    again, executor = searched(tmp_path / "run", *given)
    assert not executor.asked and again.population.to_csv() == rows


def test_losses_of_repeats_can_be_minimised_and_limited(tmp_path: Path) -> None:
    given = ("search.objectives=[repeat_loss,cache_bytes]", "constraints.late_loss=100")
    run, executor = searched(tmp_path / "run", *given)
    assert set(executor.recipe.objectives) == {"repeat_loss", "late_loss"}
    front = run.front.sort_values("cache_bytes")
    assert front["repeat_loss"].is_monotonic_decreasing


def test_a_table_has_no_such_losses_and_one_seed() -> None:
    for given, message in {
        "search.objectives=[repeat_loss]": r"search.objectives=\['repeat_loss'\]: expected what a",
        "constraints.late_loss=3": r"search.objectives=\['late_loss'\]: expected what a table",
        "evaluation.seeds=2": "evaluation.seeds=2: expected 1 with executor=table",
        "training.learning_rates=[0.001,0.01]": "made by another recipe",
    }.items():
        with pytest.raises(UserError, match=message):
            Search.from_config(compose_config("evolve", ["+experiment=tabular", given]))


def test_several_seeds_for_all_and_further_ones_for_some_are_one_too_many() -> None:
    given = ["+experiment=smoke", "evaluation.seeds=2", "search.replication.most=1"]
    with pytest.raises(UserError, match=r"replication.most=1: expected 0 with evaluation.seeds=2"):
        Search.from_config(compose_config("evolve", given))


@pytest.mark.parametrize("seeds", [0, 1001])
def test_a_number_of_seeds_that_cannot_be_is_refused(seeds: int) -> None:
    with pytest.raises(UserError, match=f"evaluation.seeds={seeds}: expected at"):
        with_seeds(RECIPE, seeds).check()
