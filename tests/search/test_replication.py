"""Adaptive replication: who may or may not be on the front is trained with further seeds."""

import hashlib
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from star.base.command_line import compose_config
from star.base.errors import UserError
from star.evaluation import Evaluation
from star.evaluation.executors import Task
from star.evaluation.ledger import Ledger
from star.evaluation.pareto import pareto_ranks
from star.evaluation.recipe import DEVIATION
from star.evaluation.result import infeasible
from star.genomes import Genome
from star.search import EvolveConfig, Search, SearchConfig
from star.search.evaluating import Repeated
from star.search.replication import ReplicationConfig
from tests.search.made_up import MadeUp, static_costs

SEED, RATES = 7, (0.001, 0.003, 0.01)
NOISE, ALL = 0.2, 0.1  # what chance does to one training, and a seed to all, at the most


def number(*parts: object) -> float:
    """From -1 to 1, another for other parts."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**47 - 1


def hash_of(task: Task) -> int:
    """A whole number, another for other genomes and seeds."""
    return int(10**6 * (1 + number(task.genome.id, task.seed)))


def truth(genome: Genome) -> float:
    return 2.0 + 0.5 * number(genome.id)


def noisy(task: Task) -> Evaluation:
    """A true loss, what the seed does to all, and what chance does to this training."""
    seed = SEED if task.seed is None else task.seed
    loss = truth(task.genome) + ALL * number("all", seed) + NOISE * number(task.genome.id, seed)
    metrics = {**static_costs(task.genome), "validation_loss": loss, "bits_per_byte": 2 * loss}
    return Evaluation("ok", "", {**metrics, "perplexity": 3.0}, 0.5)


def make(folder: Path | None = None, executor: MadeUp | None = None, **settings: Any) -> Search:
    given = {
        "objectives": ["validation_loss", "cache_bytes"],
        "population": 10,
        "generations": 3,
        "baselines": ["transformer_pp"],
        "replication": ReplicationConfig(most=3),
        **settings,
    }
    config = EvolveConfig(seed=SEED, depth=4, search=SearchConfig(**given))
    config.run_dir = None if folder is None else str(folder)
    return Search.from_config(config, executor or MadeUp(noisy))


def finished(search: Search) -> list[Task]:
    """What was asked of the search's executor."""
    for _ in search.generations():
        pass
    assert isinstance(search.executor, MadeUp)
    return search.executor.asked


def test_only_candidates_whose_place_is_uncertain_cost_more() -> None:
    search = make()
    asked = finished(search)
    counts = Counter(task.genome.id for task in asked)
    assert counts.keys() == {e.genome_id for e in search.archive.all}
    assert 0 < sum(count > 1 for count in counts.values()) < 0.7 * len(counts)
    assert max(counts.values()) <= 1 + 3
    for evaluated in search.archive.all:
        seeds = [t.seed for t in asked if t.genome.id == evaluated.genome_id]
        assert seeds == [None, *range(SEED + 1, SEED + evaluated.seeds)]
        assert evaluated.train_tokens == evaluated.seeds * search.config.training.tokens
        assert evaluated.evaluation.train_seconds == 0.5 * evaluated.seeds
    # Who is far behind in the true values is not trained again, once the spread is known.
    values = np.array([[truth(e.candidate.genome), e.evaluation.metrics["cache_bytes"]]
                       for e in search.archive.all])  # fmt: skip
    behind = [
        (values[:, 1] <= row[1]).astype(bool) & (values[:, 0] < row[0] - 3.5 * NOISE)
        for row in values
    ]
    hopeless = [e for e, better in zip(search.archive.all, behind, strict=True) if better.any()]
    assert hopeless and all(e.seeds <= 2 for e in hopeless)


def test_off_it_changes_nothing() -> None:
    off, usual = make(replication=ReplicationConfig()), make(replication=ReplicationConfig(most=0))
    asked = finished(off)
    assert all(task.seed is None for task in asked) and asked == finished(usual)
    assert all(e.seeds == 1 for e in off.archive.all)


