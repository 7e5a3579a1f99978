"""Gates: closed they give the original, open the new model, bit for bit."""

from itertools import product

import pytest
import torch

from star.base.files import copy_weights
from star.genomes import Genome
from star.hybrids.linearise.branches import make_branches
from star.hybrids.linearise.gates import Gates, gated_model, merged_weights
from star.models import decode
from tests.hybrids.linearise.small import GENOME, SIZES, model, plan, tokens

CHOICES = [*product((True, False), repeat=4)]


def set_gates(gates: Gates, kept: tuple[bool, ...]) -> None:
    """Wholly closed, or wholly open."""
    with torch.no_grad():
        values = [-torch.inf if is_kept else torch.inf for is_kept in kept]
        gates.alpha.copy_(torch.tensor(values))


@pytest.mark.parametrize("kept", CHOICES[::3])
@pytest.mark.parametrize("replacement", ["GatedDelta", "LinAttn"])
def test_gates_that_are_open_or_closed_are_the_decoded_genome(
    kept: tuple[bool, ...], replacement: str
) -> None:
    original, found = model(), plan(replacement=replacement)
    branches = make_branches(original, found)
    gates = Gates(found, 0.5)
    set_gates(gates, kept)
    used = {place: branches[place] for place in found.replaced_livs(kept)}
    new = decode(found.genome_of(kept), SIZES)
    copy_weights(new, merged_weights(original, used))
    with torch.no_grad():
        gated = gated_model(original, branches, gates)(tokens())
        torch.testing.assert_close(new(tokens()), gated, rtol=0, atol=0)
        if all(kept):
            assert torch.equal(gated, original(tokens()))


def test_weights_that_are_tied_are_merged_once() -> None:
    genome = Genome.from_text("11211-21111-11211-91111").canonical()
    original, found = model(genome), plan(genome)
    branches = make_branches(original, found)
    for kept in product((True, False), repeat=2):
        used = {place: branches[place] for place in found.replaced_livs(kept)}
        new = decode(found.genome_of(kept), SIZES)
        assert merged_weights(original, used).keys() == dict(new.named_parameters()).keys()


def test_the_mixture_is_linear_in_a_gate() -> None:
    genome = Genome.from_text("11111")
    original, found = model(genome), plan(genome)
    branches, gates = make_branches(original, found), Gates(found, 0.25)
    x = torch.randn(2, 5, SIZES.width)
    mixed = gated_model(original, branches, gates).livs[0](x, {})[0]
    attention, branch = original.livs[0](x, {})[0], branches[0](x, {})[0]
    torch.testing.assert_close(mixed, 0.75 * attention + 0.25 * branch)


def test_the_original_keeps_its_own_modules() -> None:
    original, found = model(), plan()
    before = original(tokens())
    gated = gated_model(original, make_branches(original, found), Gates(found, 0.5))
    assert torch.equal(original(tokens()), before)
    assert not torch.equal(gated(tokens()), before)
    ours = {id(weights) for weights in original.parameters()}
    assert ours <= {id(weights) for weights in gated.parameters()}


def test_the_expected_share_is_that_of_the_choice_at_its_ends() -> None:
    found = plan()
    gates = Gates(found, 0.5)
    for kept in CHOICES:
        set_gates(gates, kept)
        share = found.bytes_of(kept) / found.original_bytes
        assert gates.expected_share().item() == pytest.approx(share, abs=1e-6)
    assert Gates(found, 0.3)().tolist() == pytest.approx([0.3] * 4)
    assert Gates(found, 0.3).importance == pytest.approx([0.7] * 4)


def test_the_design_of_these_tests_shares() -> None:
    assert GENOME.sharing[5].borrowed
