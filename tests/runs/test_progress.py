"""What a running search shows, on a terminal and elsewhere."""

import re
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from star.evaluation import Evaluation
from star.evaluation.executors import Task
from star.runs.progress import SearchProgress, TimeLeft
from star.search import EvolveConfig, Search, SearchConfig
from star.search.replication import ReplicationConfig
from star.search.stopping import StopConfig
from tests.search.made_up import MadeUp, hashed

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Clock:
    """Seconds that pass where a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("star.runs.progress.time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_the_time_left_is_that_of_the_trainings_that_are_finished(clock: Clock) -> None:
    left = TimeLeft()
    assert left.text(5) == "left -:--:--"
    clock.now += 40  # as slow ones take, for which there was no estimate
    left.add(40)
    assert left.seconds(5) == 200 and left.text(5) == "left 0:03:20"
    clock.now += 20
    left.add(20)
    assert left.seconds(4) == 120
    for _ in range(30):  # refused, or known: they take no time and tell nothing
        left.add(0)
    assert left.seconds(4) == 120 and left.text(0) == "left 0:00:00"


def test_right_after_a_resume_it_is_known_from_the_trainings_of_before(clock: Clock) -> None:
    left = TimeLeft(at_once=2)
    for _ in range(10):
        clock.now += 0.01
        left.add(60, is_new=False)
    assert left.seconds(114) == 114 * 60 / 2


def test_what_happens_beside_the_training_counts_when_it_has_shown(clock: Clock) -> None:
    left = TimeLeft(at_once=2)
    clock.now += 30  # workers start
    left.add(10)
    assert left.seconds(6) == 6 * 10 / 2
    left.add(10)
    assert left.seconds(6) == 6 * 10 / 2
    clock.now += 30  # two more side by side took thrice as long as they were trained
    left.add(10)
    left.add(10)
    assert left.seconds(6) == 6 * 10 / (4 * 10 / 40)


def test_a_search_says_how_long_the_rest_takes_also_when_it_goes_on(tmp_path: Path) -> None:
    """Candidates of 100 seconds each; those that diverge are no sign of speed."""

    def slow(task: Task) -> Evaluation:
        evaluation = hashed(task)
        return replace(evaluation, train_seconds=100.0) if evaluation.feasible else evaluation

    for evaluations in (5, 9):
        text, _ = shown(tmp_path, True, evaluations, MadeUp(slow))
        seen = re.findall(r"left (\S+)", ESCAPES.sub("", text))
        known = [time for time in seen if time != "-:--:--"]
        assert known and seen[-len(known) :] == known  # known once, known ever after
        assert "0:00:00" not in known


def shown(
    folder: Path,
    terminal: bool,
    evaluations: int | None = None,
    executor: MadeUp | None = None,
    **given: Any,
) -> tuple[str, Search]:
    """What a search of three generations of four and one baseline prints."""
    settings = SearchConfig(
        objectives=["validation_loss", "cache_bytes"],
        population=4,
        generations=3,
        baselines=["transformer_pp"],
        stop=StopConfig(evaluations=evaluations),
        **given,
    )
    config = EvolveConfig(depth=4, run_dir=str(folder), search=settings)
    search, stream = Search.from_config(config, executor or MadeUp()), StringIO()
    with SearchProgress(Console(file=stream, force_terminal=terminal, width=130)) as progress:
        search.run(progress)
    return stream.getvalue(), search


def bar(text: str) -> str:
    """The last state of the bar, without what moves the cursor."""
    return re.split(r"[\r\n]", ESCAPES.sub("", text).strip())[-1]


def test_a_terminal_shows_a_bar_that_ends_full(tmp_path: Path) -> None:
    text, search = shown(tmp_path, terminal=True)
    assert ESCAPES.search(text)
    last = bar(text)
    assert last.startswith("generation 3/3") and "13/13" in last and "left" in last
    archive = search.archive
    assert f"front {len(archive.front())}  hypervolume {archive.hypervolume():.4f}" in last


def test_trainings_with_further_seeds_are_counted_as_they_finish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[tuple[int, int]]()
    show = SearchProgress.further_seeds

    def further_seeds(progress: SearchProgress, finished: int, total: int) -> None:
        told.append((finished, total))
        show(progress, finished, total)

    monkeypatch.setattr(SearchProgress, "further_seeds", further_seeds)
    replication = ReplicationConfig(most=1, uncertain=[0.0, 1.0], first=2)
    text, search = shown(tmp_path, terminal=True, replication=replication)
    begun = sum(finished == 0 for finished, _ in told)
    assert len(told) - begun == sum(e.seeds - 1 for e in search.archive.all) > 0
    last = bar(text)
    assert last.startswith("generation 3/3 ") and "13/13" in last and "0:00:00" in last


def test_each_further_seed_is_told_with_how_many_there_are() -> None:
    stream = StringIO()
    with SearchProgress(Console(file=stream, force_terminal=True, width=130)) as progress:
        progress.started(10, 2, str)
        progress.trained_at_once(1)
        progress.generation_started(1)
        progress.candidate_trained(60, is_new=False)
        progress.candidate_finished()
        progress.further_seeds(1, 4)
    assert "generation 2/2, further seeds 1/4" in (last := bar(stream.getvalue()))
    assert "left 0:12:00" in last  # nine candidates, three trainings of this round


def test_elsewhere_each_generation_is_one_line(tmp_path: Path) -> None:
    text, search = shown(tmp_path, terminal=False)
    archive = search.archive
    lines = text.strip().splitlines()
    assert not ESCAPES.search(text)
    counts = [f"generation {n}/3  {1 + 4 * n}/13 candidates  front " for n in (1, 2, 3)]
    assert [line.startswith(count) for line, count in zip(lines, counts, strict=True)] == [True] * 3
    assert lines[-1].endswith(
        f"front {len(archive.front())}  hypervolume {archive.hypervolume():.4f}"
    )


def test_a_search_that_ends_early_leaves_the_bar_where_it_is(tmp_path: Path) -> None:
    last = bar(shown(tmp_path, terminal=True, evaluations=5)[0])
    assert "5/13" in last and not last.startswith("generation 3/3")


def test_a_resumed_search_counts_what_its_ledger_answers(tmp_path: Path) -> None:
    shown(tmp_path, terminal=True)
    assert "13/13" in bar(shown(tmp_path, terminal=True)[0])
