"""The page as a file: whole, small, and blind to what names and reasons would like to be."""

import json
import os
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from star.base.errors import UserError
from star.evaluation.result import infeasible
from star.genomes import Genome
from star.genomes.hybrids import write_hybrid
from star.runs.report import page as pages
from star.runs.report import vega
from star.runs.report.content import Content
from star.runs.report.live import FIGURES, REPORT, LiveReport, refresh
from star.runs.report.page import (
    check_free,
    kept_rows,
    make_report,
    page,
    write_figures,
    write_page,
)
from star.runs.run import Run
from star.search import Search
from tests.mixtures import hybrid_of, mixed
from tests.search.made_up import MadeUp, hashed

Made = Callable[..., tuple[Search, Run]]
HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!-- <script>",
    "<img src=x onerror=alert(1)>",
    "\"'`&amp;",
    "\u202etxt.exe",
    "{{ 7 * 7 }} ${alert(1)}",
]


class Reader(HTMLParser):
    """Elements of a page, and the text of scripts that are data."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.data = ""
        self._is_data = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "action")]
        self._is_data = tag == "script" and given.get("type") == "application/json"

    def handle_endtag(self, tag: str) -> None:
        self._is_data = False

    def handle_data(self, data: str) -> None:
        self.data += data if self._is_data else ""


def read(text: str) -> tuple[Reader, dict[str, Any]]:
    reader = Reader()
    reader.feed(text)
    return reader, json.loads(reader.data)


def hostile(made: Made) -> Run:
    """A run whose failures, folder and data hold what a page must not obey."""
    texts: Iterator[str] = iter(HOSTILE * 10)

    def result(task: Any) -> Any:
        evaluation = hashed(task)
        if evaluation.metrics.get("validation_loss", 3.0) > 2.4:
            return infeasible("diverged", next(texts))
        return evaluation

    return made(MadeUp(result), generations=6)[1]


def test_a_page_needs_nothing_else(made: Made) -> None:
    text = page(make_report([Content(made()[1])]))
    reader, data = read(text)
    assert all(address.startswith("#") for address in reader.addresses)
    assert "default-src 'none'" in text
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", text.split("<script", 1)[0])
    assert data["total"] == len(data["rows"]) > 8
    assert {*data["cards"]} == {row["id"] for row in data["rows"]}
    assert len(text) < 1_500_000


@pytest.mark.slow
def test_hostile_texts_are_texts(made: Made) -> None:
    run = hostile(made)
    content = Content(run, label=HOSTILE[0])
    plain_page = page(make_report([Content(run, label="plain")]))
    text = page(make_report([content]))
    reader, data = read(text)
    assert reader.tags == read(plain_page)[0].tags  # no element more, and none less
    reasons = " ".join(row["reason"] for row in data["rows"])
    assert HOSTILE[0] in reasons and "\\u202etxt.exe" in reasons
    assert "{{ 7 * 7 }} ${alert(1)}" in reasons
    assert "\u202e" not in text.replace(pages._as_script(vega.script()), "")
    assert text.count("</script>") == plain_page.count("</script>")


def test_the_vega_script_ends_no_element() -> None:
    script = pages._as_script(vega.script())
    assert "</script" not in script and "<!--" not in script
    assert script.rstrip().endswith("//end of the bundle")


@pytest.mark.slow
def test_the_script_is_kept_and_a_half_one_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAR_CACHE_DIR", str(tmp_path))
    whole = vega.script.__wrapped__()
    (kept,) = (tmp_path / "report").iterdir()
    assert kept.read_text(encoding="utf-8") == whole
    kept.write_text(whole[: len(whole) // 2], encoding="utf-8")
    assert vega.script.__wrapped__() == whole == kept.read_text(encoding="utf-8")


@pytest.mark.slow
def test_several_runs_are_on_one_page(made: Made, tmp_path: Path) -> None:
    first = made()[1]
    os.rename(first.path, tmp_path / "other")
    other = Run.open(tmp_path / "other")
    second = made(population=6)[1]
    report = make_report([Content(other), Content(second)])
    _, data = read(page(report))
    assert {row["run"] for row in data["rows"]} == {"other", "run"}
    assert [figure["name"] for figure in data["figures"]][:2] == [
        "compare_hypervolume", "compare_end",
    ]  # fmt: skip


def test_many_candidates_are_thinned_but_not_those_that_matter() -> None:
    rows: list[dict[str, Any]] = [
        {
            "id": str(n),
            "state": "front" if n % 1000 == 0 else "trained",
            "origin": "offspring",
            "generation": n // 100,
            "dominated": n // 100,
        }
        for n in range(20_000)
    ]
    rows[7]["origin"], rows[9]["validated_validation_loss"] = "baseline", 1.0
    rows[11]["dominated"] = 3  # until then it was on the front
    places = kept_rows(rows, 300)
    assert len(places) <= 300 and places == sorted({*places})
    assert {*range(0, 20_000, 1000), 7, 9, 11} <= {*places}
    assert max(b - a for a, b in pairwise(places)) < 100
    assert kept_rows(rows[:10], 300) == [*range(10)]


def test_a_page_is_replaced_whole_and_no_other_file_is(made: Made, tmp_path: Path) -> None:
    report = make_report([Content(made()[1])])
    path = tmp_path / "page.html"
    check_free(path)
    write_page(report, path)
    first = path.stat().st_ino
    check_free(path)
    write_page(report, path)
    assert path.stat().st_ino != first and not [*tmp_path.glob(".page.html*")]
    path.write_text("<html>my own page</html>")
    with pytest.raises(UserError, match="is there already and is no report"):
        check_free(path)


@pytest.mark.slow
def test_figures_are_files_of_their_own(made: Made, tmp_path: Path) -> None:
    report = make_report([Content(made()[1])])
    count = write_figures(report, tmp_path / "figures")
    names = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert len(names) == count and {"front", "hypervolume", "motifs"} <= names
    for name in names:
        assert (tmp_path / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
        assert b"<svg" in (tmp_path / f"figures/{name}.svg").read_bytes()
        assert (tmp_path / f"figures/{name}.csv").read_text()


@pytest.mark.slow
def test_without_vl_convert_there_are_plain_pictures(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vega, "is_installed", lambda: False)
    report = make_report([Content(made()[1])])
    text = page(report)
    assert text.count('src="data:image/png;base64,') == 2
    assert "pip install vl-convert-python" in text and "vegaEmbed=" not in text
    write_figures(report, tmp_path / "figures")
    assert (tmp_path / "figures/front.svg").exists() and (tmp_path / "figures/losses.csv").exists()


def test_a_search_leaves_its_page(made: Made) -> None:
    _, run = made()
    text = (run.path / REPORT).read_text(encoding="utf-8")
    _, data = read(text)
    assert not data["running"] and data["total"] == len(run.candidates)
    assert not (run.path / FIGURES).exists()  # it took less than a minute


def test_a_page_that_cannot_be_written_ends_no_search(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("made up")

    monkeypatch.setattr(pages, "make_report", broken)
    with pytest.warns(UserWarning, match="report.html: could not be written") as warned:
        _, run = made()
    assert len(warned) == 1 and len(run.candidates) > 8
    assert not (run.path / REPORT).exists()


def test_pages_of_a_running_search_read_themselves_again(made: Made) -> None:
    _, run = made()
    (run.path / REPORT).unlink()
    live = LiveReport(run.path)
    live.update()
    assert read((run.path / REPORT).read_text())[1]["running"]
    live.finish()
    assert not read((run.path / REPORT).read_text())[1]["running"]


def test_only_a_page_that_is_there_is_refreshed(made: Made) -> None:
    _, run = made()
    path = run.path / REPORT
    before = path.stat().st_ino
    refresh(run.path)
    assert path.stat().st_ino != before
    path.write_text("<html>my own page</html>")
    with pytest.warns(UserWarning, match="is there already and is no report"):
        refresh(run.path)
    assert path.read_text() == "<html>my own page</html>"
    path.unlink()
    refresh(run.path)
    assert not path.exists()


def test_a_mixture_seeds_a_search_that_takes_it(tmp_path: Path) -> None:
    """Recall, which `cache_frontier` asks for, is refused for hybrids."""
    genome = mixed(write_hybrid(tmp_path, hybrid_of("attention", "lfm2")), "Mix-4-0", "Mix-3-1")
    for one, experiment in (
        (genome, "hybrid_frontier"),
        (Genome.from_text("11111-91111"), "cache_frontier"),
    ):
        content: Any = SimpleNamespace(run=SimpleNamespace(path="run"), steps=4)
        candidate: Any = SimpleNamespace(genome_id="a", genome=one)
        commands = dict(pages._commands(content, candidate))
        assert f"+experiment={experiment} " in commands["seed a search"]
