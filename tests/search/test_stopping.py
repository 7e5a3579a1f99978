"""When a search ends before its last generation."""

import pytest

from star.base.errors import UserError
from star.base.settings import parse_duration
from star.evaluation import Evaluation, select_objectives
from star.genomes import Genome
from star.search import EvolveConfig, Search, SearchConfig
from star.search.archive import Archive
from star.search.candidates import Candidate, Evaluated
from star.search.stopping import StopConfig, Stopping
from tests.search.made_up import MadeUp

GENOMES = ["91111", "11111", "71111", "51111", "81111"]


def archive(losses: list[float]) -> Archive:
    result = Archive(select_objectives(["validation_loss", "cache_bytes"]))
    for text, loss in zip(GENOMES, losses, strict=False):
        evaluation = Evaluation(
            "ok", "", {"validation_loss": loss, "cache_bytes": 100.0 / loss}, 1.0
        )
        result.add(Evaluated(Candidate(Genome.from_text(text), "random", 0), evaluation, 0, 1000))
    return result


def reasons(config: StopConfig, *archives: Archive) -> list[str]:
    stopping = Stopping(config)
    return [stopping.reason(a) for a in archives]


def test_nothing_set_never_stops() -> None:
    assert reasons(StopConfig(), archive([2.0, 3.0]), archive([2.0, 3.0])) == ["", ""]


def test_evaluations_and_tokens_are_counted() -> None:
    few, many = archive([2.0, 3.0]), archive([2.0, 3.0, 4.0])
    assert reasons(StopConfig(evaluations=3), few, many) == ["", "search.stop.evaluations=3"]
    assert reasons(StopConfig(training_tokens="3k"), few, many) == [
        "",
        "search.stop.training_tokens=3k",
    ]


def test_patience_ends_a_search_without_gain() -> None:
    same = archive([2.0, 3.0])
    same.fix_reference()
    found = reasons(StopConfig(patience=2), same, same, same)
    assert found == ["", "", "search.stop.patience=2"]


def test_a_gain_begins_the_patience_anew() -> None:
    growing, stopping = archive([2.0, 3.0]), Stopping(StopConfig(patience=2))
    assert [stopping.reason(growing) for _ in range(2)] == ["", ""]
    metrics = {"validation_loss": 1.0, "cache_bytes": 1.0}
    candidate = Candidate(Genome.from_text("61111"), "random", 0)
    growing.add(Evaluated(candidate, Evaluation("ok", "", metrics), 0))
    reasons_after = [stopping.reason(growing) for _ in range(3)]
    assert reasons_after == ["", "", "search.stop.patience=2"]


def test_wall_time_is_measured() -> None:
    assert reasons(StopConfig(wall_time="1h"), archive([2.0])) == [""]
    stopping = Stopping(StopConfig(wall_time=5))
    stopping.started -= 6
    assert stopping.reason(archive([2.0])) == "search.stop.wall_time=5"


def test_a_search_ends_at_the_end_of_a_generation_and_says_why() -> None:
    settings = SearchConfig(
        objectives=["validation_loss"],
        population=4,
        generations=9,
        baselines=[],
        stop=StopConfig(evaluations=6),
    )
    search = Search.from_config(EvolveConfig(search=settings), MadeUp())
    assert list(search.generations()) == [-1, 0, 1]
    assert search.ended_by == "search.stop.evaluations=6" and len(search.archive) == 8


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *((90, 90), ("90", 90), ("90s", 90), ("1.5min", 90), ("1m", 60), ("1m30s", 90)),
        *(("2h", 7200), ("1h30m", 5400), ("1h 30m", 5400), ("1d", 86400), ("1d12h", 129600)),
        *((0.5, 0.5), ("1e3", 1000), ("1e3s", 1000)),
    ],
)
def test_durations_are_read(text: object, seconds: float) -> None:
    assert parse_duration("key", text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        *("", "0", "0h", "-1", "h", "1x", "1h1x", "1h30", "30m1h", "1h1h", "nan", "inf", "1e999"),
        *("9" * 5000 + "!", "1s" * 5000, "٣s", None, True),
    ],
    ids=lambda text: str(text)[:10],
)
def test_other_text_is_no_duration(text: object) -> None:
    with pytest.raises(UserError, match=r"^limits.seconds=(?s:.*): expected a positive number of"):
        parse_duration("limits.seconds", text)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (StopConfig(evaluations=0), "search.stop.evaluations=0: expected at least 1"),
        (StopConfig(patience=0), "search.stop.patience=0: expected at least 1"),
        (
            StopConfig(wall_time="soon"),
            "search.stop.wall_time=soon: expected a positive number of seconds",
        ),
        (StopConfig(wall_time=0), "search.stop.wall_time=0"),
        (StopConfig(training_tokens="many"), "search.stop.training_tokens=many: expected a number"),
    ],
)
def test_bad_settings_are_refused(config: StopConfig, message: str) -> None:
    with pytest.raises(UserError, match=message):
        config.check()
