"""Which share of a search's wall time is not training: `timed_search.py` on `cache_frontier`."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from results import Result

from star.base.command_line import compose_config
from star.models import decode
from star.runs.run import Run
from star.search.recipe import make_recipe

PROGRAM = Path(__file__).with_name("timed_search.py")


def run(folder: Path, *overrides: str) -> dict[str, Any]:
    """Run a search as a program of its own; where its time went, `imports` of the program too."""
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    with tempfile.NamedTemporaryFile(suffix=".json") as output:
        command = [sys.executable, str(PROGRAM), output.name, f"run_dir={folder}", *overrides]
        start = time.time()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        times = json.load(output)
    return {**times, "imports": times["began"] - start}


def decode_seconds(run: Run, overrides: Sequence[str]) -> float:
    """To build every model of a run again, and to compute its costs; one after the other on one
    core."""
    measured, recipe = make_recipe(compose_config("evolve", overrides))
    genomes = [candidate.genome for candidate in run.candidates.values()]
    decode(genomes[0], recipe.trained_model)
    start = time.perf_counter()
    for genome in genomes:
        measured.measure_static(genome, recipe)
        decode(genome, recipe.trained_model)
    return time.perf_counter() - start


def measure(experiment: str, generations: int | None) -> Iterator[Result]:
    """Run an experiment, or its first generations. Shares are of the wall time of the whole
    program, imports too."""
    study = experiment if generations is None else f"{experiment}, {generations} generations"
    limit = [] if generations is None else [f"search.generations={generations}"]
    overrides = (f"+experiment={experiment}", "scale=cpu", *limit)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        times = run(folder, *overrides)
        finished = Run.open(folder)
        decoding = decode_seconds(finished, overrides)
        trained = finished.population["train_seconds"].sum()
    workers, wall = times["workers"], times["wall"] + times["imports"]
    outside = times["wall"] - sum(times[name] for name in ("plan", "starting", "waiting", "ending"))
    searching = workers * (times["wall"] - times["plan"] - times["starting"] - times["ending"])
    share = 100 * (outside + decoding / workers) / wall
    processor = 100 * times["processor"] / wall
    rows = (
        ("wall time", wall, "s"),
        ("candidates", times["candidates"], ""),
        ("workers", workers, ""),
        ("search and bookkeeping, while the main process was not waiting", outside, "s"),
        ("decoding and costs, of all candidates on one core", decoding, "s"),
        ("search, bookkeeping, decoding: share", share, "%"),
        ("processor time of the main process: share of a core", processor, "%"),
        ("start-up: imports", times["imports"], "s"),
        ("start-up: settings, rehearsal of the algorithm, text", times["plan"], "s"),
        ("start-up of the first worker, with its first training", times["first_result"], "s"),
        ("training: share of the workers' time", 100 * trained / searching, "%"),
        ("workers idle: share of their time", 100 * (1 - times["working"] / searching), "%"),
    )
    for quantity, value, unit in rows:
        yield Result(study, quantity, value, unit)
