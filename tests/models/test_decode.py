"""Decoding: costs, causality, gradients and sharing over every class and random genomes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from star.genomes import (
    Genome,
    GenomeError,
    LivClass,
    ModelConfig,
    get_alphabet,
    parameter_count,
    random_genome,
)
from star.models import decode
from star.testing.structures import MODEL, build, check_class, check_decoding, tokens

EVERY = get_alphabet("extended+operators")
GENOMES = st.builds(
    lambda seed, depth, sharing: random_genome(
        depth, np.random.default_rng(seed), "released", sharing
    ),
    st.integers(0, 2**32 - 1),
    st.integers(1, 8),
    st.sampled_from([0.0, 0.4, 0.9]),
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(GENOMES)
def test_random_genomes(genome: Genome) -> None:
    check_decoding(genome)


@pytest.mark.slow
@pytest.mark.parametrize("liv_class", EVERY.classes, ids=lambda liv_class: liv_class.code)
def test_every_class_with_every_sharing(liv_class: LivClass) -> None:
    check_class(liv_class.id, EVERY)


def test_tied_featurizers_are_the_same_tensors() -> None:
    model = build(Genome.from_text("51211-91111-51211"))
    assert model.livs[0].featurizer.groups["V"] is model.livs[2].featurizer.groups["V"]
    assert model.livs[0].output.weight is not model.livs[2].output.weight


def test_borrowed_features_are_the_owners_tensors() -> None:
    model = build(Genome.from_text("11112-91111-11112"))
    seen: list[dict] = []
    for index in (0, 2):
        model.livs[index].structure.register_forward_pre_hook(
            lambda module, args: seen.append(args[0])
        )
    model(tokens(5))
    for name in ("B", "V"):
        assert seen[1][name][0] is seen[0][name][0]
    assert set(model.livs[2].featurizer.groups) == {"C"}


def test_the_same_seed_gives_the_same_weights() -> None:
    genome = Genome.from_text("51111-81111-11111-91111")
    first, second = build(genome).state_dict(), build(genome).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_untied_head() -> None:
    model = ModelConfig(width=32, vocabulary=32, tie_embeddings=False)
    genome = Genome.from_text("91111")
    count = parameter_count(genome, model)
    assert (
        sum(p.numel() for p in build(genome, model).parameters())
        == count.non_embedding + count.embedding
    )
    assert count.embedding == 2 * 32 * 32


def test_an_invalid_genome_is_refused() -> None:
    with pytest.raises(GenomeError, match="LIV 0 gene liv_class"):
        decode(Genome.from_text("18.1.1.1.1"), MODEL)
