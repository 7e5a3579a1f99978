"""`limits.seconds=auto`: what hangs is ended, and nothing that only takes long."""

import pytest

from star.evaluation import Evaluation, LimitsConfig
from star.evaluation.executors import Task, patience
from star.evaluation.executors.patience import FACTOR, LEAST, LONGEST_LOOK, Patience
from star.genomes import Genome

GENOME = Genome.from_text("11111-91111")
DONE = Evaluation("ok", "", {"validation_loss": 1.0})


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(patience.time, "monotonic", lambda: self.now)

    def pass_by(self, watch: Patience, seconds: float) -> list[object]:
        """Look as often as an executor does; gives the keys that were ended."""
        ended: list[object] = []
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + LONGEST_LOOK / 2, end)
            ended += [key for key, _ in watch.overdue()]
        return ended


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def finish(watch: Patience, clock: Clock, seconds: float, steps: int = 10) -> None:
    watch.begin("finished", Task(GENOME, steps))
    assert clock.pass_by(watch, seconds) == []
    watch.end("finished", DONE)


def test_what_takes_many_times_the_slowest_is_ended(clock: Clock) -> None:
    watch = Patience(LimitsConfig())
    finish(watch, clock, 5)
    finish(watch, clock, 100)
    watch.begin("hung", Task(GENOME, 10))
    assert clock.pass_by(watch, FACTOR * 100 - 10) == []
    assert clock.pass_by(watch, 20) == ["hung"]
    assert clock.pass_by(watch, 10**5) == []  # once


def test_short_trainings_have_minutes(clock: Clock) -> None:
    watch = Patience(LimitsConfig())
    finish(watch, clock, 0.5)
    watch.begin("slow", Task(GENOME, 10))
    assert clock.pass_by(watch, LEAST - 10) == []
    assert clock.pass_by(watch, 20) == ["slow"]


def test_a_higher_rung_may_take_longer_in_proportion(clock: Clock) -> None:
    watch = Patience(LimitsConfig())
    finish(watch, clock, 100, steps=10)
    watch.begin("long", Task(GENOME, 80))
    assert clock.pass_by(watch, 8 * FACTOR * 100 - 10) == []
    assert clock.pass_by(watch, 20) == ["long"]
    watch.begin("short", Task(GENOME, 1))  # fixed costs: no less than the slowest
    assert clock.pass_by(watch, FACTOR * 100 - 10) == []


def test_what_comes_before_training_has_no_steps_to_be_in_proportion_to(clock: Clock) -> None:
    watch = Patience(LimitsConfig())
    finish(watch, clock, 100, steps=0)
    watch.begin("before training", Task(GENOME, 0))
    assert clock.pass_by(watch, FACTOR * 100 + 10) == ["before training"]
    watch.begin("trained", Task(GENOME, 10))
    assert clock.pass_by(watch, 10 * FACTOR * 100 - 10) == []
    assert clock.pass_by(watch, 20) == ["trained"]


def test_before_anything_has_finished_it_says_so_once_and_ends_nothing(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Patience(LimitsConfig())
    watch.begin("first", Task(GENOME, 10))
    watch.begin("second", Task(GENOME, 10))
    assert clock.pass_by(watch, 100 * LEAST) == []
    assert len(caplog.records) == 1 and "no evaluation has finished in 60" in caplog.text


def test_the_time_in_which_the_search_itself_was_stopped_does_not_count(clock: Clock) -> None:
    watch = Patience(LimitsConfig())
    finish(watch, clock, 1)
    watch.begin("stopped too", Task(GENOME, 10))
    clock.now += 10**6
    assert watch.overdue() == []


def test_failures_say_nothing_about_how_long_a_training_takes(clock: Clock) -> None:
    watch = Patience(LimitsConfig())
    watch.begin("failed", Task(GENOME, 10))
    clock.pass_by(watch, 1)
    watch.end("failed", Evaluation("infeasible", "build_error: made up"))
    watch.begin("next", Task(GENOME, 10))
    assert clock.pass_by(watch, 10**4) == []


@pytest.mark.parametrize("seconds", [None, 5, "1h"])
def test_another_limit_is_not_its_business(clock: Clock, seconds: object) -> None:
    watch = Patience(LimitsConfig(seconds=seconds))
    finish(watch, clock, 1)
    watch.begin("hung", Task(GENOME, 10))
    assert clock.pass_by(watch, 10**4) == []


@pytest.mark.parametrize(
    ("given", "fixed"), [("auto", None), (None, None), (3, 3.0), ("1m", 60.0), ("1h30m", 5400.0)]
)
def test_a_limit_is_a_duration(given: object, fixed: float | None) -> None:
    assert LimitsConfig(seconds=given).fixed_seconds() == fixed
