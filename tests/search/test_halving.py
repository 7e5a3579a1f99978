"""Successive halving: who is promoted, what it saves, and that a survivor's training is the plain
one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from star.base.errors import UserError
from star.data import Corpus, DataConfig
from star.evaluation import Evaluation, Measured, Recipe, evaluate
from star.evaluation.constraints import Budget
from star.evaluation.executors import Task
from star.evaluation.ledger import Ledger
from star.evaluation.objectives import select_objectives
from star.evaluation.result import infeasible
from star.evaluation.states import StateStore
from star.genomes import CacheSetting, Genome, ModelConfig
from star.search import EvolveConfig, Search, SearchConfig
from star.search.archive import Archive
from star.search.candidates import BASELINE, RANDOM, Candidate
from star.search.evaluating import EvaluationLoop
from star.search.halving import HalvingConfig, SuccessiveHalving
from star.search.memory import SearchMemory
from star.training import TrainingConfig
from tests.search.made_up import MadeUp

STEPS, TOKENS = 8, 100
GENOMES = [
    Genome.from_text(f"{first}1111-{second}1111") for first in range(1, 9) for second in range(1, 3)
]


RECIPE = Recipe(
    ModelConfig(width=16),
    CacheSetting(),
    TrainingConfig(
        steps=STEPS, batch_size=2, length=16, validation_batches=1, device="cpu", warmup_steps=2
    ),
    DataConfig(),
    seed=3,
)


def halving(keep: float = 0.5) -> SuccessiveHalving:
    return SuccessiveHalving(HalvingConfig([1, 2, 4], keep), STEPS, TOKENS)


def test_the_last_rung_is_the_whole_training() -> None:
    assert HalvingConfig([10, 40]).steps(80) == [10, 40, 80]
    assert HalvingConfig().steps(80) == [80]
    HalvingConfig([1, 7]).check(STEPS)
    HalvingConfig([0]).check(STEPS)
    HalvingConfig().check(STEPS)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            HalvingConfig([-1, 4]),
            r"search.halving.rungs=\[-1, 4\]: expected ascending numbers of steps from 0 to",
        ),
        (HalvingConfig([4, 2]), r"search.halving.rungs=\[4, 2\]: expected ascending"),
        (HalvingConfig([4, 9]), r"rungs=\[4, 9\]: .* training.steps=8, such as \[1,2\], or \[\]"),
        (HalvingConfig([4], 1.0), "search.halving.keep=1.0: expected a share between 0 and 1"),
    ],
)
def test_settings_that_make_no_rungs_are_refused(config: HalvingConfig, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        config.check(STEPS)


@pytest.mark.parametrize(
    ("rungs", "expected"),
    [([0, 1, 1], [0, 1, STEPS]), ([4, STEPS], [4, STEPS]), ([STEPS], [STEPS]), ([], [STEPS])],
)
def test_rungs_that_coincide_are_one(rungs: list[int], expected: list[int]) -> None:
    config = HalvingConfig(rungs)
    config.check(STEPS)
    assert config.steps(STEPS) == expected


def test_the_better_half_by_rank_goes_on() -> None:
    # Ranks 2, 0, 3, 0, 1, 4.
    values = np.array([[3.0, 3.0], [1.0, 2.0], [4.0, 4.0], [2.0, 1.0], [3.0, 2.5], [4.5, 5.0]])
    assert halving().promoted(1, values) == [1, 3, 4]
    assert halving(keep=0.6).promoted(1, values) == [0, 1, 3, 4]
    assert halving().promoted(1, values[:1]) == [0]
    assert halving().promoted(1, values[:0]) == []


def test_extremes_of_a_rank_come_before_its_crowded_middle() -> None:
    values = np.array([[2.0, 2.0], [1.0, 4.0], [4.0, 1.0], [2.1, 1.9]])
    assert halving().promoted(1, values) == [1, 2]


def test_the_rank_is_taken_among_all_that_reached_the_rung() -> None:
    values = np.array([[1.0, 9.0], [2.0, 2.0], [9.0, 1.0], [3.0, 3.0]])
    alone, after = halving(), halving()
    assert alone.promoted(1, values) == [0, 2]
    after.promoted(1, np.array([[0.5, 8.0]]))  # beats the first, which is then of rank 1
    after.promoted(2, np.array([[0.1, 0.1]]))  # is of another rung
    assert after.promoted(1, values) == [1, 2]


class Asked(MadeUp):
    """Made-up losses that fall with the steps, finished in another order than they were asked."""

    def __init__(self, losses: dict[str, float]) -> None:
        super().__init__(order=0)
        self.result, self.losses = self.measure, losses

    def measure(self, task: Task) -> Evaluation:
        """A loss above 100 stands for a training that diverges after its first step."""
        loss = self.losses[task.genome.id]
        if loss > 100 and task.steps > 1:
            return infeasible("diverged", "made up")
        loss += 8.0 / task.steps
        metrics = {"validation_loss": loss, "cache_bytes": 1000.0 * loss, "parameters": 1.0}
        return Evaluation("ok", "", metrics, 0.5)

    def counts(self) -> dict[int, int]:
        """How many candidates were brought to each rung, in order."""
        steps = [task.steps for task in self.asked]
        return {rung: steps.count(rung) for rung in dict.fromkeys(steps)}


def losses() -> dict[str, float]:
    return {genome.id: float(number) for number, genome in enumerate(GENOMES)}


def run(
    asked: Asked, memory: SearchMemory | None = None, states: StateStore | None = None
) -> Archive:
    archive = Archive(select_objectives(["validation_loss", "cache_bytes"]))
    nothing = Budget({}, Measured.of(()), RECIPE)
    with asked as executor:
        loop = EvaluationLoop(
            archive, executor, halving(), nothing, 0, lambda _: None, memory, states
        )
        loop.run([Candidate(GENOMES[0], BASELINE, 0)])
        loop.run([Candidate(genome, RANDOM, 0) for genome in GENOMES[1:]])
    return archive


def test_half_of_the_candidates_leaves_at_each_rung_and_baselines_are_trained_to_the_end() -> None:
    asked = Asked(losses())
    archive = run(asked)
    assert asked.counts() == {8: 3, 1: 15, 2: 8, 4: 4}
    assert [archive[genome.id].evaluation.status for genome in GENOMES] == ["ok"] * 3 + [
        "stopped"
    ] * 13
    assert sum(e.is_stopped for e in archive.all) == 13
    assert len(archive.feasible) == 3 and not archive.failures()
    tokens = [archive[genome.id].train_tokens for genome in GENOMES]
    assert tokens == [800] * 3 + [400] * 2 + [200] * 4 + [100] * 7
    assert archive.train_tokens() == sum(tokens)
    assert archive[GENOMES[-1].id].evaluation.reason == "after 1 of 8 steps, for better ones"
    assert archive[GENOMES[1].id].evaluation.train_seconds == 4 * 0.5  # of all its rungs
    assert {evaluated.genome_id for evaluated in archive.front()} <= {
        genome.id for genome in GENOMES[:3]
    }


def test_what_fails_on_the_way_leaves_with_its_reason_and_takes_no_ones_place() -> None:
    worse = losses() | {GENOMES[1].id: 0.5, GENOMES[2].id: 101.0}
    worse |= {genome.id: 102.0 + number for number, genome in enumerate(GENOMES[4:])}
    archive = run(Asked(worse))
    failed = [genome.id for genome in GENOMES if archive[genome.id].evaluation.failure]
    assert GENOMES[2].id in failed and archive.failures() == {"diverged": len(failed)}
    assert archive[GENOMES[2].id].train_tokens == 100  # of the rung that it was measured at
    assert archive[GENOMES[1].id].evaluation.feasible


@pytest.fixture
def corpus() -> Corpus:
    return Corpus(np.arange(4000, dtype=np.uint8) % 11, np.arange(900, dtype=np.uint8) % 11, "test")


def test_rungs_are_kept_in_the_ledger_beside_the_whole_training(tmp_path: Path) -> None:
    measured = Measured.of(())
    content = RECIPE.content("data", measured.content())
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        memory = SearchMemory(ledger, content, RECIPE, measured, "run", True)
        first = Asked(losses())
        archive = run(first, memory)
        assert len(ledger) == len(first.asked)
        again = Asked(losses())
        repeated = run(again, SearchMemory(ledger, content, RECIPE, measured, "run", True))
        assert not again.asked
        assert [e.row() for e in repeated.all] == [e.row() for e in archive.all]
        # What was trained to the end answers a search without rungs too.
        known = [genome.id for genome in GENOMES if memory.recall(genome, STEPS) is not None]
        assert known == [genome.id for genome in GENOMES[:3]]


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_survivor_ends_exactly_as_the_plain_training(
    tmp_path: Path, corpus: Corpus, schedule: str
) -> None:
    recipe = replace(RECIPE, training=replace(RECIPE.training, schedule=schedule))
    genome = Genome.from_text("11111-51111-71111-91111")
    plain = evaluate(genome, recipe, corpus)
    states = StateStore(str(tmp_path / "states"))
    results = [evaluate(genome, recipe, corpus, steps, states) for steps in (2, 4)]
    assert len(list((tmp_path / "states").iterdir())) == 1
    from_state = evaluate(genome, recipe, corpus, STEPS, states)
    states.clear()  # a search that was killed in between, or another machine's ledger
    from_start = evaluate(genome, recipe, corpus, STEPS, states)
    assert dict(from_state.metrics) == dict(from_start.metrics) == dict(plain.metrics)
    different = {result.metrics["validation_loss"] for result in (plain, *results)}
    assert len(different) == 3


def test_states_live_as_long_as_the_generation(tmp_path: Path) -> None:
    folder, seen = tmp_path / "states", []

    class Leaving(Asked):
        """Leaves a state for each training, as workers do."""

        def measure(self, task: Task) -> Evaluation:
            folder.mkdir(exist_ok=True)
            (folder / f"{task.genome.id}.safetensors").touch()
            seen.append(len(list(folder.iterdir())))
            return super().measure(task)

    run(Leaving(losses()), states=StateStore(str(folder)))  # the first time there is nothing yet
    assert max(seen) > 1 and not folder.exists()


def test_a_search_without_rungs_keeps_no_states(tmp_path: Path) -> None:
    def states_of(rungs: list[int]) -> list[StateStore | None]:
        """What the executor of a search is made with."""
        search = SearchConfig(
            objectives=["validation_loss"],
            population=2,
            generations=1,
            baselines=[],
            halving=HalvingConfig(rungs),
        )
        config, given = EvolveConfig(depth=1, run_dir=str(tmp_path / str(rungs)), search=search), []
        executor = MadeUp()
        made = Search.from_config(config, executor)
        made.executor = None
        config.executor.make = lambda setup: given.append(setup.states) or executor  # type: ignore[method-assign]
        made.run()
        return given

    assert states_of([]) == [None]
    (store,) = states_of([10])
    assert store is not None and store.url == str(tmp_path / "[10]" / "states")
