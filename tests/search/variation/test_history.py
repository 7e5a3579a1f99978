"""What made an individual is recorded with it: replayed on the parents, the record gives the
individual."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymoo.core.evaluator import Evaluator
from pymoo.core.individual import Individual
from pymoo.core.population import Population
from pymoo.problems.static import StaticProblem

from star.genomes import BACKBONE_GENE_NAMES, GENE_NAMES, GENES_PER_LIV, ModelConfig
from star.genomes.backbone import representatives
from star.search.algorithms.build import build_algorithm
from star.search.config import SearchConfig, SpaceConfig, VariationConfig
from star.search.space.problem import GenomeProblem
from star.search.variation.chain import MutationChain
from star.search.variation.crossover import LivCrossover
from star.search.variation.depth_mutation import DepthMutation
from star.search.variation.gene_mutation import GeneMutation
from star.search.variation.history import variation
from star.search.variation.sampling import CanonicalDuplicates, GenomeRepair, GenomeSampling

SEEDS = st.integers(0, 2**32 - 1)
DEPTH = 7
Livs = list[list[int]]


def replay(parents: Sequence[Livs], made_by: dict[str, Any]) -> Livs:
    """The genome that a record makes of its parents, by what `columns.py` says of its parts."""
    livs = [list(liv) for liv in parents[0]]
    for part, entries in made_by.items():
        livs = APPLY[part](livs, parents, entries)
    return livs


def cross(livs: Livs, parents: Sequence[Livs], cuts: list[int]) -> Livs:
    bounds, child = [0, *cuts, None], []
    for number, (start, end) in enumerate(pairwise(bounds)):
        child += parents[number % 2][start:end]
    return renumbered([list(liv) for liv in child])


def move(livs: Livs, parents: Sequence[Livs], copied: list[list[int]]) -> Livs:
    most, sources = max(map(len, parents)), {liv: parent for liv, parent in copied}  # noqa: C416
    whole = [parent + [None] * (most - len(parent)) for parent in parents]
    child = [whole[sources.get(liv, 0)][liv] for liv in range(most)]
    return renumbered([list(liv) for liv in child if liv is not None])


def resize(livs: Livs, parents: Sequence[Livs], edits: list[list[Any]]) -> Livs:
    for kind, liv, *genes in edits:
        if kind == "delete":
            del livs[liv]
        else:
            livs.insert(*(liv, list(genes[0])) if kind == "insert" else (liv + 1, list(livs[liv])))
    return renumbered(livs)


def change(livs: Livs, parents: Sequence[Livs], genes: list[list[Any]]) -> Livs:
    for liv, name, old, new in genes:
        if liv is None:  # of the backbone
            continue
        assert livs[liv][GENE_NAMES.index(name)] == old != new
        livs[liv][GENE_NAMES.index(name)] = new
    return livs


APPLY = {
    "crossover": cross,
    "backbone": lambda livs, parents, taken: livs,
    "movement": move,
    "depth": resize,
    "mutation": change,
    "repair": change,
}


def replay_backbone(parents: Sequence[list[int]], made_by: dict[str, Any]) -> list[int]:
    """The genes of the backbone that a record makes of its parents'."""
    begins_with_second = made_by.get("crossover", [1])[0] == 0
    genes = dict(zip(BACKBONE_GENE_NAMES, parents[begins_with_second], strict=False))
    for name, parent in made_by.get("backbone", []):
        genes[name] = parents[parent][BACKBONE_GENE_NAMES.index(name)]
    for part in ("mutation", "repair"):
        for liv, name, old, new in made_by.get(part, []):
            if liv is None:
                assert genes[name] == old != new
                genes[name] = new
    return list(genes.values())


def renumbered(livs: Livs) -> Livs:
    """Group numbers above the depth become the smallest free ones of their class, in ascending
    order."""
    for gene in (1, 3):
        for number in sorted({liv[gene] for liv in livs if liv[gene] > len(livs)}):
            for liv_class in {liv[0] for liv in livs if liv[gene] == number}:
                own = [liv for liv in livs if liv[0] == liv_class]
                free = min(set(range(1, len(livs) + 1)) - {liv[gene] for liv in own})
                for liv in own:
                    liv[gene] = free if liv[gene] == number else liv[gene]
    return livs


def livs_of(individual: Individual) -> Livs:
    end = len(individual.X) // GENES_PER_LIV * GENES_PER_LIV
    return [liv for liv in individual.X[:end].reshape(-1, GENES_PER_LIV).tolist() if any(liv)]


