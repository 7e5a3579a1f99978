"""Letters of hybrids, their costs and files."""

from dataclasses import replace
from math import comb
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from star.genomes import (
    CacheSetting,
    Genome,
    GenomeError,
    GenomeFile,
    ModelConfig,
    cache_bytes,
    flops_per_token,
    genome_file_text,
    get_alphabet,
    parameter_count,
    read_genome_file,
    state_bytes,
)
from star.genomes.hybrids import (
    ForeignComponent,
    ForeignSegment,
    beside,
    compositions,
    hybrid_text,
    read_hybrid,
    read_hybrid_sizes,
    segments_of,
    write_hybrid,
)
from tests.mixtures import PARTS, hybrid_of, mixed


@given(st.integers(1, 60), st.integers(1, 60))
def test_segments_are_as_equal_as_can_be(layers: int, blocks: int) -> None:
    if blocks > layers:
        with pytest.raises(GenomeError, match=f"blocks={blocks}: expected 1 to {layers}"):
            segments_of(layers, blocks)
        return
    segments = segments_of(layers, blocks)
    assert [layer for segment in segments for layer in segment] == list(range(layers))
    lengths = [len(segment) for segment in segments]
    assert max(lengths) - min(lengths) <= 1
    assert lengths == sorted(lengths, reverse=True)


@given(st.integers(1, 6), st.integers(2, 4))
def test_letters_are_all_ways_to_divide(parts: int, components: int) -> None:
    found = compositions(parts, components)
    assert len(set(found)) == len(found) == comb(parts + components - 1, components - 1)
    assert all(sum(shares) == parts and min(shares) >= 0 for shares in found)


@pytest.mark.parametrize("text", ["11211-11211-31211", "12211-12211-33211"])
def test_letters_have_no_weights_to_share(tmp_path: Path, text: str) -> None:
    alphabet = write_hybrid(tmp_path, hybrid_of("attention", "lfm2", blocks=3))
    plain = Genome.from_text("11111-11111-31111", alphabet)
    assert Genome.from_text(text, alphabet).canonical() == plain


def test_a_component_alone_costs_what_it_costs(tmp_path: Path) -> None:
    hybrid = hybrid_of(*PARTS, blocks=3, parts=2)
    alphabet, cache = write_hybrid(tmp_path, hybrid), CacheSetting(512, 2, "float32")
    for number, (genome, sizes) in enumerate(PARTS.values()):
        alone = Genome.from_genes([[alphabet.alone(number).id, 1, 1, 1, 1]] * 3, alphabet)
        assert cache_bytes(alone, hybrid.sizes, cache) == cache_bytes(genome, sizes, cache)
        assert state_bytes(alone, hybrid.sizes, cache) == state_bytes(genome, sizes, cache)
        assert flops_per_token(alone, hybrid.sizes, 99) == flops_per_token(genome, sizes, 99)
        found, expected = parameter_count(alone, hybrid.sizes), parameter_count(genome, sizes)
        assert found.non_embedding == expected.non_embedding
        assert found.embedding == expected.embedding


def test_a_block_that_is_borrowed_from_stays(tmp_path: Path) -> None:
    hybrid = hybrid_of("attention", "sharing", blocks=2)
    alphabet = write_hybrid(tmp_path, hybrid)
    # LIV 4 of the second component borrows from LIV 0, which is in its first block.
    late = mixed(alphabet, "Mix-4-0", "Mix-0-4")
    assert hybrid.needed(hybrid.weights(late)) == ((True, True), (False, True))
    early = mixed(alphabet, "Mix-0-4", "Mix-4-0")
    assert hybrid.needed(hybrid.weights(early)) == ((False, True), (True, False))


