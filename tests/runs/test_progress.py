"""What a running search shows, on a terminal and elsewhere."""

import re
from io import StringIO
from pathlib import Path

from rich.console import Console

from star.runs.progress import SearchProgress
from star.search import EvolveConfig, Search, SearchConfig
from star.search.stopping import StopConfig
from tests.search.made_up import MadeUp

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def shown(folder: Path, terminal: bool, evaluations: int | None = None) -> tuple[str, Search]:
    """What a search of three generations of four and one baseline prints."""
    settings = SearchConfig(
        objectives=["validation_loss", "cache_bytes"],
        population=4,
        generations=3,
        baselines=["transformer_pp"],
        stop=StopConfig(evaluations=evaluations),
    )
    config = EvolveConfig(depth=4, run_dir=str(folder), search=settings)
    search, stream = Search.from_config(config, MadeUp()), StringIO()
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
