"""The page in a real browser: what it shows, what hovering, clicking and typing do, and that no
request leaves it. Chromium is driven by Playwright; without it these tests skip themselves."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from star.evaluation.result import infeasible
from star.genomes import random_genome
from star.runs.report.content import Content
from star.runs.report.page import make_report, write_page
from star.runs.run import Run
from star.search import EvolveConfig, Search, SearchConfig
from tests.search.made_up import MadeUp, hashed

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>\u202e"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield made
        made.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    def result(task: Any) -> Any:
        evaluation = hashed(task)
        if evaluation.metrics.get("validation_loss", 3.0) > 2.8:
            return infeasible("diverged", HOSTILE)
        return evaluation

    search = SearchConfig(
        objectives=["validation_loss", "cache_bytes"], population=10, generations=5,
        baselines=["transformer_pp", "lfm2"],
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("run")
    config = EvolveConfig(depth=6, run_dir=str(folder), search=search)
    return Search.from_config(config, MadeUp(result)).run()


@pytest.fixture
def opened(browser: Any, run: Run) -> Iterator[Callable[..., Any]]:
    """Opens a page of the run; afterwards it must have been quiet and asked for nothing."""
    contexts, noise = [], []

    def opens(width: int = 1280, path: Path | None = None, **settings: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, **settings)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: noise.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: noise.append(str(error)))
        page.on("request", lambda request: noise.append(request.url)
                if not request.url.startswith(("file:", "blob:", "data:")) else None)  # fmt: skip
        page.goto((path or run.path / "report.html").as_uri())
        page.wait_for_selector("#front-chart svg, #front-chart canvas")
        return page

    yield opens
    for context in contexts:
        context.close()
    assert noise == []


def test_it_fits_and_draws_everything(opened: Callable[..., Any]) -> None:
    for width in (1280, 400):
        for scheme in ("light", "dark"):
            page = opened(width, color_scheme=scheme)
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.locator(".chart svg").count() == page.locator(".chart").count()
            assert page.evaluate("document.documentElement.dataset.theme") == scheme


def test_hostile_reasons_are_text(opened: Callable[..., Any]) -> None:
    page = opened()
    page.locator("#infeasible").check()
    page.locator("#shown").select_option("all")
    chosen = page.locator("#designs tr", has_text="infeasible").first
    chosen.locator(".open").click()
    assert "<script>window.hacked=1</script>" in page.locator("#card-facts").inner_text()
    assert "\\u202e" in page.locator("#card-facts").inner_text()
    assert page.evaluate("window.hacked") is None


def test_axes_colours_and_filters(opened: Callable[..., Any], run: Run) -> None:
    page = opened()
    chart = page.locator("#front-chart")
    assert "cache bytes" in chart.inner_text() and "validation loss" in chart.inner_text()
    page.locator("#x").select_option("parameters")
    page.wait_for_function(
        "document.querySelector('#front-chart').textContent.includes('parameters')"
    )
    page.locator("#colour").select_option("generation")
    page.wait_for_function(
        "document.querySelector('#front-chart').textContent.includes('generation')"
    )
    assert "x=parameters" in page.url and "colour=generation" in page.url
    feasible = sum(c.status == "ok" for c in run.candidates.values())
    assert page.locator("#front-caption").inner_text().startswith(f"{feasible} designs")


def test_the_slider_goes_back_in_time(opened: Callable[..., Any], run: Run) -> None:
    page = opened()
    page.locator("#generation").evaluate(
        "(slider) => { slider.value = 0; slider.dispatchEvent(new Event('input')); }"
    )
    first = sum(c.status == "ok" and c.generation == 0 for c in run.candidates.values())
    text = f"{first} designs"
    page.wait_for_function(
        f"document.querySelector('#front-caption').textContent.startsWith('{text}')"
    )
    assert page.locator("#generation-value").inner_text() == "0"


def test_a_click_and_a_key_open_the_card(opened: Callable[..., Any], run: Run) -> None:
    page = opened()
    point = page.locator("#front-chart g.mark-symbol.role-mark path").first
    box = point.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("#vg-tooltip-element.visible")
    assert "composition" in page.locator("#vg-tooltip-element").inner_text()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert page.locator("#card").is_visible()
    shown = page.locator("#card-title").inner_text().split(" · ")[-1]
    assert page.locator("#card-genome").inner_text() == run.candidates[shown].genome.to_text()
    page.wait_for_selector("#card-chart svg")
    page.keyboard.press("Escape")
    assert page.locator("#card").is_hidden()
    page.locator("#designs .open").nth(1).focus()
    page.keyboard.press("Enter")
    assert page.locator("#card").is_visible()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.className") == "open"


def test_a_child_leads_to_its_parents(opened: Callable[..., Any], run: Run) -> None:
    child = next(c for c in run.candidates.values() if c.parents)
    page = opened()
    page.evaluate("(id) => { location.hash = `card=${id}`; location.reload(); }", child.genome_id)
    page.wait_for_selector("#card:not([hidden])")
    page.locator("#card-parents button").first.click()
    assert page.locator("#card-title").inner_text().split(" · ")[-1] == child.parents[0]


def test_copy_takes_the_genome(opened: Callable[..., Any]) -> None:
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    page.locator("#designs .open").first.click()
    page.locator("[data-copy=card-genome]").click()
    page.wait_for_function("document.querySelector('#status').textContent === 'copied'")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.locator("#card-genome").inner_text()


def test_tables_are_sorted(opened: Callable[..., Any]) -> None:
    page = opened()

    def column() -> list[float]:
        place = page.locator("#designs thead th").all_inner_texts().index("parameters")
        cells = page.locator(f"#designs tbody td:nth-child({place + 1})").all_inner_texts()
        return [float(cell.replace(",", "")) for cell in cells if cell]  # what failed has none

    button = page.locator("#designs thead button", has_text="parameters")
    button.click()
    assert column() == sorted(column()) and len({*column()}) > 2
    button = page.locator("#designs thead button", has_text="parameters")
    button.click()
    assert column() == sorted(column(), reverse=True)


def test_data_can_be_saved(opened: Callable[..., Any]) -> None:
    page = opened(accept_downloads=True)
    for name, kind, start in (("front", "CSV", b"id,"), ("hypervolume", "SVG", b"<svg")):
        with page.expect_download() as download:
            page.locator(f".actions[data-figure={name}] button", has_text=kind).click()
        assert Path(download.value.path()).read_bytes().startswith(start)


def test_an_address_may_say_anything(opened: Callable[..., Any], run: Run) -> None:
    page = opened()
    nonsense = "x=__proto__&y=constructor&colour=toString&generation=abc&sort=a%20b&card=__proto__"
    page.evaluate(f"() => {{ location.hash = '{nonsense}&shown=no&theme=no'; location.reload(); }}")
    page.wait_for_selector("#front-chart svg")
    assert page.locator("#x").input_value() == "cache_bytes"
    assert page.locator("#card").is_hidden()


def test_links_keep_what_was_chosen(opened: Callable[..., Any]) -> None:
    page = opened()
    page.locator("#y").select_option("parameters")
    page.locator("nav a", has_text="Motifs").click()
    assert "y=parameters" in page.url
    assert page.evaluate("document.activeElement.id") == "motifs"


def test_dark_and_light(opened: Callable[..., Any]) -> None:
    page = opened(color_scheme="light")
    page.locator("#theme").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_several_runs_keep_their_cards_apart(
    opened: Callable[..., Any], run: Run, tmp_path: Path
) -> None:
    """The same design has another loss in another run."""
    shutil.copytree(run.path, tmp_path / "other")
    frame = pd.read_csv(tmp_path / "other" / "population.csv")
    frame["validation_loss"] += 1
    frame.to_csv(tmp_path / "other" / "population.csv", index=False)
    other = Run.open(tmp_path / "other")
    path = tmp_path / "both.html"
    write_page(make_report([Content(run, "one"), Content(other, "other")]), path)
    page = opened(path=path)
    assert page.locator("#colour").input_value() == "run"
    shown = {}
    for label in ("one", "other"):
        row = page.locator("#designs tr", has_text="LFM2").filter(has_text=label)
        row.locator(".open").click()
        text = page.locator("#card-metrics tr", has_text="validation loss (").inner_text()
        shown[label] = float(text.split()[-1])
        assert label in page.locator("#card-facts").inner_text()
        page.keyboard.press("Escape")
    assert shown["other"] - shown["one"] == pytest.approx(1, abs=2e-3)


def test_a_running_search_reloads_and_keeps_what_was_chosen(
    opened: Callable[..., Any], run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "live.html"
    write_page(make_report([Content(run)]), path, is_running=True)
    path.write_text(path.read_text().replace('"refresh":5', '"refresh":1'))
    page = opened(path=path)
    page.locator("#y").select_option("parameters")
    page.evaluate("window.before = true")
    page.wait_for_function("window.before === undefined", timeout=10_000)
    page.wait_for_selector("#front-chart svg")
    assert page.locator("#y").input_value() == "parameters"


def test_thousands_of_candidates_are_thinned(
    opened: Callable[..., Any], run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "many"
    shutil.copytree(run.path, folder)
    rng = np.random.default_rng(0)
    genomes = (random_genome(6, rng).canonical() for _ in range(5_000))
    unique = list({genome.id: genome for genome in genomes}.values())[:4_000]
    like = run.population[run.population["status"] == "ok"].iloc[[0]]
    many = pd.concat([like] * len(unique), ignore_index=True).assign(
        genome_id=[genome.id for genome in unique],
        genome=[genome.to_text() for genome in unique],
        origin="random",
        validation_loss=rng.random(len(unique)) + 2,
        cache_bytes=np.exp(rng.normal(12, 2, len(unique))).round(),
        generation=np.arange(len(unique)) // 40,
    )
    many.to_csv(folder / "population.csv", index=False)
    write_page(make_report([Content(Run.open(folder))]), folder / "report.html")
    assert (folder / "report.html").stat().st_size < 5_000_000
    page = opened(path=folder / "report.html")
    assert "of 4,000 candidates" in page.locator("#thinned").inner_text()


def test_three_hundred_candidates_are_small(opened: Callable[..., Any], tmp_path: Path) -> None:
    search = SearchConfig(
        objectives=["validation_loss", "cache_bytes"], population=30, generations=10,
        baselines=["transformer_pp"],
    )  # fmt: skip
    config = EvolveConfig(depth=12, run_dir=str(tmp_path / "run"), search=search)
    made = Search.from_config(config, MadeUp()).run()
    assert len(made.candidates) > 290
    path = made.path / "report.html"
    write_page(make_report([Content(made)]), path)
    assert path.stat().st_size < 2_000_000
    page = opened(path=path)
    page.locator("#designs .open").first.click()
    assert page.locator("#card").is_visible()
    data = json.loads(page.locator("#data").inner_text())
    assert len(data["rows"]) == len(made.candidates)