def backbone_of(individual: Individual) -> list[int]:
    return individual.X[len(individual.X) // GENES_PER_LIV * GENES_PER_LIV :].tolist()


def space(depths: Sequence[int] = (), has_backbone: bool = False) -> GenomeProblem:
    backbone = representatives(ModelConfig(), DEPTH) if has_backbone else ()
    return GenomeProblem(DEPTH, 2, "extended", depths=depths, backbone=backbone)


@settings(deadline=None, max_examples=40)
@given(
    SEEDS, st.integers(1, 8), st.booleans(), st.sampled_from([(), (1, 3), (3, 9), (4, 4)]),
    st.booleans(),
)  # fmt: skip
def test_records_replay(
    seed: int, points: int, constrained: bool, depths: tuple[int, ...], has_backbone: bool
) -> None:
    rng, problem = np.random.default_rng(seed), space(depths, has_backbone)
    population = GenomeSampling(sharing_probability=0.6).do(problem, 12, random_state=rng)
    population = Population.new(
        "X", GeneMutation(0.3).do(problem, population, random_state=rng).get("X")
    )
    matings = rng.permutation(12).reshape(6, 2)
    children = LivCrossover(points, prob=0.5).do(problem, population, matings, random_state=rng)
    crossed = [variation(child) for child in children]
    genes = GeneMutation(0.2, constrained)
    mutation = MutationChain([DepthMutation(0.7, 0.6)], genes) if problem.varies else genes
    children = mutation.do(problem, children, random_state=rng)
    children = GenomeRepair().do(problem, children, random_state=rng)
    for child, mating, before in zip(children, np.tile(matings, (2, 1)), crossed, strict=True):
        parents: list[Any] = [population[parent] for parent in mating]
        made_by = variation(child)
        assert json.loads(json.dumps(made_by)) == made_by
        assert made_by.get("crossover") == before.get("crossover")
        cuts = made_by.get("crossover", [])
        assert (
            cuts == sorted(set(cuts))
            and all(cut < problem.vector_depth for cut in cuts)
            and all(made_by.values())
        )
        assert replay([livs_of(parent) for parent in parents], made_by) == livs_of(child)
        own = replay_backbone([backbone_of(parent) for parent in parents], made_by)
        assert own == backbone_of(child)
    assert all(variation(individual) == {} for individual in population)


def test_nothing_changed_leaves_no_record_and_every_part_occurs() -> None:
    rng = np.random.default_rng(0)
    population = GenomeSampling().do(space(), 20, random_state=rng)
    unchanged = GeneMutation(0.0).do(space(), population, random_state=rng)
    assert all(
        variation(individual) == {}
        for individual in GenomeRepair().do(space(), unchanged, random_state=rng)
    )
    children = LivCrossover(prob=0.0).do(space(), population, np.array([[0, 1]]), random_state=rng)
    assert [variation(child) for child in children] == [{}, {"crossover": [0]}]
    mutated = GeneMutation(0.5, constrained=False).do(space(), population, random_state=rng)
    repaired = GenomeRepair().do(space(), mutated, random_state=rng)
    assert {part for individual in repaired for part in variation(individual)} == {
        "mutation",
        "repair",
    }


def test_a_second_mutation_goes_on_with_the_record() -> None:
    rng = np.random.default_rng(0)
    rows = GenomeSampling().do(space(), 6, random_state=np.random.default_rng(1)).get("X")
    population = Population.new("X", rows)
    for _ in range(2):
        population = GeneMutation(0.3).do(space(), population, random_state=rng)
    for individual, row in zip(population, rows, strict=True):
        assert replay([row.reshape(-1, GENES_PER_LIV).tolist()], variation(individual)) == livs_of(
            individual
        )


def test_records_survive_merging_and_elimination() -> None:
    rng = np.random.default_rng(0)
    population = GeneMutation(0.3).do(
        space(), GenomeSampling().do(space(), 10, random_state=rng), random_state=rng
    )
    records = {tuple(individual.X): variation(individual) for individual in population}
    shuffled = Population.merge(population[:5], population[5:])[rng.permutation(10)]
    kept: Any = CanonicalDuplicates("extended").do(shuffled, population[:2])
    assert len(kept) == 8
    assert all(variation(individual) == records[tuple(individual.X)] != {} for individual in kept)


@pytest.mark.parametrize("has_backbone", [False, True])
@pytest.mark.parametrize("depths", [(), (2, 9)])
@pytest.mark.parametrize(
    "target", ["pymoo.algorithms.moo.nsga2.NSGA2", "star.search.algorithms.firefly.Firefly"]
)
def test_records_of_a_whole_search_replay(
    target: str, depths: tuple[int, ...], has_backbone: bool
) -> None:
    config = SearchConfig(
        algorithm={"_target_": target},
        population=10,
        space=SpaceConfig(alphabet="extended"),
        variation=VariationConfig(depth_probability=0.5),
    )
    problem, values = space(depths, has_backbone), np.random.default_rng(0)
    algorithm = build_algorithm(config, problem, [], 0).algorithm
    livs: dict[str, Livs] = {}
    backbones: dict[str, list[int]] = {}
    parts: set[str] = set()
    for _ in range(5):
        population: Any = algorithm.ask()
        for individual in population:
            if individual.get("parents"):
                made_by = variation(individual)
                parents = [livs[parent] for parent in individual.get("parents")]
                assert replay(parents, made_by) == livs_of(individual)
                theirs = [backbones[parent] for parent in individual.get("parents")]
                assert replay_backbone(theirs, made_by) == backbone_of(individual)
                parts |= set(made_by)
        for individual in population:
            genome = problem.genome(individual.X)
            livs[genome.id], backbones[genome.id] = livs_of(individual), backbone_of(individual)
            if target.endswith("Firefly"):  # they move from canonical form to canonical form
                livs[genome.id] = [list(liv) for liv in genome.canonical().livs]
        objectives = values.random((len(population), 2))
        Evaluator().eval(
            StaticProblem(problem, F=objectives, G=np.zeros((len(population), 1))), population
        )
        algorithm.tell(infills=population)
    first = "movement" if target.endswith("Firefly") else "crossover"
    varied = ({"depth"} if depths else set()) | ({"backbone"} if has_backbone else set())
    assert parts >= {first, "mutation"} | varied
