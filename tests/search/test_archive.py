"""The archive: ranks, the front over the whole run and its order, the hypervolume."""

from collections.abc import Mapping

import numpy as np

from star.evaluation import Context, Evaluation, Objective, select_objectives
from star.evaluation.objectives import STATIC
from star.genomes import Genome
from star.search.archive import Archive
from star.search.candidates import BASELINE, RANDOM, Candidate, Evaluated


class Speed(Objective):
    """Made up, the more the better."""

    name, cost, maximised = "speed", STATIC, True

    def measure(self, context: Context) -> Mapping[str, float]:
        return {}


def evaluated(number: int, origin: str = RANDOM, **metrics: float) -> Evaluated:
    """A candidate whose genome depends on a number from 1 to 9."""
    candidate = Candidate(Genome.from_text(f"{number}1111"), origin, 0)
    return Evaluated(candidate, Evaluation("ok", "", metrics), 0)


def front(archive: Archive, name: str) -> list[float]:
    return [candidate.evaluation.metrics[name] for candidate in archive.front()]


def test_the_front_of_an_archive_that_grows_is_that_of_all_its_candidates() -> None:
    """It is kept from call to call, and a candidate may take the place of another."""
    rng = np.random.default_rng(0)
    archive = Archive(select_objectives(["validation_loss", "cache_bytes"]))
    for number in [*range(1, 10), 3, 5, 1]:
        loss, cache = rng.random(2)
        archive.add(evaluated(number, validation_loss=loss, cache_bytes=cache))
        ranks = archive.ranks()
        expected = {genome_id for genome_id, rank in ranks.items() if rank == 0}
        assert {candidate.genome_id for candidate in archive.front()} == expected
    assert len(archive) == 9


def test_the_front_is_in_order_of_its_static_objectives_then_of_the_others() -> None:
    archive = Archive(select_objectives(["validation_loss", "cache_bytes", "parameters"]))
    rows = [(1.0, 30, 5), (2.0, 10, 9), (3.0, 10, 8), (0.5, 30, 9), (4.0, 10, 8)]
    for number, (loss, cache, parameters) in enumerate(rows, start=1):
        metrics = {"validation_loss": loss, "cache_bytes": cache, "parameters": parameters}
        archive.add(evaluated(number, **metrics))
    assert front(archive, "cache_bytes") == [10, 10, 30, 30]
    assert front(archive, "parameters") == [8, 9, 5, 9]
    assert front(archive, "validation_loss") == [3.0, 2.0, 1.0, 0.5]
    swapped = Archive(select_objectives(["parameters", "cache_bytes", "validation_loss"]))
    for candidate in archive.all:
        swapped.add(candidate)
    assert front(swapped, "parameters") == [5, 8, 9, 9]
    assert front(swapped, "cache_bytes") == [30, 10, 10, 30]


def test_a_maximised_objective_is_better_the_larger() -> None:
    archive = Archive([*select_objectives(["validation_loss"]), Speed()])
    archive.add(evaluated(1, BASELINE, validation_loss=2.0, speed=10.0))
    before = archive.hypervolume()
    archive.add(evaluated(2, validation_loss=2.0, speed=9.0))  # dominated
    assert archive.hypervolume() == before
    archive.add(evaluated(3, validation_loss=2.0, speed=12.0))
    assert archive.hypervolume() > before
    archive.add(evaluated(4, validation_loss=1.0, speed=11.0))
    assert front(archive, "speed") == [12.0, 11.0]  # static, the best first
    assert archive.ranks()[Genome.from_text("21111").id] == 2
