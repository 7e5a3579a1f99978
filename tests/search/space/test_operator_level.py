"""Evolution of the operator level: neighbours of operators, their mutation, and searches that find
new ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymoo.core.population import Population

from star.base.errors import UserError
from star.data import Corpus, DataConfig
from star.evaluation import Recipe, evaluate
from star.genomes import (
    GENES_PER_LIV,
    Alphabet,
    CacheSetting,
    Genome,
    LivClass,
    ModelConfig,
    arrays,
    get_alphabet,
    valid_operators,
    with_operators,
)
from star.models import decode
from star.runs.run import Run
from star.search.config import SearchConfig, SpaceConfig, VariationConfig
from star.search.space.problem import GenomeProblem
from star.search.space.seeds import read_seeds
from star.search.variation.gene_mutation import GeneMutation
from star.search.variation.history import variation
from star.search.variation.operator_mutation import OperatorMutation
from star.search.variation.sampling import GenomeSampling
from star.training import TrainingConfig

STAR = get_alphabet("star")
EVERY = with_operators(STAR)
FEATURIZER, TOKEN_MIXING, SPARSITY, NONLINEARITY, CHANNEL_MIXING = range(5)


def mutated(genes: np.ndarray, probability: float = 0.5, seed: int = 0) -> Population:
    """Genes (genomes, depth, 5) after an operator mutation."""
    pop = Population.new(X=genes.reshape(len(genes), -1))
    return OperatorMutation(probability).do(
        GenomeProblem(genes.shape[1], 2, EVERY, base=STAR),
        pop,
        random_state=np.random.default_rng(seed),
    )


def as_livs(pop: Population) -> np.ndarray:
    return np.stack([individual.X for individual in pop]).reshape(len(pop), -1, GENES_PER_LIV)


def random_genes(seed: int, depth: int, letters: Alphabet = EVERY) -> np.ndarray:
    return arrays.sample(8, depth, np.random.default_rng(seed), letters, 0.6)


def test_every_valid_operator_has_a_class_plain_and_differential_where_its_structure_allows() -> (
    None
):
    codes = [o.code for o in valid_operators()] + [
        o.code + "d" for o in valid_operators() if o.has_differential
    ]
    assert sorted(EVERY.by_code) == sorted(codes) and len(codes) == len(EVERY.ids) == 110


def test_ids_of_operators_are_those_that_files_of_earlier_searches_hold() -> None:
    known = {
        17: "83111d",
        18: "12113",
        22: "10.4.1.1.3",
        100: "91112",
        107: "12113d",
        114: "12213",
        133: "22223d",
    }
    known |= {150: "32233", 168: "42243", 169: "42243d", 179: "10.4.1.1.3d"}
    assert {number: EVERY.by_id[number].code for number in known} == known


@pytest.mark.parametrize("name", ["star", "extended"])
def test_every_named_alphabet_grows_to_the_same_classes(name: str) -> None:
    grown = with_operators(get_alphabet(name))
    assert grown.classes == EVERY.classes and grown is get_alphabet(f"{name}+operators")
    assert all(grown.by_id[liv_class.id] == liv_class for liv_class in get_alphabet(name).classes)


def changed_genes(one: LivClass, other: LivClass) -> list[int]:
    """Which operator genes differ; a structure is one gene, with the featurizer that goes with
    it."""
    differing = [gene for gene in range(5) if one.operator[gene] != other.operator[gene]]
    lost = one.differential and not other.operator.has_differential
    if one.operator.structure is other.operator.structure:
        return differing + [5] * (one.differential != other.differential and not lost)
    structure = other.operator.structure
    forced = {FEATURIZER, TOKEN_MIXING, CHANNEL_MIXING}
    forced |= {SPARSITY} if one.operator.sparsity not in structure.sparsities else set()
    forced |= {NONLINEARITY} if one.operator.nonlinearity not in structure.nonlinearities else set()
    free = [5] * (one.differential != other.differential and not lost)
    return [TOKEN_MIXING, *(gene for gene in differing if gene not in forced), *free]


def test_neighbours_are_exactly_the_classes_that_differ_in_one_operator_gene() -> None:
    for one in EVERY.classes:
        expected = [other.id for other in EVERY.classes if len(changed_genes(one, other)) == 1]
        assert EVERY.neighbours(one.id) == expected and one.id not in expected
    counts = [len(EVERY.neighbours(number)) for number in EVERY.ids]
    assert (min(counts), max(counts)) == (17, 36)  # as docs/search_space.md says


def test_neighbours_of_softmax_attention() -> None:
    codes = {EVERY.by_id[number].code for number in EVERY.neighbours(1)}
    within = {"22123", "32123", "42123", "12113", "12133", "12143", "12223", "12123d"}
    within |= {f"{number}.2.1.2.3" for number in (*range(12, 20), 21, 22, 35, 36)}
    assert codes == within | {
        "91112",
        "91132",
        "91142",
        "73111",
        "83111",
        "54111",
        "64111",
        "10.4.1.1.3",
        "11.4.1.1.3",
        "25.3.1.1.1",
        "26.4.1.1.3",
        "30.4.1.1.3",
        "31.2.1.2.3",
        "32.2.1.2.3",
        "33.1.1.3.2",
        "34.4.1.1.3",
    }


@pytest.mark.slow
def test_every_valid_operator_is_reached_from_every_other() -> None:
    for start in EVERY.ids:
        reached, waiting = {start}, [start]
        while waiting:
            new = set(EVERY.neighbours(waiting.pop())) - reached
            reached |= new
            waiting += new
        assert reached == set(EVERY.ids)


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_valid_genomes_stay_valid_and_change_by_one_operator_gene(seed: int, depth: int) -> None:
    before = random_genes(seed, depth)
    after = as_livs(mutated(before, seed=seed))
    assert arrays.valid(after, EVERY).all()
    assert (after[:, :, 1:4] == before[:, :, 1:4]).all()
    for old, new in zip(
        before.reshape(-1, GENES_PER_LIV), after.reshape(-1, GENES_PER_LIV), strict=True
    ):
        assert new[0] == old[0] or new[0] in EVERY.neighbours(old[0])
        assert new[4] == old[4] or (new[4] == 1 and new[0] != old[0])


def test_sharing_goes_on_where_the_new_class_can() -> None:
    genes = np.array(
        [[[1, 1, 2, 1, 5], [1, 1, 2, 1, 5]]]
    )  # low-rank operators all have strategy 5, diagonal ones not
    kept = dropped = 0
    for seed in range(60):
        for (class_id, *_, strategy), other in zip(
            as_livs(mutated(genes, seed=seed))[0], (1, 0), strict=True
        ):
            fits = (
                class_id == 1 or EVERY.by_id[class_id].operator.structure.sharing.get(5) is not None
            )
            kept += class_id != 1 and strategy == 5
            dropped += class_id != 1 and strategy == 1
            assert strategy == (5 if fits else 1), other
    assert kept > 20 and dropped > 5


def test_a_group_of_the_new_class_keeps_its_strategy() -> None:
    genes = np.array([[[7, 1, 1, 1, 5], *[[n, 1, 1, 1, 2] for n in EVERY.neighbours(7)]]])
    for seed in range(40):
        after = as_livs(mutated(genes, 0.1, seed))
        assert arrays.valid(after, EVERY).all()


def test_records_replay_and_absent_livs_stay_absent() -> None:
    genes = random_genes(3, 5)
    genes[:, 4:] = 0
    after = mutated(genes)
    assert (as_livs(after)[:, 4:] == 0).all()
    names = [
        "liv_class",
        "featurizer_group",
        "featurizer_sharing",
        "feature_group",
        "feature_sharing",
    ]
    for before, individual in zip(genes.copy(), after, strict=True):
        for liv, gene, old, new in variation(individual).get("mutation", []):
            assert before[liv, names.index(gene)] == old
            before[liv, names.index(gene)] = new
        assert (before.reshape(-1) == individual.X).all()
    assert any(variation(individual) for individual in after)


def test_new_classes_come_in_by_operator_mutation_only() -> None:
    problem = GenomeProblem(4, 2, EVERY, base=STAR.restricted(["SA-1", "GMemless"]))
    rng = np.random.default_rng(0)
    drawn = GenomeSampling().do(problem, 200, random_state=rng)
    assert {1, 9} == set(np.unique(as_livs(drawn)[:, :, 0]))
    drawn[0].X = np.array([150, 1, 1, 1, 1] * 4)
    for constrained in (True, False):
        pop = GeneMutation(0.9, constrained).do(problem, drawn, inplace=False, random_state=rng)
        assert set(np.unique(as_livs(pop)[:, :, 0])) == {1, 9, 150}


@pytest.mark.slow
def test_every_class_trains_and_has_the_parameters_that_were_counted() -> None:
    text = np.frombuffer(b"the quick brown fox jumps over the lazy dog. " * 20, dtype=np.uint8)
    training = TrainingConfig(steps=2, batch_size=2, length=12, device="cpu", validation_batches=1)
    recipe = Recipe(
        ModelConfig(width=16, window=5, attention_width=96),
        CacheSetting(),
        training,
        DataConfig(),
        seed=0,
    )
    for ids in np.array_split(EVERY.ids, 7):
        genome = Genome.from_genes([[number, 1, 1, 1, 1] for number in ids], EVERY)
        evaluation = evaluate(genome, recipe, Corpus(text, text, "test"))
        assert evaluation.feasible, evaluation.reason
        built = sum(p.numel() for p in decode(genome, recipe.model).parameters())
        assert (
            built == evaluation.metrics["parameters"] + recipe.model.vocabulary * recipe.model.width
        )


def operators(**settings: Any) -> SearchConfig:
    """Settings of a search over operators."""
    return SearchConfig(variation=VariationConfig(operator_probability=0.3), **settings)


def problem_of(config: SearchConfig, depth: int) -> GenomeProblem:
    return GenomeProblem.from_config(config, depth, 1)


def unlikeness(genome: Genome) -> float:
    """How many operator genes differ from those of a banded swish attention, which no alphabet
    names."""
    target = EVERY.by_code["42243"].operator
    return (
        sum(a != b for c in genome.classes() for a, b in zip(c.operator, target, strict=True))
        / genome.depth
    )


FIREFLY = {"_target_": "star.search.algorithms.firefly.Firefly"}


@pytest.mark.parametrize("algorithm", [{"_target_": "pymoo.algorithms.moo.nsga2.NSGA2"}, FIREFLY])
def test_a_search_finds_an_operator_that_no_alphabet_names(
    evolve: Callable, algorithm: dict[str, str]
) -> None:
    config = operators(algorithm=algorithm, population=16, generations=25)
    run = evolve(config, [unlikeness], depth=3)
    first = {
        c.id
        for e in run.archive.all
        if e.candidate.generation == 0
        for c in e.candidate.genome.classes()
    }
    assert first <= set(STAR.ids)
    assert run.values(0).min() > 2 / 3 and run.values().min() == 0
    for evaluated in run.archive.all:
        assert evaluated.candidate.genome.alphabet.name == "star+operators"


def test_a_search_of_operators_is_a_function_of_its_seed(evolve: Callable) -> None:
    config = operators(population=8, generations=6)
    first, again = (evolve(config, [unlikeness, lambda genome: genome.depth]) for _ in range(2))
    assert first.ids() == again.ids() and len(set(first.ids())) == 48


@pytest.mark.parametrize(
    "settings",
    [
        "search: {space: {alphabet: star}, variation: {operator_probability: 0.3}}\n",
        "search: {alphabet: star, operator_probability: 0.3}\n",  # of a run of before
    ],
)
def test_a_run_is_read_back_with_its_operators(tmp_path: Path, settings: str) -> None:
    names = "genome_id,generation,origin,parents,genome,validation_loss,variation"
    (tmp_path / "population.csv").write_text(
        f"{names}\naaaaaaaaaaaa,0,random,,150.1.1.1.1-9.1.1.1.1,3.0,\n"
    )
    (tmp_path / "config.yaml").write_text(settings)
    genome = Run.open(tmp_path).genome("aaaaaaaaaaaa")
    assert [liv_class.name for liv_class in genome.classes()] == ["Op-32233", "GMemless"]


def test_without_probability_the_search_is_over_its_alphabet() -> None:
    assert SearchConfig().alphabet() is STAR is SpaceConfig().base_alphabet()
    problem = problem_of(SearchConfig(), 3)
    assert problem.alphabet is STAR is problem.base


@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_a_probability_out_of_range_is_refused(value: float) -> None:
    config = SearchConfig(variation=VariationConfig(operator_probability=value))
    key = "search.variation.operator_probability"
    with pytest.raises(UserError, match=rf"{key}={value}: expected a probability from 0 to 1"):
        config.check(3)


def test_seeds_from_a_csv_hold_operators_by_ids_that_need_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("genome\n150.1.1.1.2-150.1.1.1.2-9.1.1.1.1\n")
    (seed,), _ = read_seeds([str(tmp_path / "p.csv")], problem_of(operators(), 3))
    assert [liv_class.code for liv_class in seed.classes()] == ["32233", "32233", "91142"]
    with pytest.raises(
        UserError,
        match="p.csv line 2: .*LIV 0 gene liv_class: 150 is not allowed, expected 1 to 17",
    ):
        read_seeds([str(tmp_path / "p.csv")], problem_of(SearchConfig(), 3))


def test_a_file_seed_with_operators_needs_a_search_of_operators(tmp_path: Path) -> None:
    (tmp_path / "g.yaml").write_text(
        "schema: 1\noperators: {18: '32233'}\ngenome: 18.1.1.1.1-9.1.1.1.1\n"
    )
    (seed,), _ = read_seeds([str(tmp_path / "g.yaml")], problem_of(operators(), 2))
    assert seed.to_text() == "150.1.1.1.1-9.1.1.1.1"
    message = "LIV 0 is Op-32233, expected one of SA-1.*operator_probability above 0 admits every"
    with pytest.raises(UserError, match=message):
        read_seeds([str(tmp_path / "g.yaml")], problem_of(SearchConfig(), 2))
