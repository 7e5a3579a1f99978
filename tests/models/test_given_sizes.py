"""Widths of heads, attention, recurrences and feed-forward layers that are given, as released
models have them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from star.base.errors import UserError
from star.evaluation.recipe import SearchModelConfig
from star.genomes import (
    CacheSetting,
    Genome,
    GenomeError,
    GenomeFile,
    Liv,
    ModelConfig,
    get_alphabet,
    liv_cache_bytes,
    parameter_count,
)
from star.genomes.model_config import NORMS
from star.genomes.norms import norms_of
from star.models import Cache, decode
from star.models.checkpoint import read_model_config, save_checkpoint
from star.testing.structures import run_in_parts

SIZES = ModelConfig(
    width=64, vocabulary=32, window=6, head_width=8, attention_width=192, recurrent_width=144,
    feed_forward_width=40,
)  # fmt: skip
LETTERS = get_alphabet("extended+operators")
CLASSES = [pytest.param(c.id, id=c.name) for c in LETTERS.classes]


def stack(class_id: int) -> Genome:
    return Genome((Liv(class_id, 1, 1, 1, 1), Liv(class_id, 1, 1, 1, 1)), LETTERS)


@pytest.mark.parametrize("class_id", CLASSES)
def test_every_class_has_the_parameters_and_the_cache_that_are_counted(class_id: int) -> None:
    genome = stack(class_id)
    torch.manual_seed(0)
    model = decode(genome, SIZES).eval()
    count = parameter_count(genome, SIZES)
    assert sum(p.numel() for p in model.parameters()) == count.non_embedding + count.embedding
    cache = Cache.allocate(model, 2, 9, torch.bfloat16)
    assert cache.liv_nbytes == list(liv_cache_bytes(genome, SIZES, CacheSetting(9, 2)))
    tokens = torch.randint(32, (2, 17))
    with torch.no_grad():
        torch.testing.assert_close(
            run_in_parts(model, tokens, [4, 9]), model(tokens), rtol=2e-4, atol=2e-4
        )


@pytest.mark.parametrize("class_id", [22, 23, 37, 180])
def test_groups_of_heads_have_the_parameters_and_the_cache_that_are_counted(class_id: int) -> None:
    """Each with B and C of its own; of the delta rule, which has none, there are no groups."""
    genome, grouped = stack(class_id), replace(SIZES, recurrent_groups=6)
    torch.manual_seed(0)
    model = decode(genome, grouped).eval()
    count = parameter_count(genome, grouped)
    assert sum(p.numel() for p in model.parameters()) == count.non_embedding + count.embedding
    assert (count != parameter_count(genome, SIZES)) == (class_id != 22)
    cache = Cache.allocate(model, 2, 9, torch.bfloat16)
    assert cache.liv_nbytes == list(liv_cache_bytes(genome, grouped, CacheSetting(9, 2)))
    tokens = torch.randint(32, (2, 17))
    with torch.no_grad():
        torch.testing.assert_close(
            run_in_parts(model, tokens, [4, 9]), model(tokens), rtol=2e-4, atol=2e-4
        )


def test_groups_divide_the_heads() -> None:
    sizes = ModelConfig(width=64, recurrent_groups=3)
    with pytest.raises(GenomeError, match="recurrent_groups=3: SSD has 4 heads, expected a number"):
        parameter_count(Genome.from_text("23.1.1.1.1", "extended"), sizes)


def test_given_widths_are_those_of_the_layers() -> None:
    genome = Genome.from_text("31111-51111-91111")
    attention, recurrence, feed_forward = (
        liv.output.in_features for liv in decode(genome, SIZES).livs
    )
    assert (attention, recurrence, feed_forward) == (192, 144, 40)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"head_width": 6}, "model.head_width=6: expected a multiple of 4"),
        ({"feed_forward_width": 20}, "model.feed_forward_width=20: expected a multiple of 8"),
        ({"attention_width": 8, "head_width": 16}, "SA-3 has 8 channels, which are no whole"),
        ({"attention_width": 24, "head_width": 8}, "gives 3 heads, but SA-3 repeats"),
        ({"recurrent_groups": 0}, "model.recurrent_groups=0: expected a whole number from 1"),
    ],
)
def test_widths_that_do_not_fit_are_refused(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(GenomeError, match=message):
        parameter_count(Genome.from_text("31111"), ModelConfig(width=64, **sizes))


@pytest.mark.parametrize("other", [{"match": "state:4096"}, {"search_width": 32}])
def test_a_search_at_several_widths_takes_no_given_ones(other: dict[str, object]) -> None:
    with pytest.raises((GenomeError, UserError), match="not together with model.head_width"):
        SearchModelConfig(width=64, head_width=16, **other).check()  # type: ignore[arg-type]


def test_a_checkpoint_keeps_them_and_one_of_before_has_none(tmp_path: Path) -> None:
    genome = Genome.from_text("31111-91111")
    for sizes in (SIZES, ModelConfig(width=64)):
        folder = tmp_path / str(len(sizes.given))
        folder.mkdir()
        save_checkpoint(folder, decode(genome, sizes), GenomeFile("mine", genome), sizes)
        assert read_model_config(folder / "model.yaml") == sizes
        assert ("head_width" in (folder / "model.yaml").read_text()) == bool(sizes.given)


@pytest.mark.parametrize(("norms", "before", "behind"), [("post", 0, 1), ("sandwich", 1, 1)])
def test_norms_stand_where_they_are_asked_for(norms: str, before: int, behind: int) -> None:
    sizes = replace(SIZES, norms=norms, residual_scale=0.25)
    genome = Genome.from_text("31111-51111-91111")
    model = decode(genome, sizes).eval()
    count = parameter_count(genome, sizes)
    assert sum(p.numel() for p in model.parameters()) == count.non_embedding + count.embedding
    x, liv = torch.randn(2, 7, 64), model.livs[0]
    with torch.no_grad():
        for parameter in liv.parameters():
            parameter.mul_(3)
        plain = decode(genome, SIZES).eval().livs[0]
        own = {k: v for k, v in liv.state_dict().items() if "norm" not in k}
        plain.load_state_dict({**own, "norm.weight": torch.ones(64)})
        plain.norm = torch.nn.Identity()
        expected = plain(functional.rms_norm(x, (64,), eps=1e-6) * 3 if before else x, {})[0]
        expected = functional.rms_norm(expected, (64,), eps=1e-6) * 3 if behind else expected
        torch.testing.assert_close(liv(x, {})[0], 0.25 * expected)
    tokens = torch.randint(32, (2, 17))
    with torch.no_grad():
        torch.testing.assert_close(
            run_in_parts(model, tokens, [4, 9]), model(tokens), rtol=2e-4, atol=2e-4
        )


def test_norms_stand_behind_attention_and_what_feeds_it_forward() -> None:
    """As OLMo-Hybrid has them; a feed-forward LIV that comes first has its norm before it."""
    text = "9.1.1.1.1-44.1.1.1.1-9.1.1.1.1-1.1.1.1.1-9.1.1.1.1-42.1.1.1.1-7.1.1.1.1-9.1.1.1.1"
    genome = Genome.from_text(text, "released")
    sizes = ModelConfig(width=64, norms="post_attention")
    model = decode(genome, sizes)
    behind = [isinstance(liv.norm, torch.nn.Identity) for liv in model.livs]
    assert behind == [False, False, False, True, True, True, False, False]
    assert behind == [not isinstance(liv.output_norm, torch.nn.Identity) for liv in model.livs]
    count = parameter_count(genome, sizes)
    assert sum(p.numel() for p in model.parameters()) == count.non_embedding + count.embedding


def test_every_place_of_norms_has_as_many_as_are_counted() -> None:
    genome = Genome.from_text("31111-51111-91111")
    for norms, count in NORMS.items():
        assert {sum(places) for places in norms_of(genome.classes(), norms)} == {count}


def test_unknown_norms_are_refused() -> None:
    with pytest.raises(GenomeError, match="model.norms=both: expected .* sandwich, post_attention"):
        ModelConfig(norms="both").check()
