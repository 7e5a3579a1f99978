"""Which share of a search's wall time is not training: `timed_search.py` on `cache_frontier`."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from results import Result

from star.evaluation import CacheSetting
from star.evaluation.objectives import static_metrics
from star.genomes import Genome, SearchModelConfig
from star.models import decode

PROGRAM = Path(__file__).with_name("timed_search.py")


def run(folder: Path, *arguments: str) -> dict[str, Any]:
    """Run a search as a program of its own; where its time went."""
    with tempfile.NamedTemporaryFile(suffix=".json") as output:
        command = [sys.executable, str(PROGRAM), output.name, f"run_dir={folder}", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return json.load(output)


def decode_seconds(folder: Path) -> float:
    """To build every model of a run again, and to compute its costs; one after the other on one
    core."""
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    model, cache = SearchModelConfig(**settings["model"]), CacheSetting(**settings["cache"])
    genomes = [Genome.from_text(text) for text in pd.read_csv(folder / "population.csv")["genome"]]
    decode(genomes[0], model.when_trained())
    start = time.perf_counter()
    for genome in genomes:
        static_metrics(genome, model, cache)
        decode(genome, model.when_trained())
    return time.perf_counter() - start


def measure(experiment: str, generations: int | None) -> Iterator[Result]:
    """Run an experiment, or its first generations. Shares are of the wall time of the whole
    command, imports too."""
    study = experiment if generations is None else f"{experiment}, {generations} generations"
    limit = [] if generations is None else [f"search.generations={generations}"]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        times = run(folder, f"+experiment={experiment}", "scale=cpu", *limit)
        decoding = decode_seconds(folder)
        trained = pd.read_csv(folder / "population.csv")["train_seconds"].sum()
    workers, wall = len(times["tasks"]), times["wall"] + times["imports"]
    outside = times["wall"] - sum(times[name] for name in ("plan", "starting", "waiting", "ending"))
    tasks = sum(map(sum, times["tasks"]))
    searching = wall - times["imports"] - times["plan"] - times["starting"] - times["ending"]
    yield Result(study, "wall time", wall, "s")
    yield Result(study, "candidates", sum(map(len, times["tasks"])), "")
    yield Result(study, "workers", workers, "")
    yield Result(
        study, "search and bookkeeping, while the main process was not waiting", outside, "s"
    )
    yield Result(study, "decoding and costs, of all candidates on one core", decoding, "s")
    yield Result(
        study,
        "search, bookkeeping, decoding: share",
        100 * (outside + decoding / workers) / wall,
        "%",
    )
    yield Result(
        study,
        "processor time of the main process: share of a core",
        100 * times["processor"] / wall,
        "%",
    )
    yield Result(study, "start-up: imports", times["imports"], "s")
    yield Result(study, "start-up: settings, rehearsal of the algorithm, text", times["plan"], "s")
    yield Result(
        study, "start-up of the first worker, with its first training", times["tasks"][0][0], "s"
    )
    yield Result(
        study, "training: share of the workers' time", 100 * trained / (workers * searching), "%"
    )
    yield Result(
        study, "workers idle: share of their time", 100 * (1 - tasks / (workers * searching)), "%"
    )
