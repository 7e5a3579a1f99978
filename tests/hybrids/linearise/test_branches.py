"""What of the attention's weights a branch begins with."""

import pytest
import torch
from torch.nn import functional as F
from transformers.models.llama.modeling_llama import repeat_kv

from star.genomes import Genome
from star.genomes.model_config import head_width
from star.hybrids.linearise.branches import attention_weights, carry_over, fitting, make_branches
from star.models.convolution import ShortConvolution
from tests.hybrids.linearise.small import SIZES, model, plan

WIDTH = SIZES.width
B = "featurizer.groups.B.0.projection.weight"


def test_keys_are_repeated_as_in_grouped_query_attention() -> None:
    heads = head_width(SIZES)
    found, x = torch.randn(2 * heads, WIDTH), torch.randn(3, 5, WIDTH)
    fitted = fitting(found, torch.empty(4 * heads, WIDTH), B, heads)
    assert fitted is not None
    few = F.linear(x, found).unflatten(-1, (2, heads)).transpose(1, 2)
    many = F.linear(x, fitted).unflatten(-1, (4, heads)).transpose(1, 2)
    assert torch.equal(many, repeat_kv(few, 2))
    assert fitting(found, torch.empty(3 * heads, WIDTH), B, heads) is None
    assert fitting(found, torch.empty(2 * heads, WIDTH + 8), B, heads) is None
    assert fitting(torch.randn(WIDTH), torch.empty(2 * WIDTH), "norm.weight", heads) is None


@pytest.mark.parametrize("taps", [2, 3, 4])
def test_taps_meet_the_same_positions(taps: int) -> None:
    short, long = ShortConvolution(8, taps, False, True), ShortConvolution(8, 4, False, True)
    name = "featurizer.groups.B.0.convolution.weight"
    fitted = fitting(short.weight, long.weight, name, 8)
    assert fitted is not None
    long.weight.data = fitted.detach()
    x = torch.randn(2, 9, 8)
    torch.testing.assert_close(long(x), short(x))


def test_projections_output_and_norm_are_the_attentions() -> None:
    original, found = model(), plan()
    torch.manual_seed(1)
    branches = make_branches(original, found)
    assert list(branches) == [0, 2, 3, 5, 6]
    for place, branch in branches.items():
        there, here = attention_weights(original, place), dict(branch.named_parameters())
        for name in ("norm.weight", "output.weight", B.replace("B", "C")):
            assert torch.equal(here[name], there[name]), (place, name)
    borrower = dict(branches[5].named_parameters())
    owner = dict(original.livs[3].named_parameters())
    assert torch.equal(borrower[B], owner[B])  # which it has no weights of its own for
    grouped = dict(branches[2].named_parameters())[B].unflatten(0, (4, -1))
    assert all(torch.equal(head, grouped[0]) for head in grouped)


def test_new_convolutions_change_nothing_and_the_rest_is_of_the_seed() -> None:
    original, found = model(), plan()
    seeds = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        seeds.append(dict(make_branches(original, found)[0].named_parameters()))
    taps = seeds[0]["featurizer.groups.V.0.convolution.weight"]
    assert taps[:, -1].eq(1).all() and taps[:, :-1].eq(0).all()
    fresh = "featurizer.groups.G.0.projection.weight"
    assert torch.equal(seeds[0][fresh], seeds[1][fresh])
    assert not torch.equal(seeds[0][fresh], seeds[2][fresh])
    assert torch.equal(seeds[0][B], seeds[2][B])


@pytest.mark.parametrize(
    "replacement", ["LinAttn", "SSD", "KDA", pytest.param("Rec-1", marks=pytest.mark.slow)]
)
def test_any_recurrence_may_stand_beside_attention(replacement: str) -> None:
    found, original = plan(replacement=replacement), model()
    branches = make_branches(original, found)
    x = torch.randn(2, 7, WIDTH)
    assert all(branch(x, {})[0].shape == x.shape for branch in branches.values())
    liv_class, branch = found.replacement, branches[0]
    carried = carry_over(attention_weights(original, 0), branch, liv_class, 8)
    assert 0 < carried <= sum(weights.numel() for weights in branch.parameters())


def test_linear_attention_begins_with_all_of_attention() -> None:
    genome = Genome.from_text("11111-31111")
    original, found = model(genome), plan(genome, "LinAttn")
    for place, branch in make_branches(original, found).items():
        there = attention_weights(original, place)
        carried = carry_over(there, branch, found.replacement, head_width(SIZES))
        assert carried == sum(weights.numel() for weights in branch.parameters())
