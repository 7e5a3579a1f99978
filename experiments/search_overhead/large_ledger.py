"""A ledger of 100,000 rows: opening it, look-ups, and a real search that resumes with it; replay of
a long search."""

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from results import Result
from whole_search import run

from star.data import DataConfig
from star.evaluation import CacheSetting, Evaluation, Recipe, select_objectives
from star.evaluation.ledger import Ledger, Record, recipe_content
from star.evaluation.objectives import static_metrics
from star.genomes import ALPHABETS, Genome, ModelConfig, arrays
from star.runs.folder import RunFolder
from star.search.algorithms.build import build_algorithm
from star.search.archive import Archive
from star.search.config import SearchConfig
from star.search.loop import EvaluationLoop, run_generations
from star.search.memory import SearchMemory, open_memory
from star.search.space.problem import GenomeProblem
from star.search.stopping import StopConfig, Stopping
from star.training import TrainingConfig

DEPTH, LOOK_UPS = 24, 5000
RECIPE = Recipe(ModelConfig(), CacheSetting(), TrainingConfig(), DataConfig(), 0)
CONTENT = recipe_content(RECIPE, "0" * 64)
NSGA2 = {"_target_": "pymoo.algorithms.moo.nsga2.NSGA2"}


def made_up(genome: Genome) -> Evaluation:
    """True costs and a loss that is a hash."""
    costs = static_metrics(genome, RECIPE.model, RECIPE.cache)
    loss = 2.0 + int(genome.id, 16) / 16**12
    quality = {"validation_loss": loss, "bits_per_byte": 1.4 * loss, "perplexity": 2.7**loss}
    return Evaluation("ok", "", {**costs, **quality}, 71.25, 1_234_567_890, "NVIDIA H100 80GB HBM3")


def fill(path: Path, rows: int) -> list[str]:
    """A ledger of random genomes with all that a search notes; their ids. The metrics are those of
    the first."""
    genes = arrays.sample(rows + rows // 10, DEPTH, np.random.default_rng(0), ALPHABETS["star"])
    changed = [{"liv": liv, "gene": "strategy", "old": 1, "new": 2} for liv in range(6)]
    variation = {"cuts": [3, 17], "mutated": changed, "repaired": changed[:1]}
    ids: dict[str, int] = {}
    evaluation: Evaluation | None = None
    with Ledger(path) as ledger:
        recipe = ledger.add_recipe(CONTENT)
        ledger._connection.execute("BEGIN")  # one flush to the disk for all of them
        for row in genes:
            genome, number = Genome.from_array(row.reshape(-1), ALPHABETS["star"]), len(ids)
            if genome.id in ids or number == rows:
                continue
            evaluation = evaluation or made_up(genome)
            ids[genome.id] = number
            parents = (genome.id, genome.id) * (number > 16)
            record = Record(
                genome.id, genome.to_text(), "star", 0, evaluation, f"/home/someone/star/runs/{number // 5000}",
                number // 16, "offspring", parents, variation, f"2026-11-21T10:41:46.{number:06}+00:00",
            )  # fmt: skip
            ledger.add(record, recipe)
        ledger._connection.execute("COMMIT")
    return list(ids)


def look_ups(path: Path, ids: Sequence[str]) -> Iterator[Result]:
    study = f"a ledger of {len(ids):,} rows"
    yield Result(study, "size", path.stat().st_size / 1e6, "MB")
    start = time.perf_counter()
    ledger = Ledger(path)
    yield Result(
        study, "opening it, its check for damage included", time.perf_counter() - start, "s"
    )
    start = time.perf_counter()
    assert len(ledger) == len(ids)
    yield Result(study, "counting its rows", time.perf_counter() - start, "s")
    (recipe,) = ledger.recipes()
    random = np.random.default_rng(1)
    for what, asked in (
        ("found", random.choice(ids, LOOK_UPS)),
        ("not found", ["f" * 12] * LOOK_UPS),
    ):
        seconds = []
        for genome_id in asked:
            start = time.perf_counter()
            ledger.get(str(genome_id), recipe, 0, "this run")
            seconds.append(time.perf_counter() - start)
        yield Result(study, f"look-up, {what}: median", 1e3 * statistics.median(seconds), "ms")
        yield Result(
            study,
            f"look-up, {what}: 99th percentile",
            1e3 * float(np.quantile(seconds, 0.99)),
            "ms",
        )
    ledger.close()


def resume(path: Path, rows: int) -> Iterator[Result]:
    """A real search with that ledger, finished, then continued by a generation."""
    study = f"star.evolve resumed with a ledger of {rows:,} rows"
    folder = path.parent / "run"
    search = ("+experiment=smoke", "scale=cpu", "search.baselines=[lfm2]", f"ledger={path}")
    run(folder, *search, "search.generations=6")
    times = run(folder, *search, "search.generations=7")
    yield Result(study, "imports", times["imports"], "s")
    yield Result(study, "from then to the first new training", times["first_training"], "s")


def search_made_up(folder: Path, population_size: int, generations: int) -> tuple[float, float]:
    """A search by the parts of star.evolve, without workers; seconds of wall and of processor
    time."""
    start, processor = time.perf_counter(), time.process_time()
    config = SearchConfig(algorithm=NSGA2, population=population_size, generations=generations)
    algorithm, duplicates, _ = build_algorithm(config, GenomeProblem(DEPTH, 2), [], 0)
    archive, views = (
        Archive(select_objectives(["validation_loss", "cache_bytes"])),
        RunFolder(folder),
    )
    memory: SearchMemory = open_memory("run", folder, RECIPE, "0" * 64)
    memory.ledger._connection.execute("PRAGMA synchronous = OFF")
    stopping = Stopping(StopConfig())

    def evaluate(genomes: Sequence[Genome], *rung: object) -> Iterator[tuple[int, Evaluation]]:
        return ((index, made_up(genome)) for index, genome in enumerate(genomes))

    loop = EvaluationLoop(archive, evaluate, 0, views.append, memory)
    for _ in run_generations(algorithm, generations, loop, set(), duplicates):
        views.update_views(archive)
        stopping.reason(archive)
    views.write_views(archive)
    memory.close()
    assert len(archive) == population_size * generations
    return time.perf_counter() - start, time.process_time() - processor


def replay(folder: Path, evaluations: int) -> Iterator[Result]:
    for size in (16, 250):
        study = f"replay of {evaluations:,} evaluations, depth {DEPTH}, population {size}"
        here = folder / f"replay{size}"
        search_made_up(here, size, evaluations // size)
        wall, processor = search_made_up(here, size, evaluations // size)
        yield Result(study, "wall time, without workers", wall, "s")
        yield Result(study, "processor time", processor, "s")


def measure(rows: int, evaluations: int) -> Iterator[Result]:
    """rows: of the ledger. evaluations: of the search that is replayed."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "ledger.sqlite"
        ids = fill(path, rows)
        yield from look_ups(path, ids)
        yield from resume(path, rows)
        yield from replay(Path(scratch), evaluations)