@pytest.mark.parametrize("mixture", [(), ((0.25, 0.75), (1.0, 0.0))])
@pytest.mark.parametrize("ends", ["mixed", "averaged", "shared", "1"])
def test_files_come_back(tmp_path: Path, ends: str, mixture: tuple[tuple[float, ...], ...]) -> None:
    hybrid = hybrid_of("lfm2", "sharing", ends=ends, mixture=mixture, projector="skip")
    folder = tmp_path / "hybrid"
    folder.mkdir()
    alphabet = write_hybrid(folder, hybrid)
    assert alphabet.hybrid == hybrid
    assert get_alphabet(alphabet.name) is read_hybrid(str(folder))
    genome = mixed(alphabet, "Mix-1-3", "found" if mixture else "Mix-4-0")
    path = folder / "genome.yaml"
    path.write_text(genome_file_text(GenomeFile("one", genome)))
    assert read_genome_file(path).genome == genome
    # The file of a checkpoint names the folder that it is in, wherever that is.
    path.write_text(genome_file_text(GenomeFile("one", beside(genome))))
    moved = folder.rename(tmp_path / "moved")
    found = read_genome_file(moved / "genome.yaml").genome
    assert found.id == genome.id
    assert found.alphabet.hybrid == hybrid


def test_ids_tell_hybrids_apart(tmp_path: Path) -> None:
    ids = set()
    hybrid = hybrid_of("attention", "lfm2")
    other: Any = replace(hybrid.components[0], digest="f" * 16)  # type: ignore[type-var]
    for number, one in enumerate(
        (hybrid, replace(hybrid, components=(other, hybrid.components[1])))
    ):
        (tmp_path / str(number)).mkdir()
        ids.add(mixed(write_hybrid(tmp_path / str(number), one), "Mix-4-0", "Mix-2-2").id)
    assert len(ids) == 2


def test_inert_genes_are_no_other_genome(tmp_path: Path) -> None:
    alphabet = write_hybrid(tmp_path, hybrid_of("attention", "lfm2"))
    plain = Genome.from_text("11111-51111", alphabet)
    assert Genome.from_text("11211-51211", alphabet).id == plain.id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mixture": ((0.5, 0.4), (1, 0))}, r"weights of block 0 are \[0.5, 0.4\], .* sum of 1"),
        ({"mixture": ((1.5, -0.5), (1, 0))}, "expected none below 0"),
        ({"mixture": ((1.0, 0.0),)}, "mixture: has 1 rows, expected one for each of 2 blocks"),
        ({"mixture": ((1.0,), (1.0,))}, "block 0 has 1 weights, expected one for each of 2"),
        ({"blocks": 5}, "blocks=5: attention has 4 layers only"),
        ({"parts": 0}, "parts=0: expected 1 to 16"),
        ({"projector": "magic"}, "projector=magic: expected one of linear, identity"),
        ({"ends": "2"}, "ends=2: expected one of mixed, averaged, shared, 0, 1"),
    ],
)
def test_what_contradicts_itself(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(GenomeError, match=message):
        write_hybrid(tmp_path, replace(hybrid_of("attention", "lfm2"), **change))  # type: ignore[arg-type]


def test_vocabularies_differ() -> None:
    hybrid = hybrid_of("attention", "lfm2")
    larger = replace(hybrid.components[1], sizes=ModelConfig(width=64, vocabulary=300))  # type: ignore[call-arg]
    with pytest.raises(GenomeError, match="attention knows 256 tokens and lfm2 300"):
        replace(hybrid, components=(hybrid.components[0], larger)).check()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "expected a mapping with the key 'schema: 1'"),
        ("schema: 2", "expected a mapping with the key 'schema: 1'"),
        ("schema: true\nname: x", "expected a mapping with the key 'schema: 1'"),
        ("schema: 1\nname: x", "key 'blocks' is missing"),
        ("schema: 1\nname: x\ncomponents: []\nblocks: .inf", "'blocks' is inf, expected int"),
        ("schema: 1\nfoo: x", "unknown key 'foo'"),
        ("a: [", "hybrid.yaml"),
    ],
)
def test_files_of_something_else(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "hybrid.yaml").write_text(text)
    with pytest.raises(GenomeError, match=message) as error:
        read_hybrid(str(tmp_path))
    assert "hybrid.yaml" in str(error.value)
    assert "\n" not in str(error.value)


