"""What may be replaced, what it costs, and what is kept at a budget."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from star.base.errors import UserError
from star.genomes import Backbone, CacheSetting, Genome, ModelConfig, cache_bytes, random_genome
from star.genomes.hybrids import GenomeComponent, Hybrid, hybrid_alphabet
from star.genomes.widths import fits
from star.hybrids.linearise import Plan
from star.hybrids.linearise.plan import find_replacement
from tests.hybrids.linearise.small import ALL, GENOME, SIZES, plan

FOUR = Genome.from_text("-".join(["11111", "91111"] * 4))
shares = st.lists(st.floats(0, 1), min_size=4, max_size=4)


def test_units_are_what_shares_and_grows() -> None:
    assert [unit.livs for unit in plan().units] == [(0,), (2,), (3, 5), (6,)]
    tied = Genome.from_text("11211-71111-11211-11111-13111", "star")
    assert [unit.livs for unit in plan(tied.canonical()).units] == [(0, 2), (3,), (4,)]
    mixed = Genome.from_text("51111-71111-81111-91111-19.1.1.1.1".replace("19.", "1."), "star")
    assert [unit.livs for unit in plan(mixed).units] == [(2,), (4,)]  # Hyena grows as well


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), depth=st.integers(1, 10), data=st.data())
def test_any_choice_is_a_valid_genome_whose_cache_is_as_planned(
    seed: int, depth: int, data: st.DataObject
) -> None:
    genome = random_genome(depth, np.random.default_rng(seed), "released", 0.5)
    assume(all(fits(liv_class, SIZES) for liv_class in genome.classes()))
    try:
        found = plan(genome)
    except UserError:
        return
    kept = [data.draw(st.booleans()) for _ in found.units]
    assert len(set(found.livs)) == len(found.livs)
    made = found.genome_of(kept).check()
    assert cache_bytes(made, SIZES, ALL) == found.bytes_of(kept)
    assert found.genome_of([True] * len(kept)) == genome.canonical()
    gone = found.replaced_livs(kept)
    for index, (before, after) in enumerate(zip(genome.classes(), made.classes(), strict=True)):
        assert after.name == ("GatedDelta" if index in gone else before.name)
        if index in gone:
            assert not made.sharing[index].borrowed and not made.sharing[index].tied(index)
        else:
            assert made.sharing[index] == genome.canonical().sharing[index]


def test_the_genes_of_the_backbone_stay() -> None:
    found = plan(Genome.from_text("11111-91111-11111-43"))
    for kept in product([False, True], repeat=2):
        assert found.genome_of(kept).to_text().endswith("4.3" if not all(kept) else "43")


@settings(max_examples=30)
@given(importance=shares, budget=st.floats(0.01, 0.99), context=st.integers(1, 2000))
def test_the_most_important_that_fit_are_kept(
    importance: list[float], budget: float, context: int
) -> None:
    found = Plan.make(FOUR, SIZES, CacheSetting(context=context), "GatedDelta")
    most = budget * cache_bytes(FOUR, SIZES, found.cache)
    order = sorted(range(4), key=lambda n: (-importance[n], n))
    # Of all choices within the budget the first in the order of importance.
    within = [
        tuple(kept[n] for n in order)
        for kept in product((False, True), repeat=4)
        if cache_bytes(found.genome_of(kept), SIZES, found.cache) <= most
    ]
    if not within:
        with pytest.raises(UserError, match=r"^budget=.*give a larger budget"):
            found.choose(importance, budget)
        return
    kept = found.choose(importance, budget)
    assert tuple(kept[n] for n in order) == max(within)


@pytest.mark.parametrize(("budget", "count"), [(0.26, 1), (0.51, 2), (0.76, 3), (0.5, 1)])
def test_states_count_and_the_next_budget_says_so(budget: float, count: int) -> None:
    found = Plan.make(FOUR, ModelConfig(width=64), CacheSetting(), "GatedDelta")
    kept = found.choose([0.1, 0.4, 0.3, 0.2], budget)
    assert sum(kept) == count and kept[1]
    more = found.next_budget([0.1, 0.4, 0.3, 0.2], kept)
    if more is None:
        assert count == 3
    else:
        assert sum(found.choose([0.1, 0.4, 0.3, 0.2], more)) == count + 1
        assert sum(found.choose([0.1, 0.4, 0.3, 0.2], more - 2e-4)) == count


@pytest.mark.parametrize(
    ("genome", "replacement", "message"),
    [
        (GENOME, "SA-1", "replacement=SA-1: expected one of"),
        (GENOME, "GConv-1", "replacement=GConv-1: expected one of"),
        (GENOME, "nothing", "replacement=nothing: expected one of"),
        (Genome.from_text("71111-91111"), "GatedDelta", "has no attention to replace"),
    ],
)
def test_what_cannot_be_planned(genome: Genome, replacement: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan(genome, replacement)


def test_a_hybrid_of_several_is_refused() -> None:
    components = tuple(GenomeComponent(name, name, GENOME, SIZES) for name in ("one", "two"))
    alphabet = hybrid_alphabet("hybrid:here", Hybrid("both", components, 2), "digest")
    with pytest.raises(UserError, match="is a hybrid of several"):
        plan(Genome.from_text("11111-21111", alphabet))


def test_norms_that_follow_from_attention_are_refused() -> None:
    """With them norms move behind an attention that goes, and weights would not fit."""
    sizes = replace(SIZES, norms="post_attention")
    with pytest.raises(UserError, match="has model.norms=post_attention"):
        Plan.make(GENOME, sizes, ALL, "GatedDelta")
    own = Genome(GENOME.livs, GENOME.alphabet, Backbone(norms=2))  # pre, whatever the sizes say
    assert Plan.make(own, sizes, ALL, "GatedDelta").units


def test_replacements_are_recurrences() -> None:
    for name in ("LinAttn", "Rec-1", "Rec-2-Diff", "GatedDelta", "SSD", "KDA"):
        assert find_replacement(name, ModelConfig()).name == name


def test_the_alphabet_has_all_classes() -> None:
    assert plan().genome_of([False] * 4).alphabet.name == "extended"
    assert plan(replacement="KDA").genome_of([False] * 4).alphabet.name == "released"
    assert plan(replacement="Rec-1").genome_of([False] * 4).alphabet.name == "star"
    odd = Genome.from_text("128.1.1.1.1-9.1.1.1.1", "star+operators")  # without a name
    assert plan(odd).genome_of([False]).alphabet.name == "star+operators"
    assert plan(odd, "KDA").genome_of([True]).id == odd.id