def test_metrics_are_means_over_seeds() -> None:
    search = make(replication=ReplicationConfig(most=4, uncertain=[0.0, 1.0], first=8))
    finished(search)
    assert all(e.seeds == 5 for e in search.archive.all)  # all are uncertain by these settings
    for evaluated in search.archive.all:
        trainings = [noisy(Task(evaluated.candidate.genome, 100, seed=SEED + n)) for n in range(5)]
        metrics = evaluated.evaluation.metrics
        assert metrics.keys() == {*trainings[0].metrics, DEVIATION}
        losses = [training.metrics["validation_loss"] for training in trainings]
        assert metrics[DEVIATION] == pytest.approx(np.std(losses, ddof=1))
        for name in trainings[0].metrics:
            assert metrics[name] == pytest.approx(np.mean([t.metrics[name] for t in trainings]))
        for name in static_costs(evaluated.candidate.genome):  # whole numbers stay whole
            assert isinstance(metrics[name], int)


def test_each_round_says_how_far_it_is_and_what_its_trainings_took() -> None:
    search, told = make(), list[Repeated]()
    for _ in search.generations(on_repeated=told.append):
        pass
    rounds = [n for n, one in enumerate(told) if one.finished == 0]
    assert rounds[0] == 0 and len(rounds) > 1
    for first, end in pairwise([*rounds, len(told)]):
        steps = told[first:end]
        assert [one.finished for one in steps] == list(range(steps[0].total + 1))
        assert {(one.total, one.is_new, one.seconds) for one in steps[1:]} == {
            (steps[0].total, True, 0.5)
        }
    assert len(told) - len(rounds) == sum(e.seeds - 1 for e in search.archive.all)


def test_the_learning_rate_is_the_one_chosen_most_often_and_no_mean() -> None:
    def with_rate(task: Task) -> Evaluation:
        found = noisy(task)
        rate = RATES[hash_of(task) % len(RATES)]
        return replace(found, metrics={**found.metrics, "learning_rate": rate})

    search = make(
        executor=MadeUp(with_rate),
        replication=ReplicationConfig(most=3, uncertain=[0.0, 1.0], first=8),
    )
    finished(search)
    for evaluated in search.archive.all:
        genome = evaluated.candidate.genome
        seeds = [None, SEED + 1, SEED + 2, SEED + 3]
        rates = [with_rate(Task(genome, 100, seed=seed)).metrics["learning_rate"] for seed in seeds]
        most = max(map(rates.count, rates))
        expected = next(rate for rate in rates if rates.count(rate) == most)
        assert evaluated.evaluation.metrics["learning_rate"] == expected


@pytest.mark.slow
def test_a_front_of_several_seeds_is_less_lucky_than_one_of_single_trainings() -> None:
    """Luck is how far the front's losses are below the true ones, against all candidates'."""

    def luck(most: int) -> float:
        search = make(replication=ReplicationConfig(most=most), generations=6)
        finished(search)
        errors = {
            e.genome_id: e.evaluation.metrics["validation_loss"] - truth(e.candidate.genome)
            for e in search.archive.all
        }
        front = [errors[e.genome_id] for e in search.archive.front()]
        return float(np.mean(list(errors.values())) - np.mean(front))

    assert luck(0) > 0.05 and luck(8) < luck(0) / 2


def test_parents_have_the_values_that_the_archive_has() -> None:
    search = make()
    for generation in search.generations():
        if generation < 1:
            continue
        parents = search.built.algorithm.pop
        assert parents is not None
        for individual in parents:
            genome = search.problem.genome(individual.X).canonical()
            evaluated = search.archive[genome.id]
            assert list(individual.F) == search.archive.values([evaluated])[0].tolist()
    assert any(e.seeds > 1 for e in search.archive.front())


