"""Copying and joining LIVs."""

from typing import Any

import numpy as np
import pytest
from pymoo.core.population import Population

from star.base.errors import UserError
from star.genomes import GENES_PER_LIV, Genome, arrays, get_alphabet
from star.search.algorithms.build import build_algorithm
from star.search.config import SearchConfig, VariationConfig
from star.search.space.problem import GenomeProblem
from star.search.variation.chain import MutationChain
from star.search.variation.gene_mutation import GeneMutation
from star.search.variation.history import variation
from star.search.variation.sharing_mutation import SharingMutation

COUNT = 2000
ALPHABET = get_alphabet("star")


def mutated(livs: np.ndarray, copy: float = 0.0, join: float = 0.0) -> np.ndarray:
    problem = GenomeProblem(livs.shape[1], 2)
    given = Population.new("X", livs.reshape(len(livs), -1))
    result = SharingMutation(copy, join).do(problem, given, random_state=np.random.default_rng(1))
    return np.asarray(result.get("X")).reshape(livs.shape)


def many(text: str) -> np.ndarray:
    genes = Genome.from_text(text).to_array().reshape(1, -1, GENES_PER_LIV)
    return np.repeat(genes, COUNT, axis=0)


def canonical_texts(livs: np.ndarray) -> set[str]:
    canonical = np.unique(arrays.canonical(livs, ALPHABET), axis=0)
    return {Genome.from_array(row.reshape(-1)).to_text() for row in canonical}


@pytest.mark.parametrize("depth", [1, 2, 3, 8, 24])
def test_valid_genomes_stay_valid(depth: int) -> None:
    livs = arrays.sample(COUNT, depth, np.random.default_rng(0), ALPHABET, sharing_probability=0.8)
    changed = mutated(livs, copy=1.0, join=1.0)
    assert arrays.valid(changed, ALPHABET).all()
    assert (changed != livs).any() == (depth > 1)


def test_a_copy_overwrites_livs_by_others_with_their_sharing() -> None:
    livs = many("31112-71111-31112-91111")
    changed = mutated(livs, copy=0.2)
    for row in changed:
        assert {tuple(liv) for liv in row} <= {(3, 1, 1, 1, 2), (7, 1, 1, 1, 1), (9, 1, 1, 1, 1)}
    assert "31112-31112-31112-91111" in canonical_texts(changed)


def test_one_step_reaches_every_sharing_of_two_livs() -> None:
    unshared, tied = "31111-31111-91111", "31211-31211-91111"
    by_features = {f"3111{strategy}-3111{strategy}-91111" for strategy in (2, 3, 4, 5)}
    texts = canonical_texts(mutated(many(unshared), join=0.3))
    assert {unshared, tied} | by_features < texts
    assert len(texts) == 2 * 5  # weights tied or not, and any of five strategies


def test_one_step_parts_what_shares() -> None:
    assert "31111-31111-91111" in canonical_texts(mutated(many("31211-31211-91111"), join=1.0))
    assert "31111-31111-91111" in canonical_texts(mutated(many("31112-31112-91111"), join=1.0))


def test_a_group_changes_its_strategy_as_a_whole() -> None:
    texts = canonical_texts(mutated(many("31112-31112-31112"), join=1.0))
    assert {f"3111{strategy}-3111{strategy}-3111{strategy}" for strategy in (1, 3, 4, 5)} <= texts


def test_livs_of_different_classes_are_not_joined() -> None:
    livs = many("11111-31111-91111")
    assert (mutated(livs, join=1.0) == livs).all()


def test_probabilities_are_of_a_genome_in_each_of_two_rounds() -> None:
    livs = many("11111-31111-91111-71111")
    share = (mutated(livs, copy=0.25) != livs).any(axis=(1, 2)).mean()
    assert share == pytest.approx(1 - 0.75**2, abs=0.04)


def test_changed_genes_stay_with_the_individual() -> None:
    genome = Genome.from_text("31111-31111")
    individuals = Population.new(X=np.stack([genome.to_array()] * 20))
    problem = GenomeProblem(2, 2)
    result = SharingMutation(join=1.0).do(
        problem, individuals, inplace=True, random_state=np.random.default_rng(0)
    )
    for individual in result:
        genes = genome.to_array()
        names = (
            "liv_class",
            "featurizer_group",
            "featurizer_sharing",
            "feature_group",
            "feature_sharing",
        )
        for liv, gene, old, new in variation(individual).get("mutation", []):
            assert genes[liv * GENES_PER_LIV + names.index(gene)] == old
            genes[liv * GENES_PER_LIV + names.index(gene)] = new
        assert (genes == individual.X).all()
    assert any(variation(individual) for individual in result)


def config(**settings: float) -> SearchConfig:
    return SearchConfig(variation=VariationConfig(**settings))  # type: ignore[arg-type]


def test_searches_have_it_unless_its_probability_is_zero() -> None:
    for settings, expected in (
        ({}, MutationChain),
        ({"sharing_mutation_probability": 0.0}, GeneMutation),
    ):
        algorithm: Any = build_algorithm(config(**settings), GenomeProblem(4, 2), [], 0).algorithm
        assert type(algorithm.mating.mutation) is expected


def test_a_probability_above_one_is_refused() -> None:
    message = "search.variation.sharing_mutation_probability=2: expected a probability"
    with pytest.raises(UserError, match=message):
        config(sharing_mutation_probability=2).check(4)
