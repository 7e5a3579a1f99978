"""Weights of a small model as the beginning of a larger one: the same function, where it can be."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from star.composing.extrapolate import stretch
from star.genomes import Genome, LivClass, ModelConfig, fit_depth, get_alphabet, load_genome
from star.genomes.widths import fits
from star.models import LanguageModel
from star.models.transfer import sources_of, transfer, widened

SMALL = ModelConfig(width=256, vocabulary=48)
RELEASED = get_alphabet("released")


def model(genome: Genome, config: ModelConfig, seed: int) -> LanguageModel:
    torch.manual_seed(seed)
    built = LanguageModel(genome, config)
    with torch.no_grad():  # nothing that is zero or one would show a mistake
        for weights in built.parameters():
            weights += 0.05 * torch.randn_like(weights)
    return built.double()


def logits(built: LanguageModel) -> torch.Tensor:
    tokens = torch.randint(0, 48, (2, 24), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return built(tokens)


FITTING = [liv_class for liv_class in RELEASED.classes if fits(liv_class, SMALL)]


@pytest.mark.parametrize("liv_class", FITTING, ids=lambda liv_class: liv_class.name)
def test_a_width_of_a_whole_number_times_computes_the_same(liv_class: LivClass) -> None:
    genome = Genome.from_genes([(liv_class.id, 1, 1, 1, 1), (9, 1, 1, 1, 1)], RELEASED)
    config = replace(SMALL, tie_embeddings=liv_class.id % 2 == 0)
    small = model(genome, config, 0)
    large = model(genome, replace(config, width=512), 1)
    found = transfer(small, large, sources_of(genome, genome), identity=False)
    assert found.carried == found.total
    torch.testing.assert_close(logits(large), logits(small), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("design", ["transformer_pp", "striped_mamba", "lfm2", "gated_deltanet"])
@pytest.mark.parametrize("grow", [fit_depth, stretch])
def test_silent_copies_compute_the_same(design: str, grow: object) -> None:
    genome = load_genome(design, 6)[0].canonical()
    deep = grow(genome, 15)  # type: ignore[operator]
    small, large = model(genome, SMALL, 0), model(deep, SMALL, 1)
    sources = sources_of(genome, deep)
    transfer(small, large, sources, identity=True)
    assert None not in sources
    if grow is fit_depth:
        assert sources == tuple(n % 6 for n in range(15))
        torch.testing.assert_close(logits(large), logits(small), rtol=1e-9, atol=1e-9)
    before = logits(large)
    transfer(small, large, sources, identity=False)
    assert not torch.allclose(logits(large), before)


def test_a_head_of_its_own_begins_as_the_embedding() -> None:
    genome = Genome.from_text("11111-91111")
    small = model(genome, replace(SMALL, tie_embeddings=True), 0)
    large = model(genome, replace(SMALL, tie_embeddings=False, width=512), 1)
    found = transfer(small, large, sources_of(genome, genome), identity=False)
    assert found.carried == found.total
    torch.testing.assert_close(logits(large), logits(small), rtol=1e-5, atol=1e-6)


def test_a_stretched_backbone_takes_the_nearest_of_the_class() -> None:
    genome = load_genome("composer_6")[0]  # 2 attentions, 4 SwiGLUs
    assert sources_of(genome, stretch(genome, 12)) == (0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5)


def test_a_class_that_the_small_one_lacks_stays_as_it_was() -> None:
    small = Genome.from_text("91111-91111")
    large = Genome.from_text("91111-11111-91111")
    assert sources_of(small, large) == (0, None, 1)
    source, target = model(small, SMALL, 0), model(large, SMALL, 1)
    before = target.livs[1].output.weight.clone()
    found = transfer(source, target, (0, None, 1), identity=False)
    assert torch.equal(target.livs[1].output.weight, before)
    assert 0 < found.carried < found.total


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 20), st.integers(0, 20))
def test_widened_layers_read_repeated_channels(
    out: int, inputs: int, more: int, wider: int
) -> None:
    weights, x = torch.randn(out, inputs).double(), torch.randn(inputs).double()
    wide = widened(weights, (out + more, inputs + wider), reads=True)
    places = torch.arange(inputs + wider) % inputs
    expected = (weights @ x)[torch.arange(out + more) % out]
    torch.testing.assert_close(wide @ x[places], expected)
