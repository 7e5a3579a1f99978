"""How large is a report, and how long until a browser has drawn it? Beside plotly's page.

    pip install plotly playwright && apt-get install chromium
    python experiments/report/measure.py

For 300 and for 20,000 made-up candidates: the size of `report.html`, seconds to write it, and
seconds from opening it from disk to the front being drawn and a control being answered (the best of
three). The peer is the page that plotly writes of the same front alone, all points, its script
inline. Writes measurements.csv beside this file.
"""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from playwright.sync_api import sync_playwright

from star.genomes import random_genome
from star.runs.report.content import Content
from star.runs.report.page import make_report, write_page
from star.runs.run import Run
from star.search import EvolveConfig, Search, SearchConfig
from tests.search.made_up import MadeUp

HERE = Path(__file__).parent
COUNTS = (300, 20_000)
REPEATS = 3
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
DRAWN = "#front-chart svg, #front-chart canvas, .js-plotly-plot .main-svg"


def made_up_run(folder: Path, count: int) -> Run:
    """A run of so many random genomes with made-up losses and caches."""
    search = SearchConfig(
        objectives=["validation_loss", "cache_bytes"], population=8, generations=2,
        baselines=["transformer_pp", "lfm2"],
    )  # fmt: skip
    config = EvolveConfig(depth=8, run_dir=str(folder), search=search, report=False)
    run = Search.from_config(config, MadeUp()).run()
    rng, found = np.random.default_rng(0), {}
    while len(found) < count:
        genome = random_genome(8, rng).canonical()
        found.setdefault(genome.id, genome)
    like = run.population[run.population["status"] == "ok"].iloc[[0]]
    many = pd.concat([like] * count, ignore_index=True).assign(
        genome_id=list(found),
        genome=[genome.to_text() for genome in found.values()],
        origin="random",
        validation_loss=2 + rng.random(count),
        cache_bytes=np.exp(rng.normal(12, 2, count)).round(),
        generation=np.arange(count) // max(1, count // 20),
    )
    many.to_csv(folder / "population.csv", index=False)
    return Run.open(folder)


def write_plotly(run: Run, path: Path) -> None:
    """Plotly's page of the front."""
    import plotly.express as px  # pyright: ignore[reportMissingImports]

    frame = run.population
    figure = px.scatter(
        frame, x="cache_bytes", y="validation_loss", color="generation", log_x=True,
        hover_data=["genome_id", "genome"],
    )  # fmt: skip
    figure.write_html(path, include_plotlyjs=True)


def opened(browser: Any, path: Path, answer: Callable[[Any], object]) -> tuple[float, float]:
    """Seconds until the front is drawn, and until a control is answered after that."""
    page = browser.new_page()
    start = time.perf_counter()
    page.goto(path.as_uri())
    page.wait_for_selector(DRAWN)
    drawn = time.perf_counter()
    answer(page)
    answered = time.perf_counter()
    page.close()
    return drawn - start, answered - drawn


def choose_axis(page: Any) -> None:
    """Another axis, until the figure names it."""
    page.locator("#x").select_option("parameters")
    text = "document.querySelector('#front-chart').getAttribute('data-x')"
    page.wait_for_function(f"{text} === 'parameters'")


def choose_mode(page: Any) -> None:
    """Plotly's own button for another mode."""
    page.locator("[data-attr=dragmode][data-val=pan]").first.dispatch_event("click")


def main() -> None:
    """Measure both pages for each count."""
    rows = []
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        chromium = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for count in COUNTS:
            run = made_up_run(Path(temporary) / str(count), count)
            pages = {
                "star": (lambda path, run=run: write_page(make_report([Content(run)]), path),
                         choose_axis),
                "plotly": (lambda path, run=run: write_plotly(run, path), choose_mode),
            }  # fmt: skip
            for name, (write, answer) in pages.items():
                path = run.path / f"{name}.html"
                start = time.perf_counter()
                write(path)
                written = time.perf_counter() - start
                times = [opened(browser, path, answer) for _ in range(REPEATS)]
                drawn, answered = (min(column) for column in zip(*times, strict=True))
                rows.append(
                    {
                        "candidates": count,
                        "page": name,
                        "megabytes": round(path.stat().st_size / 1e6, 2),
                        "written_seconds": round(written, 2),
                        "drawn_seconds": round(drawn, 2),
                        "answered_seconds": round(answered, 2),
                    }
                )
        browser.close()
    table = pd.DataFrame(rows)
    table.to_csv(HERE / "measurements.csv", index=False)
    print(table.to_string(index=False))
    ratios = table[table["page"] == "star"].drop(columns="page").set_index("candidates") / table[
        table["page"] == "plotly"
    ].drop(columns="page").set_index("candidates")
    print("star / plotly\n" + ratios.round(2).to_string())


if __name__ == "__main__":
    main()
