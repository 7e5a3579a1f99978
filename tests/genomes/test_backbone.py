"""Genes of the backbone: texts, arrays and files with and without them, ids, and what they say."""

import hashlib
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from star.genomes import (
    Backbone,
    Genome,
    GenomeError,
    GenomeFile,
    ModelConfig,
    cache_bytes,
    fit_depth,
    flops_per_token,
    load_genome,
    parameter_count,
    random_genome,
    with_operators,
)
from star.genomes.alphabets import ALPHABETS
from star.genomes.backbone import VALUES, representatives
from star.genomes.files import genome_file_text, parse_genome_file
from star.genomes.hybrids import GenomeComponent, Hybrid, HybridAlphabet, hybrid_alphabet

BACKBONES = [Backbone(*genes) for genes in product(*VALUES)]


@st.composite
def genomes(draw: st.DrawFn) -> Genome:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    alphabet = draw(st.sampled_from(["star", "released", "star+operators"]))
    genome = random_genome(draw(st.integers(1, 12)), rng, alphabet, 0.5)
    return replace(genome, backbone=draw(st.sampled_from(BACKBONES)))


@given(genomes())
def test_text_array_and_file_give_the_genome_back(genome: Genome) -> None:
    alphabet = genome.alphabet
    assert Genome.from_text(genome.to_text(), alphabet) == genome
    assert Genome.from_array(genome.to_array(), alphabet) == genome
    assert Genome.from_genes(genome.livs, alphabet, genome.backbone) == genome
    content = parse_genome_file(genome_file_text(GenomeFile("mine", genome)), "mine.yaml")
    written = replace(genome, alphabet=content.genome.alphabet)  # with operators only when needed
    assert content.genome == written and content.genome.id == genome.id
    assert genome.canonical().backbone == genome.backbone and not genome.validate()


@given(genomes())
def test_only_what_is_not_usual_is_written(genome: Genome) -> None:
    plain = replace(genome, backbone=Backbone())
    behind = "" if genome.backbone == (1, 1) else "-" + ".".join(map(str, genome.backbone))
    dotted = "." in genome.to_text()
    assert genome.to_text() == plain.to_text() + (behind if dotted else behind.replace(".", ""))
    assert len(plain.to_array()) == 5 * genome.depth
    assert genome.to_array().tolist() == [*plain.to_array(), *genome.backbone[: 2 * bool(behind)]]
    livs = (
        ".".join([genome.alphabet.by_id[number].code, *map(str, sharing)])
        for number, *sharing in genome.canonical().livs
    )
    digest = hashlib.sha256(("-".join(livs) + behind).encode()).hexdigest()[:12]
    assert genome.id[1:] == digest[1:]
    assert (genome.id == plain.id) == (not behind)


@pytest.mark.parametrize(
    ("text", "backbone"),
    [
        ("21211-31112", (1, 1)),
        ("21211-31112-11", (1, 1)),
        ("21211-31112-41", (4, 1)),
        ("21211-31112-1.3", (1, 3)),
        ("10.1.2.1.1-9.1.1.1.1-4.1", (4, 1)),
        ("10.1.2.1.1-91111-23", (2, 3)),
    ],
)
def test_two_numbers_behind_the_livs(text: str, backbone: tuple[int, int]) -> None:
    genome = Genome.from_text(text)
    assert genome.depth == 2 and genome.backbone == backbone


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("21211-51", "backbone gene norms: 5 is not allowed, expected 1 to 4"),
        ("21211-10", "backbone gene residual_scale: 0 is not allowed, expected 1 to 4"),
        ("99111-1.77", "backbone gene residual_scale: 77 is not allowed"),
    ],
)
def test_values_that_a_gene_has_not(text: str, said: str) -> None:
    genome = Genome.from_text(text)
    with pytest.raises(GenomeError, match=said):
        genome.check()
    for use in (genome.sizes, lambda model: parameter_count(genome, model)):
        with pytest.raises(GenomeError, match=said):
            use(ModelConfig())
    assert Genome.from_array(genome.to_array()) == genome


@pytest.mark.parametrize("text", ["41", "21211-41-31112", "21211-4", "21211-411", "21211-4.x"])
def test_they_stand_at_the_end_and_are_two(text: str) -> None:
    with pytest.raises(GenomeError, match=r"LIV [01] is .* the genes of the backbone"):
        Genome.from_text(text)


