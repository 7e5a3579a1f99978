"""Pages that a server reserves, against numbers worked out by hand from its rule."""

from dataclasses import replace
from pathlib import Path

import pytest

from star.genomes import CacheSetting, Genome, ModelConfig, cache_bytes
from star.genomes.hybrids import ForeignComponent, ForeignSegment, write_hybrid
from star.genomes.served import served_bytes
from tests.mixtures import PARTS, hybrid_of

MODEL = ModelConfig(width=256, window=1024)  # heads of 64; SA-3 keeps 64 + 64 channels a position
POSITION = 2 * 2 * 64  # bytes


def genome(**counts: int) -> Genome:
    ids = {"full": "3", "window": "19", "conv": "7", "mlp": "9"}
    livs = [f"{ids[name]}.1.1.1.1" for name, count in counts.items() for _ in range(count)]
    return Genome.from_text("-".join(livs), "extended")


@pytest.mark.parametrize("context", [4096, 4097])
def test_layers_of_one_kind_take_whole_pages_of_16_positions(context: int) -> None:
    found = served_bytes(genome(full=6, mlp=3), MODEL, CacheSetting(context))
    assert found == 6 * -(-context // 16) * 16 * POSITION
    if context % 16 == 0:
        assert found == cache_bytes(genome(full=6, mlp=3), MODEL, CacheSetting(context))


def test_windows_beside_full_attention_are_in_groups_of_the_smaller_count() -> None:
    # As the 52 and 10 layers of Gemma 3 27B: six groups of ten for windows, with eight unused.
    setting = CacheSetting(131072)
    found = served_bytes(genome(full=10, window=52), MODEL, setting)
    pages = 131072 // 16 + 6 * (1024 // 16 + 1)
    assert found == 10 * pages * 16 * POSITION
    assert found > cache_bytes(genome(full=10, window=52), MODEL, setting)


def test_counts_within_a_quarter_are_in_groups_of_the_larger() -> None:
    found = served_bytes(genome(full=5, window=6), MODEL, CacheSetting(2048))
    assert found == 6 * (2048 // 16 + 65) * 16 * POSITION


def test_pages_grow_until_the_state_fits() -> None:
    # Rec-1 keeps 256 x 16 float32 and 3 x 256 bfloat16: 17,920 bytes, 4.4 pages of 4,096.
    mixed = Genome.from_text("3.1.1.1.1-5.1.1.1.1-5.1.1.1.1")
    page = 5 * 16 * POSITION
    found = served_bytes(mixed, MODEL, CacheSetting(4096, batch=3))
    assert found == 3 * (-(-4096 // 80) + 2) * page


def test_states_alone_take_a_page_of_the_largest_each() -> None:
    assert served_bytes(Genome.from_text("51111-71111"), MODEL) == 2 * 17_920
    assert served_bytes(Genome.from_text("91111"), MODEL) == 0


@pytest.mark.parametrize("name", list(PARTS))
def test_a_component_of_a_hybrid_alone_is_served_as_it_is(tmp_path: Path, name: str) -> None:
    hybrid, cache = hybrid_of(*PARTS, blocks=3), CacheSetting(100, 2)
    alphabet, number = write_hybrid(tmp_path, hybrid), list(PARTS).index(name)
    alone = Genome.from_genes([[alphabet.alone(number).id, 1, 1, 1, 1]] * 3, alphabet)
    assert served_bytes(alone, hybrid.sizes, cache) == served_bytes(*PARTS[name], cache)


def test_a_component_of_transformers_is_served_as_attention(tmp_path: Path) -> None:
    """Of 96 elements a position in each of three layers: as much as its cache."""
    layer = ForeignSegment(1000, 96, 1000, 96)
    foreign = ForeignComponent("gpt", "2" * 16, "gpt2", {}, 48, 256, 3, layer, (100, 10, 0))
    hybrid = hybrid_of("attention", blocks=3)
    hybrid = replace(hybrid, components=(*hybrid.components, foreign))
    alphabet, cache = write_hybrid(tmp_path, hybrid), CacheSetting(64)
    alone = Genome.from_genes([[alphabet.alone(1).id, 1, 1, 1, 1]] * 3, alphabet)
    assert served_bytes(alone, hybrid.sizes, cache) == cache_bytes(alone, hybrid.sizes, cache)
    assert served_bytes(alone, hybrid.sizes, cache) == 3 * 64 * 96 * 2
