"""Growing designs: properties of stacking and stretching, and widths for a wanted size."""

from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from star.composing.extrapolate import METHODS, shares, stack, stretch
from star.composing.sizes import SIZES, total_parameters, width_for
from star.genomes import (
    Genome,
    GenomeError,
    ModelConfig,
    load_genome,
    random_genome,
    read_genome_file,
)
from star.genomes.matching import legal_widths
from tests.conftest import Result

Command = Callable[..., Result]
COMPOSER_6 = "31111-31111-91111-91111-91111-91111"


def runs(genome: Genome) -> list[tuple[str, int]]:
    """Classes and lengths of the runs of equal classes."""
    names = [liv_class.name for liv_class in genome.classes()]
    return [(name, len([*run])) for name, run in groupby(names)]


def drawn(seed: int, depth: int) -> Genome:
    return random_genome(depth, np.random.default_rng(seed), "extended", 0.5).canonical()


@given(seed=st.integers(0, 10**6), depth=st.integers(1, 12), more=st.integers(0, 30))
def test_grown_designs_are_valid_and_as_deep_as_asked(seed: int, depth: int, more: int) -> None:
    genome = drawn(seed, depth)
    for grow in METHODS.values():
        grown = grow(genome, depth + more)
        assert grown.depth == depth + more and not grown.validate()
        assert grown == grown.canonical()
        if not more:
            assert grown == genome


@given(seed=st.integers(0, 10**6), depth=st.integers(1, 8), times=st.integers(1, 5))
def test_a_stack_to_a_multiple_repeats_exactly(seed: int, depth: int, times: int) -> None:
    genome = drawn(seed, depth)
    grown = stack(genome, times * depth)
    names = [liv_class.name for liv_class in genome.classes()]
    assert [liv_class.name for liv_class in grown.classes()] == names * times
    for index, sharing in enumerate(grown.sharing):
        block, own = index // depth, genome.sharing[index % depth]
        assert sharing.borrowed == own.borrowed
        assert sharing.feature_owner == own.feature_owner + block * depth
        owners = {group: owner + block * depth for group, owner in own.weight_owner.items()}
        assert sharing.weight_owner == owners


@given(seed=st.integers(0, 10**6), depth=st.integers(1, 12), more=st.integers(0, 40))
def test_a_stretch_keeps_proportions_to_within_one(seed: int, depth: int, more: int) -> None:
    genome = drawn(seed, depth)
    before, after = runs(genome), runs(stretch(genome, depth + more))
    assert [name for name, _ in after] == [name for name, _ in before]
    for (_, small), (_, large) in zip(before, after, strict=True):
        assert abs(large - small * (depth + more) / depth) < 1


@given(seed=st.integers(0, 10**6), depth=st.integers(2, 8), times=st.integers(2, 4))
def test_who_shares_goes_on_to(seed: int, depth: int, times: int) -> None:
    """At a multiple each LIV has as many copies; those of a sharing LIV share with the owner's."""
    genome = drawn(seed, depth)
    grown = stretch(genome, times * depth)
    for index, own in enumerate(genome.sharing):
        for copy in range(index * times, (index + 1) * times):
            sharing = grown.sharing[copy]
            if own.borrowed:
                assert sharing.borrowed == own.borrowed
                assert sharing.feature_owner == own.feature_owner * times
            if len({*own.weight_owner.values()} - {index}) and not sharing.borrowed:
                assert {*sharing.weight_owner.values()} - {copy}


@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=9), more=st.integers(0, 200))
def test_shares_add_up(sizes: list[int], more: int) -> None:
    total = sum(sizes) + more
    found = shares(total, sizes)
    assert sum(found) == total
    for size, share in zip(sizes, found, strict=True):
        assert size <= share and abs(share - size * total / sum(sizes)) < 1


def test_composers_designs_as_published() -> None:
    six, sixteen = load_genome("composer_6")[0], load_genome("composer_16")[0]
    assert runs(six) == [("SA-3", 2), ("GMemless", 4)]
    assert [length for _, length in runs(sixteen)] == [2, 5, 2, 3, 1, 3]
    assert runs(stack(six, 24)) == [("SA-3", 2), ("GMemless", 4)] * 4
    assert [length for _, length in runs(stretch(sixteen, 32))] == [4, 10, 4, 6, 2, 6]
    assert [length for _, length in runs(stretch(six, 15))] == [5, 10]


