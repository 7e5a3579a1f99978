"""Decoding: costs, causality, gradients and sharing over every class and random genomes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from star.genomes import (
    ALPHABETS,
    Genome,
    GenomeError,
    Liv,
    ModelConfig,
    OperatorGenome,
    parameter_count,
    random_genome,
    valid_operators,
)
from star.models import LanguageModel, decode
from tests.genomes.definition import alphabet_of

ROUNDING = 1e-5  # the FFT of long convolutions leaks rounding errors from later positions
MODEL = ModelConfig(width=64, vocabulary=32, window=6)
GENOMES = st.builds(
    lambda seed, depth, sharing: random_genome(
        depth, np.random.default_rng(seed), "extended", sharing
    ),
    st.integers(0, 2**32 - 1),
    st.integers(1, 8),
    st.sampled_from([0.0, 0.4, 0.9]),
)


def build(genome: Genome, model: ModelConfig = MODEL) -> LanguageModel:
    torch.manual_seed(0)
    return decode(genome, model)


def tokens(length: int, batch: int = 2) -> torch.Tensor:
    return torch.randint(0, 32, (batch, length), generator=torch.Generator().manual_seed(0))


def check_model(genome: Genome) -> None:
    """The properties that every decoded genome must have."""
    model = build(genome)
    count = parameter_count(genome, MODEL)
    assert sum(p.numel() for p in model.parameters()) == count.non_embedding + count.embedding
    x = tokens(21)
    y = model(x)
    assert y.shape == (2, 21, 32) and torch.isfinite(y).all()
    changed = x.clone()
    changed[:, 13:] = (changed[:, 13:] + 1) % 32
    torch.testing.assert_close(model(changed)[:, :13], y[:, :13], rtol=0, atol=ROUNDING)
    assert not torch.allclose(model(changed)[:, 13:], y[:, 13:])
    torch.testing.assert_close(model(x[:, :9]), y[:, :9], rtol=0, atol=ROUNDING)
    torch.nn.functional.cross_entropy(y[:, :-1].flatten(0, 1), x[:, 1:].flatten()).backward()
    without = [
        n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert without == [] and all(
        torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None
    )


@settings(max_examples=60, deadline=None)
@given(GENOMES)
def test_random_genomes(genome: Genome) -> None:
    check_model(genome)


@pytest.mark.parametrize("liv_class", ALPHABETS["extended"].ids)
def test_every_class(liv_class: int) -> None:
    check_model(Genome((Liv(liv_class), Liv(9), Liv(liv_class)), ALPHABETS["extended"]))


@pytest.mark.parametrize("differential", [False, True])
@pytest.mark.parametrize("operator", valid_operators(), ids=lambda o: o.code)
def test_every_valid_operator_genome(operator: OperatorGenome, differential: bool) -> None:
    if differential and not operator.structure.differential:
        pytest.skip("a diagonal operator has no differential variant")
    check_model(Genome((Liv(1), Liv(1)), alphabet_of(operator, differential)))


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
