"""The card of an architecture: what it draws is what the genome says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from star.base.errors import UserError
from star.genomes import (
    CacheSetting,
    Genome,
    ModelConfig,
    cache_bytes,
    parameter_count,
    random_genome,
)
from star.runs.report import vega
from star.runs.report.cards import FEATURES, WEIGHTS, card_picture, card_rows, card_specification

MODEL, CACHE = ModelConfig(width=64), CacheSetting()


@given(seed=st.integers(0, 10_000), depth=st.integers(1, 16))
def test_every_share_is_an_arc_and_costs_add_up(seed: int, depth: int) -> None:
    genome = random_genome(depth, np.random.default_rng(seed), "extended", 0.6).canonical()
    rows = card_rows(genome, MODEL, CACHE)
    livs = [row for row in rows if row["kind"] == "liv"]
    assert [row["class"] for row in livs] == [c.name for c in genome.classes()]
    assert sum(row["cache"] for row in livs) == cache_bytes(genome, MODEL, CACHE)
    counted = parameter_count(genome, MODEL)
    assert sum(row["parameters"] for row in livs) == sum(counted.per_liv)
    features = {(row["owner"], row["liv"]) for row in rows if row["kind"] == FEATURES}
    weights = {(row["owner"], row["liv"]) for row in rows if row["kind"] == WEIGHTS}
    sharing = list(enumerate(genome.sharing))
    assert features == {(s.feature_owner, n) for n, s in sharing if s.borrowed}
    assert weights == {(owner, n) for n, s in sharing for owner in s.weight_owner.values()
                       if owner != n}  # fmt: skip


def test_without_sizes_there_are_no_costs() -> None:
    rows = card_rows(Genome.from_text("11111-91111"), None, None)
    assert [row["parameters"] for row in rows] == [None, None]


def test_a_card_can_be_drawn() -> None:
    genome = Genome.from_text("31111-91121-31112-91121")
    specification = card_picture(card_rows(genome.canonical(), MODEL, CACHE), "<b>lfm</b> & co")
    svg = vega.picture(specification, "svg").decode()
    assert svg.count("SA-3") >= 2 and "GMemless" in svg
    assert "&lt;b&gt;lfm&lt;/b&gt; &amp; co" in svg
    assert vega.picture(specification, "png").startswith(b"\x89PNG")


def test_a_card_has_room_for_each_liv() -> None:
    heights = [part["height"] for part in card_specification(24)["hconcat"]]
    assert heights == [24 * 26] * len(heights)


def test_without_vl_convert_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vega, "is_installed", lambda: False)
    with pytest.raises(UserError, match="pip install vl-convert-python"):
        vega.picture({}, "svg")
