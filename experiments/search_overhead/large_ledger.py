"""A ledger of 100,000 rows: opening it, look-ups, and a real search that resumes with it; replay of
a long search."""

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from results import Result
from whole_search import run

from star.base.command_line import compose_config
from star.evaluation import Evaluation
from star.evaluation.executors import Task
from star.evaluation.ledger import Ledger, Record
from star.genomes import ALPHABETS, Genome, arrays, former_id
from star.search import Search
from star.search.recipe import make_recipe

DEPTH, LOOK_UPS = 24, 5000
SETTINGS = (
    "scale=cpu",
    f"depth={DEPTH}",
    "search.objectives=[validation_loss,cache_bytes]",
    "search.baselines=[]",
)
MEASURED, RECIPE = make_recipe(compose_config("evolve", SETTINGS))
CONTENT = RECIPE.content("0" * 64, MEASURED.content())


def made_up(genome: Genome) -> Evaluation:
    """True costs and a loss that is a hash."""
    costs = MEASURED.measure_static(genome, RECIPE)
    loss = 2.0 + int(former_id(genome.id), 16) / 16**12
    quality = {"validation_loss": loss, "bits_per_byte": 1.4 * loss, "perplexity": 2.7**loss}
    return Evaluation("ok", "", {**costs, **quality}, 71.25, 1_234_567_890, "NVIDIA H100 80GB HBM3")


class MadeUp:
    """An executor that trains nothing."""

    def __enter__(self) -> "MadeUp":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def evaluate(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Evaluation]]:
        """As `star.evaluation.executors.Executor`."""
        return ((index, made_up(task.genome)) for index, task in enumerate(tasks))


def without_flushes(ledger: Ledger) -> None:
    """Rows are added without waiting for the disk: nobody minds when this ledger is lost."""
    ledger._connection.execute("PRAGMA synchronous = OFF")


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
        without_flushes(ledger)
        for row in genes:
            genome, number = Genome.from_array(row.reshape(-1), ALPHABETS["star"]), len(ids)
            if genome.id in ids or number == rows:
                continue
            evaluation = evaluation or made_up(genome)
            ids[genome.id] = number
            parents = (genome.id, genome.id) * (number > 16)
            folder = f"/home/someone/star/runs/{number // 5000}"
            finished = f"2026-11-21T10:41:46.{number:06}+00:00"
            record = Record(
                genome.id, genome.to_text(), "star", 0, evaluation, folder, number // 16,
                "offspring", parents, variation, finished,
            )  # fmt: skip
            ledger.add(record, recipe)
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
    """A search of `star.evolve` without workers; seconds of wall and of processor time."""
    size = (f"search.population={population_size}", f"search.generations={generations}")
    config = compose_config("evolve", [*SETTINGS, *size, f"run_dir={folder}"])
    start, processor = time.perf_counter(), time.process_time()
    search = Search.from_config(config, MadeUp())
    opened = search.open()
    without_flushes(opened.memory.ledger)
    opened.run()
    assert len(search.archive) == population_size * generations
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
