"""Static constraints are kept by every proposal, in every space and by every algorithm."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from star.base.errors import UserError
from star.genomes import Genome, ModelConfig, arrays, cache_bytes, get_alphabet
from star.search import EvolveConfig, Search, SearchConfig
from star.search.archive import Archive
from star.search.config import SpaceConfig, VariationConfig
from star.search.space.fitting import Fitting
from tests.search.made_up import MadeUp, static_costs

ALGORITHMS = {
    "nsga2": "pymoo.algorithms.moo.nsga2.NSGA2",
    "ga": "star.search.algorithms.scalarised.ScalarisedGA",
    "firefly": "star.search.algorithms.firefly.Firefly",
    "random": "star.search.algorithms.random.RandomSearch",
}
SPACES: dict[str, dict[str, Any]] = {
    "backbone": {},
    "depths": {"depths": [4, 10]},
    "motif": {"motif": 4},
    "extended": {"alphabet": "extended"},
}
LIMITS: dict[str, dict[str, Any]] = {
    "cache": {"cache_bytes": "64kB"},
    "parameters": {"parameters": "100k"},
    "both": {"cache_bytes": "20kB", "parameters": "150k"},
}


def make(limits: dict[str, Any], algorithm: str = "nsga2", **settings: Any) -> Search:
    space = SpaceConfig(**settings.pop("space", {}))
    given = {
        "objectives": ["validation_loss", "cache_bytes"],
        "population": 12,
        "generations": 4,
        "baselines": [],
        "algorithm": {"_target_": ALGORITHMS[algorithm]},
        **settings,
    }
    search = SearchConfig(space=space, **given)
    return Search.from_config(EvolveConfig(depth=8, search=search, constraints=limits), MadeUp())


def searched(search: Search) -> Archive:
    for _ in search.generations():
        pass
    return search.archive


@pytest.mark.slow
@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_proposal_keeps_the_constraints(algorithm: str, space: str, limits: str) -> None:
    search = make(LIMITS[limits], algorithm, space=SPACES[space])
    archive = searched(search)
    assert "over_budget" not in archive.failures()
    assert len(archive) >= 46  # of 48: nothing is used up
    for evaluated in archive.all:
        costs = static_costs(evaluated.candidate.genome)
        assert not search.budget.violated(costs)
        assert not evaluated.candidate.genome.validate()


def test_operators_that_evolve_keep_them_too() -> None:
    variation = VariationConfig(operator_probability=0.3)
    search = make(LIMITS["both"], variation=variation)
    archive = searched(search)
    assert "over_budget" not in archive.failures() and len(archive) >= 46
    ids = {liv[0] for e in archive.all for liv in e.candidate.genome.livs}
    assert max(ids) > 17  # of operators that the alphabet does not name


def test_without_a_static_constraint_the_search_is_the_same() -> None:
    """A limit that nothing exceeds draws no random numbers, and a loss is no static one."""
    plain = [e.genome_id for e in searched(make({})).all]
    assert [e.genome_id for e in searched(make({"validation_loss": 2.5})).all][:12] == plain[:12]
    search = make({"cache_bytes": "1GB"})
    assert [e.genome_id for e in searched(search).all] == plain
    assert search.built.repair.fitted_genomes == 0


def test_classes_that_cannot_fit_are_named_beforehand_and_not_proposed() -> None:
    """As at width 128: softmax attention has 524,288 bytes at least, at 4,096 positions."""
    search = make({"cache_bytes": "64kB"})
    (notice,) = search.notices
    assert notice.startswith("constraints.cache_bytes=64.0kB: no design with one of these classes")
    attention = Genome.from_text("31111")
    least = cache_bytes(attention, ModelConfig()) / 1e3
    assert f"SA-3 {least:,.1f}kB" in notice and "Rec-1" not in notice and "GMemless" not in notice
    proposed = {c.name for e in searched(search).all for c in e.candidate.genome.classes()}
    assert not {name for name in proposed if name.startswith(("SA-", "GConv-2"))}
    assert {"Rec-1", "GConv-1", "GMemless"} <= proposed
    assert not make({"cache_bytes": "4MB"}).notices


@pytest.mark.slow
@pytest.mark.parametrize(("limits", "depths"), [("cache", []), ("parameters", [2, 4])])
def test_what_is_said_not_to_fit_does_not_and_all_else_does(limits: str, depths: list[int]) -> None:
    """Against many random genomes of few LIVs, where sharing saves a lot."""
    values = {"cache": {"cache_bytes": "600kB"}, "parameters": {"parameters": "21k"}}[limits]
    search = SearchConfig(
        objectives=["validation_loss"], baselines=[], space=SpaceConfig(depths=depths)
    )
    made = Search.from_config(EvolveConfig(depth=3, search=search, constraints=values), MadeUp())
    kept = {liv_class.name for liv_class in made.problem.base.classes}
    rng, alphabet = np.random.default_rng(0), get_alphabet("star")
    assert 0 < len(kept) < len(alphabet.classes)
    seen = set()
    for depth in range(made.problem.least_depth, made.problem.vector_depth + 1):
        for genes in arrays.sample(800, depth, rng, alphabet, 0.8):
            genome = Genome.from_array(genes.reshape(-1))
            if not made.budget.violated(static_costs(genome)):
                seen |= {liv_class.name for liv_class in genome.classes()}
    assert seen <= kept
    assert limits == "parameters" or seen == kept


@pytest.mark.slow
@pytest.mark.parametrize("depths", [[], [2, 5]])
@pytest.mark.parametrize("parameters", ["28k", "35k", "60k"])
def test_any_valid_genome_is_changed_to_a_valid_one_that_fits(
    parameters: str, depths: list[int]
) -> None:
    """At 28k only designs of five LIVs that share nearly everything do."""
    search = SearchConfig(
        objectives=["validation_loss"], baselines=[], space=SpaceConfig(depths=depths)
    )
    config = EvolveConfig(depth=5, search=search, constraints={"parameters": parameters})
    made = Search.from_config(config, MadeUp())
    fitting = Fitting(made.problem, made.budget)
    alphabet, rng = made.problem.alphabet, np.random.default_rng(0)
    for depth in range(made.problem.least_depth, 6):
        livs = np.zeros((40, 5, 5), dtype=np.int64)
        livs[:, :depth] = arrays.sample(40, depth, rng, alphabet, 0.9)
        vectors = livs.reshape(40, -1)
        changed = fitting.fit(vectors, rng)
        kept = all(map(fitting.fits, vectors))
        assert all(map(fitting.fits, changed)) and (depth < 5 or not kept)
        for vector in changed:
            assert not made.problem.genome(vector).validate()


def test_a_limit_below_every_design_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        make({"parameters": 10})
    assert "constraints.parameters=0.0k: no design of 8 LIVs fits, the smallest takes" in str(
        caught.value
    )


def test_a_seed_above_a_constraint_is_changed_and_that_is_said() -> None:
    search = make({"cache_bytes": "64kB"}, seeds=["lfm2", "mamba"])
    lfm2, mamba = search.seeds
    (notice,) = [line for line in search.notices if line.startswith("seed ")]
    assert "cache_bytes 262,912 above 64,000; it starts as " in notice
    assert static_costs(lfm2)["cache_bytes"] <= 64_000 and not lfm2.validate()
    first = searched(search).all[:2]
    assert [(e.candidate.origin, e.genome_id) for e in first] == [
        ("seed", lfm2.id),
        ("seed", mamba.id),
    ]


def test_a_constraint_that_no_change_can_keep_leaves_proposals_to_be_refused() -> None:
    """Of an objective of one's own, which says nothing about single LIVs."""
    own = "tests.search.objectives:Variety"
    search = make({"variety": 9}, also_measure=[own])
    archive = searched(search)
    assert set(archive.failures()) == {"over_budget"} and len(archive) == 48


