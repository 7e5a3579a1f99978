"""Letters within a budget, against all genomes of small hybrids."""

from functools import cache
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star.base.errors import UserError
from star.genomes import CacheSetting
from star.genomes.hybrids import Hybrid, HybridAlphabet, hybrid_alphabet
from star.genomes.hybrids.hybrid import ENDS
from star.hybrids.config import COSTS, HybridConfig
from star.hybrids.costs import cost_table, exact_cost
from star.hybrids.discretise import check_budget, genome_of, nearest_letters
from star.hybrids.within import Limit

from .tiny import FIRST, SECOND, component, hybrid

CACHE = CacheSetting(context=32)
# Keys and values of the third LIV are those of the first: in two blocks and in four another's.
BORROWING = "11112-91111-11112-91111"


def three(blocks: int, ends: str = "mixed", projector: str = "identity") -> Hybrid:
    own = (
        component(FIRST, "window"),
        component(SECOND + "-91111", "recurrence", 32),
        component(BORROWING, "borrowing"),
    )
    return hybrid(components=own, blocks=blocks, parts=3, ends=ends, projector=projector)


def all_letters(alphabet: HybridAlphabet, kind: str) -> list[int]:
    return [
        letter.id
        for letter in alphabet.classes
        if kind == "parts" or max(letter.shares) == sum(letter.shares)  # type: ignore[attr-defined]
    ]


@cache
def all_costs(kind: str, name: str, *given: Any) -> dict[tuple[int, ...], int]:
    """Of every genome of `alphabet_of`."""
    alphabet = alphabet_of(*given)
    return {
        letters: exact_cost(genome_of(alphabet, letters), name, CACHE)
        for letters in product(all_letters(alphabet, kind), repeat=alphabet.hybrid.blocks)
    }


@cache
def alphabet_of(*given: Any) -> HybridAlphabet:
    return hybrid_alphabet("hybrid:x", three(*given), "0" * 16)


def distance(alphabet: HybridAlphabet, letters: tuple[int, ...], rows: list[list[float]]) -> float:
    weights = alphabet.hybrid.weights(genome_of(alphabet, letters))
    return sum(
        (a - b) ** 2
        for own, row in zip(weights, rows, strict=True)
        for a, b in zip(own, row, strict=True)
    )


WEIGHTS = st.lists(st.floats(0.01, 1), min_size=3, max_size=3)


@given(
    rows=st.lists(WEIGHTS, min_size=2, max_size=2),
    share=st.floats(0.1, 1.1),
    name=st.sampled_from(COSTS),
    ends=st.sampled_from([*ENDS, "2"]),
    projector=st.sampled_from(["identity", "two_layer"]),
)
def test_none_within_the_budget_is_nearer(
    rows: list[list[float]], share: float, name: str, ends: str, projector: str
) -> None:
    rows = [[weight / sum(row) for weight in row] for row in rows]
    alphabet = alphabet_of(2, ends, projector)
    costs = all_costs("parts", name, 2, ends, projector)
    limit = Limit(name, share * max(costs.values()), CACHE)
    within = [letters for letters, cost in costs.items() if cost <= limit.most]
    if not within:
        with pytest.raises(UserError, match="the cheapest mixture of these components costs") as e:
            nearest_letters(alphabet, rows, "parts", limit)
        assert f"{min(costs.values()):,}" in str(e.value)
        return
    found = tuple(nearest_letters(alphabet, rows, "parts", limit))
    assert costs[found] <= limit.most
    nearest = min(distance(alphabet, letters, rows) for letters in within)
    assert distance(alphabet, found, rows) == pytest.approx(nearest, abs=1e-9)


@given(st.lists(WEIGHTS, min_size=4, max_size=4), st.floats(0.05, 1.0))
def test_one_component_a_block(rows: list[list[float]], share: float) -> None:
    alphabet = alphabet_of(4)
    costs = all_costs("one_hot", "cache_bytes", 4)
    limit = Limit("cache_bytes", min(costs.values()) + share * max(costs.values()), CACHE)
    found = tuple(nearest_letters(alphabet, rows, "one_hot", limit))
    within = [letters for letters, cost in costs.items() if cost <= limit.most]
    assert found in within
    nearest = min(distance(alphabet, letters, rows) for letters in within)
    assert distance(alphabet, found, rows) == pytest.approx(nearest, abs=1e-9)


def test_without_a_limit_that_matters_they_are_the_nearest() -> None:
    alphabet = alphabet_of(2)
    rows = [[0.6, 0.3, 0.1], [0.1, 0.1, 0.8]]
    for kind in ("parts", "one_hot"):
        free = nearest_letters(alphabet, rows, kind)
        assert nearest_letters(alphabet, rows, kind, Limit("flops", 1e12, CACHE)) == free


def test_what_is_borrowed_counts_before_the_search() -> None:
    other = component("91111-11111", "other", 32)
    one = hybrid(components=(component(BORROWING, "borrowing"), other), blocks=2)
    config = HybridConfig(cost="cache_bytes", budget="2kB", discretise="one_hot")
    # A feed-forward layer, then attention that borrows: each by itself has no cache.
    keys_and_values = 2 * 16 * 32 * 2
    assert cost_table(one, "cache_bytes", CACHE).cheapest == 0
    with pytest.raises(UserError, match=rf"^hybrid.budget=2kB: .* costs {keys_and_values:,} byt"):
        check_budget(one, config, CACHE)
    config.budget = str(keys_and_values)
    check_budget(one, config, CACHE)
