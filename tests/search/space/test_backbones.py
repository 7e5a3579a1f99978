"""Searches that vary where norms stand and how much LIVs add: `search.space.backbone_genes`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pymoo.core.population import Population

from star.base.errors import UserError
from star.genomes import Genome, GenomeError, ModelConfig, arrays
from star.genomes.backbone import representatives
from star.runs.columns import TIMING_COLUMNS
from star.runs.lineage import Lineage
from star.runs.run import Run
from star.search import EvolveConfig, Search, SearchConfig
from star.search.config import SpaceConfig, VariationConfig
from star.search.prescreening.build import features_of
from star.search.prescreening.config import PrescreenConfig
from star.search.space.backbones import BackboneValues, backbones_of
from star.search.space.ids import ids
from star.search.space.problem import GenomeProblem
from star.search.space.seeds import read_seeds
from star.search.variation.crossover import LivCrossover
from star.search.variation.gene_mutation import GeneMutation
from star.search.variation.operator_mutation import OperatorMutation
from star.search.variation.sampling import GenomeRepair, GenomeSampling
from star.search.variation.sharing_mutation import SharingMutation
from tests.mixtures import hybrid_of, written
from tests.search.made_up import MadeUp, static_costs

USUAL = representatives(ModelConfig(), 8)
NSGA2 = "pymoo.algorithms.moo.nsga2.NSGA2"
FIREFLY = "star.search.algorithms.firefly.Firefly"
ATTENTION, FEED_FORWARD = "11111", "91111"


def config(run_dir: Path | None = None, **given: Any) -> EvolveConfig:
    space = SpaceConfig(**{"backbone_genes": True, **given.pop("space", {})})
    top = {name: given.pop(name) for name in ("constraints", "model", "depth") if name in given}
    settings = {
        "objectives": ["validation_loss", "cache_bytes"], "population": 10, "generations": 4,
        "baselines": [], **given,
    }  # fmt: skip
    search = SearchConfig(space=space, **settings)
    folder = str(run_dir) if run_dir else None
    return EvolveConfig(**{"depth": 4, "run_dir": folder, "search": search, **top})


def problem(depths: Sequence[int] = (), model: ModelConfig | None = None) -> GenomeProblem:
    backbone = representatives(model or ModelConfig(), 8)
    return GenomeProblem(8, 2, depths=depths, backbone=backbone)


def sample(space: GenomeProblem, count: int, seed: int = 0) -> Population:
    return GenomeSampling().do(space, count, random_state=np.random.default_rng(seed))


def vectors(population: Population) -> np.ndarray:
    return np.stack([individual.X for individual in population])


def test_a_vector_is_its_genome_again() -> None:
    for space in (problem(), problem([2, 8])):
        for individual in sample(space, 30):
            genome = space.genome(individual.X)
            assert (space.vector(genome) == individual.X).all()
            assert ids([individual], space.alphabet) == [genome.id]
            assert (space.xl <= individual.X).all() and (space.xu >= individual.X).all()


def test_random_genomes_have_all_values_alike() -> None:
    drawn = backbones_of(vectors(sample(problem(), 900)))
    for gene in drawn.T:
        values, counts = np.unique(gene, return_counts=True)
        assert values.tolist() == [1, 3, 4]  # 2 is what the sizes say
        assert abs(counts - 300).max() < 75


@pytest.mark.parametrize("rate", [0.0, 0.1, 1.0])
def test_they_mutate_as_often_as_any_gene(rate: float) -> None:
    """To another value each time; an operator that changes LIVs leaves them."""
    space, rng = problem(), np.random.default_rng(1)
    before = vectors(sample(space, 400))
    mutated = vectors(GeneMutation(rate).do(space, Population.new(X=before), random_state=rng))
    changed = backbones_of(mutated) != backbones_of(before)
    assert abs(changed.mean() - rate) < 0.05
    for present in (1, 3, 4):
        others = backbones_of(mutated)[changed & (backbones_of(before) == present)]
        assert set(others.tolist()) == ({1, 3, 4} - {present} if rate else set())
    for other in (SharingMutation(), OperatorMutation(1.0)):
        after = vectors(other.do(space, Population.new(X=before), random_state=rng))
        assert (backbones_of(after) == backbones_of(before)).all() and (after != before).any()


def test_a_child_has_each_gene_of_either_parent() -> None:
    space, rng = problem(), np.random.default_rng(2)
    parents = sample(space, 400)
    matings = np.arange(400).reshape(200, 2)
    children = vectors(LivCrossover(prob=1.0).do(space, parents, matings, random_state=rng))
    first, second = (backbones_of(vectors(parents))[n::2] for n in range(2))
    one, other = backbones_of(children)[:200], backbones_of(children)[200:]
    assert (((one == first) & (other == second)) | ((one == second) & (other == first))).all()
    taken = (one == second)[first != second]
    assert 0.4 < taken.mean() < 0.6


def test_what_is_out_of_range_is_repaired_to_what_says_the_same_or_at_random() -> None:
    values, rng = BackboneValues(USUAL), np.random.default_rng(0)
    given = np.array([[2, 2], [0, 9], [3, 4], [1, 2]])
    repaired = values.repaired(given, rng)
    assert repaired[[0, 2, 3]].tolist() == [[1, 1], [3, 4], [1, 1]]
    assert set(repaired[1].tolist()) <= {1, 3, 4}
    space = problem()
    rows = vectors(sample(space, 4))
    rows[:, -2:] = given
    repair = GenomeRepair()
    mended = vectors(repair.do(space, Population.new(X=rows), random_state=rng))
    assert np.isin(backbones_of(mended), [1, 3, 4]).all()
    assert (repair.repaired_genomes, repair.repaired_genes) == (3, 5)
    with pytest.raises(GenomeError, match="backbone gene norms: 0 is not allowed"):
        ids(Population.new(X=rows), space.alphabet)


def test_ids_are_those_of_the_genomes() -> None:
    space = problem([1, 8])
    population = sample(space, 50)
    assert ids(population, space.alphabet) == [space.genome(i.X).id for i in population]
    motif = GenomeProblem(8, 2, motif=3, backbone=USUAL)
    population = sample(motif, 50)
    assert ids(population, motif.alphabet, 8) == [motif.genome(i.X).id for i in population]


@pytest.mark.parametrize(
    "space", [{}, {"depths": [2, 6]}, {"motif": 2}, {"mode": "end_incremental"}]
)
def test_a_search_proposes_all_of_them_and_resumes_to_the_same_rows(
    space: dict[str, Any], tmp_path: Path
) -> None:
    variation = VariationConfig(operator_probability=0.1)
    settings = config(tmp_path / "run", space=space, variation=variation)
    executor = MadeUp(order=3)
    run = Search.from_config(settings, executor).run()
    rows = run.population.drop(columns=list(TIMING_COLUMNS))
    found = {c.genome.backbone for c in run.candidates.values()}
    assert (
        {genes.norms for genes in found} == {genes.residual_scale for genes in found} == {1, 3, 4}
    )
    assert len(executor.asked) == len(rows) == rows["genome_id"].nunique()
    (tmp_path / "run" / "population.csv").unlink()
    again = MadeUp()
    resumed = Search.from_config(settings, again).run()
    assert again.asked == []
    pd.testing.assert_frame_equal(resumed.population.drop(columns=list(TIMING_COLUMNS)), rows)

    for candidate in run.candidates.values():
        said = "(sandwich" in str(rows.set_index("genome_id").loc[candidate.genome_id].composition)
        assert said == (candidate.genome.backbone.norms == 4)
    children = [c for c in run.candidates.values() if c.parents]
    words = [Lineage(run).step(c, run.candidates[c.parents[0]]) for c in children]
    assert any("norms " in line and " -> sandwich" in line for line in words)


def test_the_same_search_without_them_has_none(tmp_path: Path) -> None:
    run = Search.from_config(config(tmp_path, space={"backbone_genes": False}), MadeUp()).run()
    assert {c.genome.backbone for c in run.candidates.values()} == {(1, 1)}
    assert all(len(text.split("-")) == 4 for text in run.population["genome"])


@pytest.mark.parametrize(
    ("target", "parameters", "norms"),
    [(NSGA2, "22.9k", {1, 3}), (FIREFLY, "40k", {1, 3, 4})],
)
def test_static_constraints_hold_with_them(target: str, parameters: str, norms: set[int]) -> None:
    """The cheapest designs have 22,848 parameters, and 23,104 with sandwich norms."""
    settings = config(
        algorithm={"_target_": target}, constraints={"parameters": parameters},
        space={"classes": ["SA-1", "SA-3", "GConv-1"]},
    )  # fmt: skip
    search = Search.from_config(settings, MadeUp())
    for _ in search.generations():
        pass
    assert not search.archive.failures() and len(search.archive) >= 6
    assert {e.candidate.genome.backbone.norms for e in search.archive.all} == norms


def test_seeds_without_them_begin_as_the_sizes_say(tmp_path: Path) -> None:
    space = problem()
    (seed,), _ = read_seeds(["lfm2"], space)
    assert seed.backbone == (1, 1) and space.vector(seed)[-2:].tolist() == [1, 1]
    # 2 says what the sizes say, and is not kept apart from it.
    texts = [f"{'-'.join([ATTENTION] * 8)}-{behind}" for behind in ("22", "43", "11")]
    found, _ = read_seeds(texts, space)
    assert [genome.backbone for genome in found] == [(1, 1), (4, 3)]
    post = problem(model=ModelConfig(norms="post"))
    assert read_seeds([texts[0]], post)[0][0].backbone == (2, 1)


def test_a_search_without_them_refuses_seeds_that_have_some(tmp_path: Path) -> None:
    space = GenomeProblem(2, 2)
    text = f"{ATTENTION}-{FEED_FORWARD}-41"
    with pytest.raises(
        UserError, match=f"search.seeds: {text}: it has genes of the backbone"
    ) as said:
        read_seeds([text], space)
    assert "search.space.backbone_genes=true" in str(said.value)
    path = tmp_path / "pareto.csv"
    rows = [(text, "baseline"), (text.replace("-41", ""), "offspring")]
    pd.DataFrame(rows, columns=["genome", "origin"]).to_csv(path, index=False)
    seeds, notices = read_seeds([str(path)], space)
    assert [genome.to_text() for genome in seeds] == [text.replace("-41", "")]
    assert "line 2 is left out: it has genes of the backbone (norms sandwich)" in notices[0]


def test_baselines_may_have_some_in_any_search(tmp_path: Path) -> None:
    text = "-".join([ATTENTION, FEED_FORWARD] * 2) + "-43"
    settings = config(tmp_path / "run", baselines=[text], space={"backbone_genes": False})
    run = Search.from_config(settings, MadeUp()).run()
    (baseline,) = [c for c in run.candidates.values() if c.origin == "baseline"]
    assert baseline.genome.to_text() == text
    costs = static_costs(baseline.genome)
    plain = static_costs(Genome.from_text(text.removesuffix("-43")))
    assert costs["parameters"] == plain["parameters"] + 4 * 64
    assert Run.open(tmp_path / "run").genome(baseline.genome_id) == baseline.genome


def test_features_say_what_the_genes_say() -> None:
    search = Search.from_config(
        config(model=type(config().model)(width=64, norms="post")), MadeUp()
    )
    features = features_of(search.problem, search.recipe)
    genomes = [Genome.from_text(f"{ATTENTION}-{FEED_FORWARD}-{end}") for end in ("11", "23", "44")]
    matrix = pd.DataFrame(features.matrix(genomes), columns=features.names)
    assert matrix["norms=post"].tolist() == [1, 0, 0]
    assert matrix["norms=pre"].tolist() == [0, 1, 0]
    assert matrix["norms=sandwich"].tolist() == [0, 0, 1]
    np.testing.assert_allclose(matrix["residual_scale"], [1, 2**-0.5, 2**-0.5])
    without = Search.from_config(config(space={"backbone_genes": False}), MadeUp())
    plain = features_of(without.problem, without.recipe)
    assert features.names[: len(plain.names)] == plain.names
    assert features.covers(genomes[1]) and not plain.covers(genomes[1])


def test_children_are_ranked_with_them() -> None:
    prescreen = PrescreenConfig(kind="surrogate", minimum_rows=10)
    search = Search.from_config(config(prescreen=prescreen), MadeUp())
    for _ in search.generations():
        pass
    assert search.prescreen is not None and search.prescreen.rounds
    assert len({e.candidate.genome.backbone for e in search.archive.all}) > 3


def test_a_growing_search_keeps_the_livs_of_a_backbone_with_genes() -> None:
    settings = config(space={"mode": "end_incremental", "step": 2, "stage_generations": 1})
    search = Search.from_config(settings, MadeUp())
    for _ in search.generations():
        pass
    genomes = [e.candidate.genome for e in search.archive.all]
    assert {genome.depth for genome in genomes} == {2, 4}
    assert arrays.valid(np.stack([g.liv_array() for g in genomes if g.depth == 4]),
                        search.problem.alphabet).all()  # fmt: skip


def test_settings_that_decide_proposals_are_as_before_without_them() -> None:
    """The proposals of a Bayesian search are kept under them."""
    without = Search.from_config(config(space={"backbone_genes": False}), MadeUp())
    assert "backbone_genes" not in without._deciding()["search"]["space"]
    assert Search.from_config(config(), MadeUp())._deciding()["search"]["space"]["backbone_genes"]


def test_a_table_without_them_is_refused() -> None:
    from star.base.command_line import compose_config

    key = "search.space.backbone_genes=true"
    settings = compose_config("evolve", ["scale=cpu", "+experiment=tabular", key])
    with pytest.raises(UserError, match="backbone_genes is None there, True here"):
        Search.from_config(settings)


def test_a_search_over_a_hybrid_has_none(tmp_path: Path) -> None:
    written(tmp_path / "hybrid", hybrid_of("attention", "lfm2"))
    with pytest.raises(UserError, match="search.space.backbone_genes: not together with search"):
        Search.from_config(config(space={"alphabet": f"hybrid:{tmp_path / 'hybrid'}"}), MadeUp())
