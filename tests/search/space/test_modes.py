"""Motif and variable depth, from the settings to what is evaluated."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from star.base.errors import UserError
from star.configuration import EvolveConfig
from star.evaluation import Evaluation, select_objectives
from star.evaluation.ledger import Ledger, recipe_id
from star.evolve import make_plan
from star.genomes import GENES_PER_LIV, Genome, fit_depth
from star.runs.folder import LEDGER, RunFolder
from star.runs.lineage import read_run
from star.search.algorithms.build import build_algorithm
from star.search.archive import Archive
from star.search.config import SearchConfig
from star.search.loop import EvaluationLoop, evaluate_baselines, run_generations
from star.search.memory import SearchMemory
from star.search.space.problem import GenomeProblem, check_modes
from star.search.space.seeds import read_seeds

RECIPE = {"training": {"steps": 1}}
DEPTH, GENERATIONS, POPULATION = 7, 5, 10
TARGETS = {
    "nsga2": "pymoo.algorithms.moo.nsga2.NSGA2",
    "ga": "star.search.algorithms.scalarised.ScalarisedGA",
    "firefly": "star.search.algorithms.firefly.Firefly",
    "random": "star.search.algorithms.random.RandomSearch",
}


def search(
    name: str, seeds: Sequence[str] = (), folder: Path | None = None, **settings: Any
) -> tuple[Archive, list]:
    """A search with made-up objectives; its archive, and what was evaluated, in order."""
    config = SearchConfig(
        {"_target_": TARGETS[name]}, population=POPULATION, generations=GENERATIONS, **settings
    )
    check_search(config)
    check_modes(config, DEPTH)
    problem = GenomeProblem(DEPTH, 2, config.alphabet, config.motif, config.depths)
    genomes, _ = read_seeds(seeds, problem.least_depth, config.alphabet, problem.vector_depth)
    algorithm, duplicates, _ = build_algorithm(config, problem, genomes, 0)
    archive, asked = Archive(select_objectives(["validation_loss", "cache_bytes"])), []

    def evaluate(
        genomes: Sequence[Genome], rung: object = None, /
    ) -> Iterator[tuple[int, Evaluation]]:
        for index, genome in enumerate(genomes):
            asked.append(genome)
            metrics = {
                "validation_loss": int(genome.id[:8], 16) / 16**8,
                "cache_bytes": float(int(genome.id[8:], 16)),
            }
            yield index, Evaluation("ok", "", metrics, 0.1)

    run = RunFolder(folder) if folder else None
    memory = SearchMemory(Ledger(folder / LEDGER), RECIPE, 0, "run", True) if folder else None
    loop = EvaluationLoop(archive, evaluate, 0, run.append if run else lambda _: None, memory)
    evaluate_baselines({"attention": Genome.from_text("-".join(["11111"] * DEPTH))}, loop)
    ids = {problem.architecture(genome).id for genome in genomes}
    for _ in run_generations(algorithm, GENERATIONS, loop, ids, duplicates):
        if run:
            run.write_views(archive)
    return archive, asked


@pytest.mark.parametrize("motif", [1, 3, 7])
@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_motif_is_evaluated_at_full_depth(name: str, motif: int) -> None:
    archive, asked = search(name, motif=motif)
    for genome in asked:
        assert genome.depth == DEPTH and genome.id == fit_depth(fit_depth(genome, motif), DEPTH).id
    assert len({genome.id for genome in asked}) == len(asked) == len(archive)
    if motif > 1:
        assert len(asked) >= 1 + 0.9 * POPULATION * GENERATIONS
    assert all(
        set(e.candidate.parents) <= {known.genome_id for known in archive.all} for e in archive.all
    )


def test_seeds_of_a_motif_are_cut_and_their_origin_is_known() -> None:
    archive, _ = search("nsga2", seeds=["mamba", "11111-91111-11111"], motif=2)
    seeds = [e.candidate.genome for e in archive.all if e.candidate.origin == "seed"]
    assert len(seeds) == 2
    assert fit_depth(Genome.from_text("11111-91111"), DEPTH).id in {genome.id for genome in seeds}


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_depths_vary_between_the_bounds(name: str) -> None:
    archive, asked = search(name, depths=[2, 6], depth_probability=0.5)
    assert {genome.depth for genome in asked[1:]} == set(range(2, 7))
    assert archive.all[0].candidate.genome.depth == DEPTH  # the baseline
    assert len({genome.id for genome in asked}) == len(asked) == 1 + POPULATION * GENERATIONS
    assert all(
        set(e.candidate.parents) <= {known.genome_id for known in archive.all} for e in archive.all
    )


def test_seeds_keep_a_depth_within_the_bounds_and_are_fitted_otherwise() -> None:
    texts = ["91111", "-".join(["91111"] * 5), "-".join(["91111"] * 12)]
    archive, _ = search("nsga2", seeds=texts, depths=[3, 9])
    assert [e.candidate.genome.depth for e in archive.all if e.candidate.origin == "seed"] == [
        3,
        5,
        9,
    ]


def test_variation_is_in_the_population_file_and_the_ledger(tmp_path: Path) -> None:
    archive, _ = search("nsga2", folder=tmp_path / "run", depths=[3, 9], depth_probability=0.5)
    (tmp_path / "run" / "config.yaml").write_text("search:\n  alphabet: star\n")
    run = read_run(tmp_path / "run")
    assert {e.genome_id: e.candidate.variation for e in archive.all} == {
        key: a.variation for key, a in run.items()
    }
    with Ledger(tmp_path / "run" / LEDGER) as ledger:
        records = {
            record.genome_id: record.variation for record in ledger.records(recipe_id(RECIPE))
        }
    assert records == {e.genome_id: e.candidate.variation for e in archive.all}
    made = [ancestor for ancestor in run.values() if ancestor.variation]
    assert made and all(ancestor.origin == "offspring" for ancestor in made)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"motif": 0}, "search.motif=0: expected from 1 to depth=7"),
        ({"motif": 8}, "search.motif=8: expected from 1 to depth=7"),
        ({"depths": [4]}, "search.depths=[4]: expected [least, most]"),
        ({"depths": [0, 4]}, "search.depths=[0, 4]: expected [least, most]"),
        ({"depths": [5, 4]}, "search.depths=[5, 4]: expected [least, most]"),
        ({"depths": [3, 4, 5]}, "search.depths=[3, 4, 5]: expected [least, most]"),
        ({"depths": [3, 4], "motif": 2}, "search.motif=2: not together with search.depths=[3, 4]"),
        (
            {"depths": [3, 4], "depth_probability": 1.5},
            "search.depth_probability=1.5: expected a probability",
        ),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        check_modes(SearchConfig({"_target_": TARGETS["nsga2"]}, **settings), DEPTH)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("override", "vector", "evaluated"),
    [("motif=3", {3}, {4}), ("depths=[2,6]", {6}, {2, 3, 4, 5, 6})],
)
def test_settings_reach_the_search(override: str, vector: set[int], evaluated: set[int]) -> None:
    with initialize_config_module("star.conf", version_base="1.3"):
        overrides = ["scale=cpu", "+experiment=smoke", f"search.{override}", "search.seeds=[mamba]"]
        config = OmegaConf.to_object(compose("evolve", [*overrides, "search.population=60"]))
    assert isinstance(config, EvolveConfig)
    plan = make_plan(config)
    population: Any = plan.algorithm.ask()
    assert {len(individual.X) // GENES_PER_LIV for individual in population} == vector
    assert {plan.problem.genome(individual.X).depth for individual in population} == evaluated
    assert {genome.depth for genome in plan.baselines.values()} == {config.depth}
