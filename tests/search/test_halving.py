"""Successive halving: who is promoted, what it saves, and that a survivor's training is the plain
one."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from star.base.errors import UserError
from star.data import Corpus, DataConfig
from star.evaluation import CacheSetting, Evaluation, Recipe, select_objectives
from star.evaluation.evaluate import evaluate, infeasible
from star.evaluation.ledger import Ledger, recipe_content
from star.evaluation.rungs import Rung
from star.genomes import Genome, ModelConfig
from star.search.archive import Archive
from star.search.candidates import BASELINE, RANDOM, Candidate
from star.search.halving import HalvingConfig, SuccessiveHalving
from star.search.loop import EvaluationLoop
from star.search.memory import SearchMemory
from star.training import TrainingConfig

STEPS, TOKENS = 8, 100
GENOMES = [
    Genome.from_text(f"{first}1111-{second}1111") for first in range(1, 9) for second in range(1, 3)
]


def halving(keep: float = 0.5, states: Path | None = None) -> SuccessiveHalving:
    return SuccessiveHalving(HalvingConfig([1, 2, 4], keep), STEPS, TOKENS, states)


def test_the_last_rung_is_the_whole_training() -> None:
    assert HalvingConfig([10, 40]).steps(80) == [10, 40, 80]
    assert HalvingConfig().steps(80) == [80]
    HalvingConfig([1, 7]).check(STEPS)
    HalvingConfig().check(STEPS)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            HalvingConfig([0, 4]),
            r"search.halving.rungs=\[0, 4\]: expected ascending numbers of steps between 0 and",
        ),
        (HalvingConfig([4, 4]), r"search.halving.rungs=\[4, 4\]: expected ascending"),
        (HalvingConfig([4, 8]), r"rungs=\[4, 8\]: .* training.steps=8, such as \[1,2\], or \[\]"),
        (HalvingConfig([4], 1.0), "search.halving.keep=1.0: expected a share between 0 and 1"),
    ],
)
def test_settings_that_make_no_rungs_are_refused(config: HalvingConfig, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        config.check(STEPS)


def test_the_better_half_by_rank_goes_on() -> None:
    # Ranks 2, 0, 3, 0, 1, 4.
    values = np.array([[3.0, 3.0], [1.0, 2.0], [4.0, 4.0], [2.0, 1.0], [3.0, 2.5], [4.5, 5.0]])
    assert halving().promoted(Rung(1), values) == [1, 3, 4]
    assert halving(keep=0.6).promoted(Rung(1), values) == [0, 1, 3, 4]
    assert halving().promoted(Rung(1), values[:1]) == [0]
    assert halving().promoted(Rung(1), values[:0]) == []


def test_extremes_of_a_rank_come_before_its_crowded_middle() -> None:
    values = np.array([[2.0, 2.0], [1.0, 4.0], [4.0, 1.0], [2.1, 1.9]])
    assert halving().promoted(Rung(1), values) == [1, 2]


def test_the_rank_is_taken_among_all_that_reached_the_rung() -> None:
    values = np.array([[1.0, 9.0], [2.0, 2.0], [9.0, 1.0], [3.0, 3.0]])
    alone, after = halving(), halving()
    assert alone.promoted(Rung(1), values) == [0, 2]
    after.promoted(Rung(1), np.array([[0.5, 8.0]]))  # beats the first, which is then of rank 1
    after.promoted(Rung(2), np.array([[0.1, 0.1]]))  # is of another rung
    assert after.promoted(Rung(1), values) == [1, 2]


class Asked:
    """An evaluation whose loss falls with the steps; counts what it was asked, by steps."""

    def __init__(self, losses: dict[str, float]) -> None:
        self.losses = losses
        self.asked: dict[int, list[str]] = {}

    def __call__(
        self, genomes: Sequence[Genome], rung: Rung | None = None, /
    ) -> Iterator[tuple[int, Evaluation]]:
        steps = STEPS if rung is None else rung.steps
        for index, genome in reversed(list(enumerate(genomes))):
            self.asked.setdefault(steps, []).append(genome.id)
            loss = self.losses[genome.id] + 8.0 / steps
            failed = self.losses[genome.id] > 100 and steps > 1
            metrics = {"validation_loss": loss, "cache_bytes": 1000.0 * loss}
            yield (
                index,
                infeasible("diverged", "made up") if failed else Evaluation("ok", "", metrics, 0.5),
            )


def losses() -> dict[str, float]:
    return {genome.id: float(number) for number, genome in enumerate(GENOMES)}


def run(asked: Asked, memory: SearchMemory | None = None, states: Path | None = None) -> Archive:
    archive = Archive(select_objectives(["validation_loss", "cache_bytes"]))
    loop = EvaluationLoop(
        archive,
        asked,
        0,
        lambda _: None,
        memory,
        tokens=TOKENS * STEPS,
        halving=halving(states=states),
    )
    loop.run([Candidate(GENOMES[0], BASELINE, 0)])
    loop.run([Candidate(genome, RANDOM, 0) for genome in GENOMES[1:]])
    return archive


def test_half_of_the_candidates_leaves_at_each_rung_and_baselines_are_trained_to_the_end() -> None:
    asked = Asked(losses())
    archive = run(asked)
    assert {steps: len(ids) for steps, ids in asked.asked.items()} == {8: 3, 1: 15, 2: 8, 4: 4}
    assert [archive[genome.id].evaluation.status for genome in GENOMES] == ["ok"] * 3 + [
        "stopped"
    ] * 13
    assert archive.stopped() == 13 and len(archive.feasible) == 3 and not archive.failures()
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
def recipe() -> Recipe:
    training = TrainingConfig(
        steps=STEPS, batch_size=2, length=16, validation_batches=1, device="cpu", warmup_steps=2
    )
    return Recipe(ModelConfig(width=16), CacheSetting(), training, DataConfig(), seed=3)


@pytest.fixture
def corpus() -> Corpus:
    return Corpus(np.arange(4000, dtype=np.uint8) % 11, np.arange(900, dtype=np.uint8) % 11, "test")


def test_rungs_are_kept_in_the_ledger_beside_the_whole_training(
    tmp_path: Path, recipe: Recipe
) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        content = recipe_content(recipe, "data")
        first = Asked(losses())
        archive = run(first, SearchMemory(ledger, content, 0, "run", True))
        assert len(ledger) == sum(map(len, first.asked.values()))
        again = Asked(losses())
        repeated = run(again, SearchMemory(ledger, content, 0, "run", True))
        assert not again.asked
        assert [e.row() for e in repeated.all] == [e.row() for e in archive.all]
        # What was trained to the end answers a search without rungs too.
        plain = SearchMemory(ledger, content, 0, "run", True)
        known = [genome.id for genome in GENOMES if plain.recall(genome) is not None]
        assert known == [genome.id for genome in GENOMES[:3]]


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_survivor_ends_exactly_as_the_plain_training(
    tmp_path: Path, recipe: Recipe, corpus: Corpus, schedule: str
) -> None:
    recipe.training.schedule = schedule
    genome = Genome.from_text("11111-51111-71111-91111")
    plain = evaluate(genome, recipe, corpus)
    states = tmp_path / "states"
    results = [evaluate(genome, recipe, corpus, Rung(steps, states)) for steps in (2, 4)]
    assert len(list(states.iterdir())) == 1
    from_state = evaluate(genome, recipe, corpus, Rung(STEPS, states))
    for path in states.iterdir():
        path.unlink()  # a search that was killed in between, or another machine's ledger
    from_start = evaluate(genome, recipe, corpus, Rung(STEPS, states))
    assert dict(from_state.metrics) == dict(from_start.metrics) == dict(plain.metrics)
    assert (
        len({plain.metrics["validation_loss"], *(r.metrics["validation_loss"] for r in results)})
        == 3
    )


def test_states_live_as_long_as_the_generation(tmp_path: Path) -> None:
    climbing = halving(states=tmp_path / "states")
    climbing.forget_states()  # nothing there yet
    (tmp_path / "states").mkdir()
    (tmp_path / "states" / "x.safetensors").touch()
    climbing.forget_states()
    assert not (tmp_path / "states").exists()
