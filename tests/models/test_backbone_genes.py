"""A genome with genes of the backbone is the model that the equal sizes give."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from star.genomes import Backbone, Genome, GenomeFile, ModelConfig, parameter_count
from star.models import Cache, LanguageModel, decode, load_checkpoint, save_checkpoint
from star.models.hugging_face.causal_lm import StarConfig, StarForCausalLM
from star.models.hugging_face.native import as_native, family_of
from star.models.transfer import sources_of
from tests.exporting.families import family_here

SIZES = ModelConfig(width=32, vocabulary=48, window=7)
GENES = [(Backbone(2, 3), "pre", 3**-0.5), (Backbone(3, 1), "post", 0.5),
         (Backbone(4, 4), "sandwich", 2**-0.5), (Backbone(1, 2), "sandwich", 1.0)]  # fmt: skip


def seeded(genome: Genome, sizes: ModelConfig) -> LanguageModel:
    torch.manual_seed(0)
    return decode(genome, sizes).eval()


@pytest.mark.parametrize(("backbone", "norms", "scale"), GENES)
def test_it_is_the_model_of_the_equal_sizes(
    backbone: Backbone, norms: str, scale: float, tmp_path: Path
) -> None:
    plain = Genome.from_text("11211-51111-91111")
    genome, given = replace(plain, backbone=backbone), replace(SIZES, residual_scale=0.5)
    given = replace(given, norms="sandwich" if backbone.norms == 1 else "pre")
    model, same = (
        seeded(genome, given),
        seeded(plain, replace(given, norms=norms, residual_scale=scale)),
    )
    tokens = torch.randint(48, (2, 9))
    with torch.no_grad():
        logits = model(tokens)
        assert torch.equal(logits, same(tokens))
        other = seeded(plain, given)(tokens)
        cache = Cache.allocate(model, 2, 9)
        steps = torch.stack([model.step(token, cache) for token in tokens.T], dim=1)
    assert not torch.allclose(logits, other)
    torch.testing.assert_close(steps, logits, rtol=2e-4, atol=2e-4)
    count = parameter_count(genome, given)
    assert sum(p.numel() for p in model.parameters()) == count.non_embedding + count.embedding

    save_checkpoint(tmp_path, model, GenomeFile("mine", genome), given)
    kept = load_checkpoint(tmp_path)
    assert kept.genome.genome == genome and kept.config == given
    with torch.no_grad():
        assert torch.equal(kept.model.eval()(tokens), logits)
    sizes = {name: getattr(given, name) for name in ("width", "vocabulary", "window", "norms")}
    config = StarConfig(genome=genome.to_text(), residual_scale=0.5, **sizes)
    torch.manual_seed(0)
    theirs = StarForCausalLM(StarConfig.from_dict(config.to_dict()))
    assert [*theirs.model.state_dict()] == [*model.state_dict()]
    theirs.model.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(theirs.eval()(tokens).logits, logits)


def test_families_hold_what_the_genes_make_theirs() -> None:
    sizes = replace(SIZES, width=64)
    llama = "11111-91111"
    assert family_of(Genome.from_text(llama), sizes) is not None
    for behind in ("31", "41", "13", "14"):
        assert family_of(Genome.from_text(f"{llama}-{behind}"), sizes) is None
    for behind in ("21", "12", "22"):
        assert family_of(Genome.from_text(f"{llama}-{behind}"), sizes) is not None
    odd = replace(sizes, norms="post", residual_scale=0.1)
    assert family_of(Genome.from_text(f"{llama}-22"), odd) is not None
    assert family_of(Genome.from_text(f"{llama}-21"), odd) is None


def test_a_native_model_has_the_norms_of_the_genome() -> None:
    family = family_here("Lfm3")
    genome = Genome.from_text("36.1.1.1.1-9.1.1.1.1-31.1.1.1.1-9.1.1.1.1-4.1", "released")
    sizes = replace(SIZES, width=64)
    assert family_of(genome, sizes) is family
    model = seeded(genome, sizes)
    theirs = as_native(family, model, genome, sizes, 16)
    assert theirs.config.use_sandwich_norm
    tokens = torch.randint(48, (2, 9))
    with torch.no_grad():
        torch.testing.assert_close(theirs(tokens).logits, model(tokens), rtol=1e-4, atol=1e-5)


def test_weights_carry_over_whatever_the_genes_are() -> None:
    small, large = Genome.from_text("11111-91111"), Genome.from_text("11111-91111-11111-91111-43")
    assert sources_of(small, large) == (0, 1, 0, 1)
