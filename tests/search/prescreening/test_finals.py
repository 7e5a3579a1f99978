"""Promotion by predicted ends: it learns that short trainings mislead, or stands back."""

import pytest

from star.base.errors import UserError
from star.evaluation import Evaluation
from star.evaluation.executors import Task
from star.genomes import Genome
from star.search import EvolveConfig, Search, SearchConfig
from star.search.halving import HalvingConfig
from star.training import TrainingConfig
from tests.search.made_up import MadeUp, static_costs
from tests.search.prescreening.test_prescreen import late_attention

STEPS, RUNG = 40, 10


def search(promote: str, misleads: bool, generations: int = 8) -> tuple[Search, MadeUp]:
    """Losses at the rung are the opposite of the final ones, or their like."""

    def measure(task: Task) -> Evaluation:
        end = late_attention(task.genome)
        early = 6 - end if misleads else end + 1
        loss = early if task.steps == RUNG else end
        metrics = {**static_costs(task.genome), "validation_loss": loss}
        return Evaluation("ok", "", metrics, 0.1)

    settings = SearchConfig(
        objectives=["validation_loss"], population=12, generations=generations, baselines=[],
        halving=HalvingConfig([RUNG], promote=promote),
        algorithm={"_target_": "star.search.algorithms.random.RandomSearch"},
    )  # fmt: skip
    made = MadeUp(measure)
    config = EvolveConfig(depth=5, search=settings, training=TrainingConfig(steps=STEPS))
    found = Search.from_config(config, made)
    for _ in found.generations():
        pass
    return found, made


def ends(found: Search, after: int) -> list[float]:
    """Final losses of those that were trained to the end in later generations."""
    late = [e for e in found.archive.feasible if e.candidate.generation > after]
    return [e.evaluation.metrics["validation_loss"] for e in late]


def proposed(made: MadeUp) -> list[Genome]:
    return [task.genome for task in made.asked if task.steps == RUNG]


def test_predicted_ends_promote_what_a_short_training_misjudges() -> None:
    ranked, by_rank = search("rank", misleads=True)
    predicted, by_prediction = search("predicted", misleads=True)
    assert proposed(by_rank) == proposed(by_prediction)  # random search: the same candidates
    worse, better = (sum(ends(s, 3)) / len(ends(s, 3)) for s in (ranked, predicted))
    everyone = [late_attention(genome) for genome in proposed(by_rank)]
    assert better < sum(everyone) / len(everyone) < worse


def test_it_changes_nothing_where_the_rung_ranks_as_the_end_does() -> None:
    ranked, predicted = (search(promote, misleads=False)[0] for promote in ("rank", "predicted"))
    assert [e.row() for e in ranked.archive.all] == [e.row() for e in predicted.archive.all]


def test_it_waits_until_enough_were_trained_to_the_end() -> None:
    ranked, predicted = (search(promote, True, 3)[0] for promote in ("rank", "predicted"))
    assert [e.row() for e in ranked.archive.all] == [e.row() for e in predicted.archive.all]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (HalvingConfig([10], promote="luck"), "promote=luck: expected one of rank, predicted"),
        (HalvingConfig([], promote="predicted"), "promote=predicted: expected rank; there is no"),
        (HalvingConfig([0], promote="predicted"), "promote=predicted: expected rank; there is no"),
    ],
)
def test_settings_that_cannot_predict_are_refused(config: HalvingConfig, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        config.check(STEPS)