@pytest.mark.slow
def test_a_search_that_is_interrupted_anywhere_ends_like_one_left_alone(tmp_path: Path) -> None:
    make(tmp_path / "whole").run()
    whole = {n: (tmp_path / "whole" / n).read_bytes() for n in ("population.csv", "pareto.csv")}
    total = 0
    for after in (3, 9, 14, 19, 27, 10**6):
        calls = 0

        def interrupted(task: Task, after: int = after) -> Evaluation:
            nonlocal calls
            calls += 1
            if calls > after:
                raise KeyboardInterrupt
            return noisy(task)

        try:
            make(tmp_path / "cut", MadeUp(interrupted)).run()
        except KeyboardInterrupt:
            calls -= 1
        total += calls
    assert whole == {n: (tmp_path / "cut" / n).read_bytes() for n in whole}
    with Ledger(tmp_path / "cut" / "ledger.sqlite") as ledger:
        (recipe,) = ledger.recipes()
        rows = [(record.genome_id, record.seed) for record in ledger.records(recipe)]
    assert len(rows) == len(set(rows)) == total  # one a training, and none was done twice
    population = pd.read_csv(tmp_path / "cut" / "population.csv")
    assert population["seeds"].sum() == total and set(population["seed"]) == {SEED}
    front = pd.read_csv(tmp_path / "cut" / "pareto.csv")
    values = population[["validation_loss", "cache_bytes"]].to_numpy()
    on_front = population["genome_id"][pareto_ranks(values) == 0]
    assert set(front["genome_id"]) == set(on_front)


def test_who_cannot_be_trained_with_another_seed_is_infeasible() -> None:
    def fragile(task: Task) -> Evaluation:
        if task.seed is not None and sum(task.genome.id.encode()) % 2:
            return infeasible("diverged", "loss is nan at step 3")
        return noisy(task)

    search = make(executor=MadeUp(fragile))
    finished(search)
    failed = [e for e in search.archive.all if not e.evaluation.measured]
    assert failed and all(e.seeds == 2 for e in failed)
    reason = f"diverged: with seed {SEED + 1}: loss is nan at step 3"
    assert {e.evaluation.reason for e in failed} == {reason}
    assert search.archive.front()


def test_a_failure_of_circumstance_leaves_a_candidate_as_it_was() -> None:
    def unlucky(task: Task) -> Evaluation:
        return noisy(task) if task.seed is None else infeasible("timeout", "took too long")

    search = make(executor=MadeUp(unlucky))
    asked = Counter(task.genome.id for task in finished(search))
    assert max(asked.values()) == 2  # not again and again
    assert all(e.seeds == 1 and e.evaluation.measured for e in search.archive.all)


def test_a_constraint_on_what_is_trained_is_one_on_the_mean() -> None:
    search = make()
    finished(search)
    evaluated = next(e for e in search.archive.all if e.seeds > 1)
    limit = evaluated.evaluation.metrics["validation_loss"] - 1e-6
    again = make()
    again.budget = replace(again.budget, limits={"validation_loss": limit})
    finished(again)
    losses = [e.evaluation.metrics["validation_loss"] for e in again.archive.feasible]
    assert all(loss <= limit for loss in losses)


def test_it_is_not_for_those_who_train_everybody_with_several_seeds() -> None:
    config = EvolveConfig(search=SearchConfig(replication=ReplicationConfig(most=2)))
    config.evaluation.seeds = 3
    message = "search.replication.most=2: expected 0 with evaluation.seeds=3, which is the same"
    with pytest.raises(UserError, match=message):
        config.check()


def test_a_table_has_so_many_seeds_and_no_more() -> None:
    given = ["+experiment=tabular", "search.replication.most=2", "search.generations=1"]
    with pytest.raises(UserError, match=r"most=2: expected at most 1, since the table has 2 seeds"):
        Search.from_config(compose_config("evolve", given))


def test_the_last_of_its_seeds_is_one_that_torch_takes() -> None:
    replication = ReplicationConfig(most=2)
    EvolveConfig(seed=2**63 - 3, search=SearchConfig(replication=replication)).check()
    config = EvolveConfig(seed=2**63 - 2, search=SearchConfig(replication=replication))
    with pytest.raises(UserError, match=f"seed={2**63}: expected a whole number"):
        config.check()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"most": -1}, "search.replication.most=-1: expected at least 0"),
        ({"first": 1}, "search.replication.first=1: expected at least 2"),
        ({"uncertain": [0.9, 0.1]}, r"search.replication.uncertain=\[0.9, 0.1\]: expected \[low, "),
        ({"uncertain": [0.5]}, "search.replication.uncertain="),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(replication=ReplicationConfig(**settings))
