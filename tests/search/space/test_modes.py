"""Motif and variable depth, from the settings to what is evaluated."""

from pathlib import Path
from typing import Any

import pytest

from star.base.command_line import compose_config
from star.base.errors import UserError
from star.evaluation import Evaluation
from star.evaluation.executors import Task
from star.evaluation.ledger import Ledger
from star.genomes import GENES_PER_LIV, Genome, fit_depth, former_id
from star.runs.run import Run
from star.search import EvolveConfig, Search, SearchConfig
from star.search.archive import Archive
from star.search.config import SpaceConfig, VariationConfig
from tests.search.made_up import MadeUp

DEPTH, GENERATIONS, POPULATION = 7, 5, 10
TARGETS = {
    "nsga2": "pymoo.algorithms.moo.nsga2.NSGA2",
    "ga": "star.search.algorithms.scalarised.ScalarisedGA",
    "firefly": "star.search.algorithms.firefly.Firefly",
    "random": "star.search.algorithms.random.RandomSearch",
}


def measure(task: Task) -> Evaluation:
    """Two objectives from the hash of the genome."""
    digits = former_id(task.genome.id)
    loss, cache = int(digits[:8], 16), int(digits[8:], 16)
    metrics = {"validation_loss": loss / 16**8, "cache_bytes": float(cache), "parameters": 1.0}
    return Evaluation("ok", "", metrics, 0.1)


def make(name: str, *seeds: str, depth_probability: float = 0.1, **space: Any) -> Search:
    """A search with made-up objectives beside one baseline.

    Args:
        name: of the algorithm.
        seeds: names and texts.
        depth_probability: of the variation.
        space: settings of the space.
    """
    settings = SearchConfig(
        objectives=["validation_loss", "cache_bytes"],
        algorithm={"_target_": TARGETS[name]},
        population=POPULATION,
        generations=GENERATIONS,
        seeds=list(seeds),
        baselines=["-".join(["11111"] * DEPTH)],  # which any motif can be repeated to
        space=SpaceConfig(**space),
        variation=VariationConfig(depth_probability=depth_probability),
    )
    return Search.from_config(EvolveConfig(depth=DEPTH, search=settings), MadeUp(measure))


def evolved(search: Search) -> tuple[Archive, list[Genome]]:
    """What a finished search found, and what was evaluated, in order."""
    for _ in search.generations():
        pass
    assert isinstance(search.executor, MadeUp)
    return search.archive, search.executor.genomes


@pytest.mark.parametrize("motif", [1, 3, 7])
@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_motif_is_evaluated_at_full_depth(name: str, motif: int) -> None:
    archive, asked = evolved(make(name, motif=motif))
    for genome in asked:
        assert genome.depth == DEPTH and genome.id == fit_depth(fit_depth(genome, motif), DEPTH).id
    assert len({genome.id for genome in asked}) == len(asked) == len(archive)
    if motif > 1:
        assert len(asked) >= 1 + 0.9 * POPULATION * GENERATIONS
    assert all(
        set(e.candidate.parents) <= {known.genome_id for known in archive.all} for e in archive.all
    )


def test_seeds_of_a_motif_are_cut_and_their_origin_is_known() -> None:
    archive, _ = evolved(make("nsga2", "mamba", "11111-91111-11111", motif=2))
    seeds = [e.candidate.genome for e in archive.all if e.candidate.origin == "seed"]
    assert len(seeds) == 2
    assert fit_depth(Genome.from_text("11111-91111"), DEPTH).id in {genome.id for genome in seeds}


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_depths_vary_between_the_bounds(name: str) -> None:
    archive, asked = evolved(make(name, depths=[2, 6], depth_probability=0.5))
    assert {genome.depth for genome in asked[1:]} == set(range(2, 7))
    assert archive.all[0].candidate.genome.depth == DEPTH  # the baseline
    assert len({genome.id for genome in asked}) == len(asked) == 1 + POPULATION * GENERATIONS
    assert all(
        set(e.candidate.parents) <= {known.genome_id for known in archive.all} for e in archive.all
    )


def test_seeds_keep_a_depth_within_the_bounds_and_are_fitted_otherwise() -> None:
    texts = ["91111", "-".join(["91111"] * 5), "-".join(["91111"] * 12)]
    archive, _ = evolved(make("nsga2", *texts, depths=[3, 9]))
    assert [e.candidate.genome.depth for e in archive.all if e.candidate.origin == "seed"] == [
        3,
        5,
        9,
    ]


def test_variation_is_in_the_population_file_and_the_ledger(tmp_path: Path) -> None:
    search = make("nsga2", depths=[3, 9], depth_probability=0.5)
    search.config.run_dir = str(tmp_path)
    run = search.run()
    made_by = {e.genome_id: e.candidate.variation for e in search.archive.all}
    assert {key: found.variation for key, found in run.candidates.items()} == made_by
    with Ledger(Run.open(tmp_path).ledger_path) as ledger:
        (recipe,) = ledger.recipes()
        records = {record.genome_id: record.variation for record in ledger.records(recipe)}
    assert records == made_by
    varied = [found for found in run.candidates.values() if found.variation]
    assert varied and all(found.origin == "offspring" for found in varied)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"motif": 0}, "search.space.motif=0: expected from 1 to depth=7"),
        ({"motif": 8}, "search.space.motif=8: expected from 1 to depth=7"),
        ({"depths": [4]}, "search.space.depths=[4]: expected [least, most]"),
        ({"depths": [0, 4]}, "search.space.depths=[0, 4]: expected [least, most]"),
        ({"depths": [5, 4]}, "search.space.depths=[5, 4]: expected [least, most]"),
        ({"depths": [3, 4, 5]}, "search.space.depths=[3, 4, 5]: expected [least, most]"),
        (
            {"depths": [3, 4], "motif": 2},
            "search.space.motif=2: not together with search.space.depths=[3, 4]",
        ),
        (
            {"depths": [3, 4], "depth_probability": 1.5},
            "search.variation.depth_probability=1.5: expected a probability",
        ),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        make("nsga2", **settings)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("override", "vector", "evaluated"),
    [("motif=3", {3}, {4}), ("depths=[2,6]", {6}, {2, 3, 4, 5, 6})],
)
def test_settings_reach_the_search(override: str, vector: set[int], evaluated: set[int]) -> None:
    overrides = [f"search.space.{override}", "search.seeds=[mamba]", "search.population=60"]
    config = compose_config("evolve", ["+experiment=smoke", "scale=cpu", *overrides])
    search = Search.from_config(config, MadeUp())
    population: Any = search.built.ask()
    assert {len(individual.X) // GENES_PER_LIV for individual in population} == vector
    assert {search.problem.genome(individual.X).depth for individual in population} == evaluated
    assert {genome.depth for genome in search.baselines.values()} == {config.depth}
