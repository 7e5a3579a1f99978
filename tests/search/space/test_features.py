"""Features of architectures: what they count, and that equal architectures have equal ones."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from star.genomes import (
    CacheSetting,
    Genome,
    ModelConfig,
    cache_bytes,
    get_alphabet,
    parameter_count,
    random_genome,
)
from star.search.space.features import Features

STAR = get_alphabet("star")
MODEL, CACHE = ModelConfig(width=64), CacheSetting(context=512)


def described(text: str, depth: int = 4) -> dict[str, float]:
    features = Features(STAR, depth, MODEL, CACHE)
    (row,) = features.matrix([Genome.from_text(text)])
    return {n: v for n, v in zip(features.names, row.tolist(), strict=True) if v}


def test_classes_families_and_neighbours_are_counted() -> None:
    genome = Genome.from_text("91111-11111-91111-10.1.1.1.1")
    found = described("9.1.1.1.1-1.1.1.1.1-9.1.1.1.1-10.1.1.1.1")
    families = [liv_class.operator.structure.name for liv_class in genome.classes()]
    swiglu, attention = families[0], families[1]
    assert found == {
        "depth": 4,
        "GMemless": 2,
        "SA-1": 1,
        "SA-1-Diff": 1,
        swiglu: 2,
        attention: 2,
        "differential": 1,
        "GMemless@0": 1,
        "SA-1@1": 1,
        "GMemless@2": 1,
        "SA-1-Diff@3": 1,
        f"{swiglu}>{attention}": 2,
        f"{attention}>{swiglu}": 1,
        "log_parameters": math.log1p(parameter_count(genome, MODEL).non_embedding),
        "log_cache_bytes": math.log1p(cache_bytes(genome, MODEL, CACHE)),
    }


def test_sharing_is_counted_with_its_distance() -> None:
    alone, shared = described("11111-91111-11111-91111"), described("11112-91111-11112-91111")
    names = {"borrowing_livs", "borrowed_groups", "sharing_distance"}
    assert not names & alone.keys() and names <= shared.keys()
    genome = Genome.from_text("11112-91111-11112-91111")
    assert shared["borrowed_groups"] == len(genome.sharing[2].borrowed)
    assert shared["borrowing_livs"] == 1 and shared["sharing_distance"] == 2
    tied = described("11211-91111-11211-91111")
    assert tied["tied_groups"] > 0 and tied["sharing_distance"] == 2


def test_equal_architectures_are_described_alike() -> None:
    inert = described("71221-31212-91111")
    assert inert == described("71111-31111-91111")


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_every_genome_has_finite_features_of_one_length(seed: int, depth: int) -> None:
    features = Features(STAR, 6, MODEL, CACHE)
    genome = random_genome(depth, np.random.default_rng(seed), STAR)
    matrix = features.matrix([genome, genome.canonical()])
    assert matrix.shape == (2, len(features.names)) and np.isfinite(matrix).all()
    assert (matrix[0] == matrix[1]).all()
    position = dict(zip(features.names, matrix[0], strict=True))
    assert sum(v for n, v in position.items() if "@" in n) == depth == position["depth"]
    assert sum(v for n, v in position.items() if ">" in n) == depth - 1


def test_names_are_different() -> None:
    names = Features(STAR, 3, MODEL, CACHE).names
    assert len(set(names)) == len(names)


def test_a_genome_of_another_space_is_an_error() -> None:
    with pytest.raises(KeyError):
        Features(STAR, 2, MODEL, CACHE).matrix([Genome.from_text("11111-11111-11111")])