def test_baselines_above_a_constraint_are_measured_and_not_on_the_front() -> None:
    search = make({"cache_bytes": "64kB"}, baselines=["lfm2", "mamba"])
    archive = searched(search)
    lfm2, mamba = (archive[genome.id] for genome in search.baselines.values())
    assert lfm2.evaluation.reason == "over_budget: cache_bytes 262,912 above 64,000"
    assert lfm2.evaluation.metrics["validation_loss"] > 0 and mamba.evaluation.feasible
    assert lfm2.genome_id not in archive.ranks() and lfm2 not in archive.front()
    assert archive.baselines == [lfm2, mamba]  # which set the hypervolume's reference
    assert not archive.failures()  # they have no constraint to keep


@pytest.mark.slow
def test_the_command_says_what_cannot_fit_and_what_is_above(command: Callable[..., Any]) -> None:
    limits = ("constraints.cache_bytes=64kB", "search.seeds=[transformer_pp]")
    tiny = ("training.steps=1", "search.generations=1", "search.population=3", "run_dir=run")
    result = command("evolve", "+experiment=smoke", "scale=cpu", *tiny, *limits)
    assert result.returncode == 0, result.stderr
    assert "note: constraints.cache_bytes=64.0kB: no design with one of these" in result.stdout
    assert "note: seed SA-1 GMemless SA-1 GMemless: cache_bytes 1,048,576 above" in result.stdout
    table = result.stdout[result.stdout.index("above the constraint:") :]
    assert "\n transformer_pp " in table and "against Transformer++" in result.stdout
    assert "infeasible: none" in result.stdout


def test_changes_to_fit_are_recorded_as_repairs() -> None:
    search = make({"parameters": "100k"})
    changed = [e for e in searched(search).all if "repair" in e.candidate.variation]
    assert changed and search.built.repair.fitted_genomes >= len(changed)


@pytest.mark.slow
def test_a_search_within_constraints_is_resumed_exactly(tmp_path: Path) -> None:
    for folder, generations in (("whole", 4), ("parts", 2), ("parts", 4)):
        search = SearchConfig(
            objectives=["validation_loss", "cache_bytes"],
            population=8,
            generations=generations,
            seeds=["lfm2"],
            baselines=["lfm2", "mamba"],
        )
        config = EvolveConfig(
            depth=8,
            search=search,
            constraints=LIMITS["both"],
            run_dir=str(tmp_path / folder),
        )
        Search.from_config(config, MadeUp()).run()
    for name in ("population.csv", "pareto.csv"):
        whole, parts = ((tmp_path / folder / name).read_text() for folder in ("whole", "parts"))
        assert whole == parts