@pytest.mark.parametrize("backbone", BACKBONES, ids=str)
def test_what_they_say_is_what_the_sizes_can_say(backbone: Backbone) -> None:
    """By hand: the norms by name, 1, 1/sqrt(depth) and 1/sqrt(2)."""
    genome = replace(Genome.from_text("11111-91111-51111"), backbone=backbone)
    given = ModelConfig(norms="post", residual_scale=0.3)
    norms = {1: "post", 2: "pre", 3: "post", 4: "sandwich"}[backbone.norms]
    scale = {1: 0.3, 2: 1.0, 3: 3**-0.5, 4: 2**-0.5}[backbone.residual_scale]
    said = replace(given, norms=norms, residual_scale=scale)
    assert genome.sizes(given) == said
    plain = Genome(genome.livs, genome.alphabet)
    assert parameter_count(genome, given) == parameter_count(plain, said)
    assert cache_bytes(genome, given) == cache_bytes(plain, said)
    assert flops_per_token(genome, given) == flops_per_token(plain, said)
    assert fit_depth(genome, 5).sizes(given).residual_scale == (
        pytest.approx(5**-0.5) if backbone.residual_scale == 3 else scale
    )


def test_values_that_say_the_same_have_one_representative() -> None:
    usual = representatives(ModelConfig(), 8)
    assert usual == ({1: 1, 2: 1, 3: 3, 4: 4}, {1: 1, 2: 1, 3: 3, 4: 4})
    other = representatives(ModelConfig(norms="sandwich", residual_scale=2**-0.5), 8)
    assert other == ({1: 1, 2: 2, 3: 3, 4: 1}, {1: 1, 2: 2, 3: 3, 4: 1})
    assert representatives(ModelConfig(), 2)[1] == {1: 1, 2: 1, 3: 3, 4: 3}
    assert representatives(ModelConfig(), 1)[1] == {1: 1, 2: 1, 3: 1, 4: 4}
    assert representatives(ModelConfig(), 1, 2)[1] == {1: 1, 2: 1, 3: 3, 4: 4}


def test_files_and_depths_keep_them(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("schema: 1\nalphabet: star\npattern: 11111-91111-43\n", encoding="utf-8")
    genome, _, notices = load_genome(str(path), 5)
    assert genome.to_text() == "11111-91111-11111-91111-11111-43" and notices == []
    operators = "schema: 1\nalphabet: star\noperators:\n  23: '32233'\ngenome: 23.1.1.1.1-4.1\n"
    path.write_text(operators, encoding="utf-8")
    found = load_genome(str(path))[0]
    assert found.alphabet == with_operators(ALPHABETS["star"]) and found.backbone == (4, 1)
    path.write_text("schema: 1\ngenome: 11111-91111-47\n", encoding="utf-8")
    with pytest.raises(GenomeError, match=r"mine.yaml: .* backbone gene residual_scale: 7"):
        load_genome(str(path))


def hybrid_of(texts: list[str]) -> HybridAlphabet:
    sizes = ModelConfig(width=64, vocabulary=48)
    components = tuple(
        GenomeComponent(f"c{number}", "0" * 16, Genome.from_text(text), sizes)
        for number, text in enumerate(texts)
    )
    return hybrid_alphabet("hybrid:mine", Hybrid("mine", components, blocks=2), "1" * 16)


def test_a_component_of_a_hybrid_may_have_them() -> None:
    """Of weight 1 it costs what it costs alone."""
    letters = hybrid_of(["11111-91111-41", "51111-91111"])
    alone = letters.hybrid.components[0]
    assert isinstance(alone, GenomeComponent)
    genome = Genome.from_text("11111-11111", letters)  # all parts are of the first component
    count = parameter_count(genome, letters.hybrid.sizes)
    assert count.non_embedding == parameter_count(alone.genome, alone.sizes).non_embedding


def test_a_hybrid_itself_has_none() -> None:
    letters = hybrid_of(["11111-91111", "51111-91111"])
    genome = Genome.from_text("11111-11111-41", letters)
    with pytest.raises(GenomeError, match="a hybrid has no genes of the backbone"):
        parameter_count(genome, letters.hybrid.sizes)