@pytest.mark.slow
@given(seed=st.integers(0, 10**6), target=st.integers(20_000, 40_000_000))
def test_a_size_is_met_or_the_nearest_are_named(seed: int, target: int) -> None:
    genome, model = drawn(seed, 6), ModelConfig()
    sizes: dict[int, int] = {}
    for width in legal_widths():
        try:
            sizes[width] = total_parameters(genome, ModelConfig(width=width))
        except GenomeError:
            continue
        if sizes[width] > 2 * target:
            break
    nearest = min(sizes, key=lambda width: abs(sizes[width] - target))
    try:
        found = width_for(genome, model, target)
    except GenomeError as error:
        assert abs(sizes[nearest] - target) > 0.01 * target
        assert f"{sizes[nearest]:,} at width {nearest}" in str(error)
    else:
        assert abs(sizes[found] - target) <= 0.01 * target
        assert abs(sizes[found] - target) == abs(sizes[nearest] - target)


def test_presets_are_models_of_their_size() -> None:
    """Within a third of what they are called: feed-forward layers are wider in Llama."""
    genome = load_genome("composer_6")[0]
    for name, size in SIZES.items():
        grown = stack(genome, size.depth)
        count = total_parameters(grown, ModelConfig(width=size.width, vocabulary=size.vocabulary))
        called = float(name[:-1]) * {"m": 1e6, "b": 1e9}[name[-1]]
        assert 2 / 3 < count / called < 4 / 3, (name, count)


def test_the_command_writes_a_genome_file(command: Command, tmp_path: Path) -> None:
    arguments = ("genome=composer_6", "depth=12", "width=64", "to=large.yaml")
    result = command("extrapolate", *arguments)
    assert result.returncode == 0, result.stderr
    assert "stack of composer_6" in result.stdout and "genome file: large.yaml" in result.stdout
    content = read_genome_file(tmp_path / "large.yaml")
    assert content.genome == stack(Genome.from_text(COMPOSER_6), 12)
    assert content.parents == [Genome.from_text(COMPOSER_6).id]
    assert content.settings["model"]["width"] == 64
    described = command("describe", "genome=large.yaml", "format=json")
    assert '"width": 64' in described.stdout and '"depth": 12' in described.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "depth=None: expected a number of LIVs, or size=1b"),
        (["depth=4"], "depth=4: the genome has 6 LIVs; expected at least as many"),
        (["depth=12", "method=fold"], "method=fold: expected one of stack, stretch"),
        (["size=2b"], "size=2b: expected one of 350m, 1b, 3b, 8b"),
        (["depth=12", "width=64", "target_parameters=1M"], "width=64: expected null"),
        (["depth=12", "target_parameters=1"], "target_parameters=1: no legal width is within"),
        (["depth=12", "target_parameters=0"], "target_parameters=0: expected a positive number"),
        (["depth=12", "tolerance=2"], "tolerance=2.0: expected a share from 0 to 1"),
        (["depth=12", "width=65"], "width=65: expected a multiple of 16"),
        (["depth=12", "to=there.yaml"], "to=there.yaml: is a file already"),
        (["depth=12", "to=no/where.yaml"], "to=no/where.yaml: cannot be written"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], expected: str, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "there.yaml").write_text("mine")
    result = command("extrapolate", f"genome={COMPOSER_6}", *arguments)
    assert result.returncode == 2 and expected in result.stderr, result.stderr
    assert result.stderr.count("\n") == 1
    assert (tmp_path / "there.yaml").read_text() == "mine"


def test_the_genes_of_the_backbone_stay() -> None:
    """The residual scale by depth follows the new one."""
    small = Genome.from_text("11111-91111-43")
    for grow in METHODS.values():
        grown = grow(small, 6)
        assert grown.backbone == small.backbone and grown.to_text().endswith("-43")
        assert grown.sizes(ModelConfig()).residual_scale == pytest.approx(6**-0.5)