def test_sizes_are_the_hybrids(tmp_path: Path) -> None:
    hybrid = hybrid_of("attention", "lfm2")
    genome = mixed(write_hybrid(tmp_path, hybrid), "Mix-4-0", "Mix-4-0")
    with pytest.raises(
        GenomeError, match=r"model.width=32: hybrid test has 64; set model.width=64"
    ):
        parameter_count(genome, ModelConfig(width=32))
    short = mixed(genome.alphabet, "Mix-4-0")  # type: ignore[arg-type]
    with pytest.raises(GenomeError, match="has 2 blocks, expected one for each"):
        parameter_count(short, hybrid.sizes)


def changed(folder: Path, place: tuple[Any, ...], value: Any) -> None:
    """Write a hybrid of attention and a component of theirs, with another value at a place."""
    hybrid = replace(hybrid_of("attention", "lfm2"), mixture=((0.25, 0.75), (1.0, 0.0)))
    hybrid = replace(hybrid, components=(hybrid.components[0], FOREIGN))
    content = yaml.safe_load(hybrid_text(hybrid))
    inside = content
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    (folder / "hybrid.yaml").write_text(yaml.safe_dump(content))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("components", 1, "width"), 0, "component 1: width is 0, expected at least 1"),
        (("components", 1, "layer", "products"), -1, "products is -1, expected at least 0"),
        (("components", 1, "end_parameters"), [1, 2], "has 2 numbers, expected 3"),
        (("components", 0, "genome", "schema"), None, "component 0, genome: key 'schema'"),
        (("components", 0, "genome", "alphabet"), "hybrid:.", "is a hybrid itself"),
    ],
)
def test_values_that_no_component_has(
    tmp_path: Path, place: tuple[Any, ...], value: Any, message: str
) -> None:
    changed(tmp_path, place, value)
    with pytest.raises(GenomeError, match=message) as error:
        read_hybrid(str(tmp_path))
    assert "hybrid.yaml" in str(error.value) and "\n" not in str(error.value)


def test_sizes_are_known_without_the_operators_of_plugins(tmp_path: Path) -> None:
    """Which a command imports after it has composed its settings."""
    assert read_hybrid_sizes(str(tmp_path)) == {}
    changed(tmp_path, ("components", 0, "genome", "genome"), "10000.1.1.1.1-9.1.1.1.1")
    with pytest.raises(GenomeError, match="10000"):
        read_hybrid(str(tmp_path))
    assert read_hybrid_sizes(str(tmp_path)) == {"width": 64, "vocabulary": 256}
    for wrong in ("- a", "components: []", "components: [1]", "a: ["):
        (tmp_path / "hybrid.yaml").write_text(wrong)
        assert read_hybrid_sizes(str(tmp_path)) == {}


FOREIGN = ForeignComponent(
    "theirs", "0" * 16, "gpt2", {"model_type": "gpt2"}, 64, 256, 4, ForeignSegment(1, 2, 3, 4),
    (5, 6, 7),
)  # fmt: skip
# Of which any text may be a value, and what only the family reads.
FREE = ("name", "config", "digest", "projectors", "family", "genome", "schema")


def places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All keys and indices of a nested value, but what is free."""
    inner = content.items() if isinstance(content, dict) else enumerate(content)
    found = []
    for key, value in inner:
        if key in FREE:
            continue
        found.append((*path, key))
        if isinstance(value, dict | list):
            found += places(value, (*path, key))
    return found


def test_every_value_of_another_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "hybrid.yaml"
    changed(tmp_path, ("blocks",), 2)
    content = yaml.safe_load(path.read_text())
    assert read_hybrid(str(tmp_path)).hybrid.components[1] == FOREIGN
    tried = 0
    for place in places(content):
        for wrong in (None, True, 1.5, "1", [], {}, [[]]):
            inside = content
            for key in place:
                inside = inside[key]
            if type(inside) is type(wrong):
                continue
            changed(tmp_path, place, wrong)
            with pytest.raises(GenomeError, match=r"hybrid\.yaml") as error:
                read_hybrid(str(tmp_path))
            assert "\n" not in str(error.value)
            tried += 1
    assert tried > 150
