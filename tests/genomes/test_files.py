"""Genome files and the library."""

from pathlib import Path

import pytest

from star.genomes import (
    Genome,
    GenomeError,
    GenomeFile,
    library_names,
    load_genome,
    read_genome_file,
    read_library,
    write_genome_file,
)

LFM2_ATTENTION = [2, 5, 8, 10, 12, 14]  # positions of attention among LFM2's 16 mixers


def test_file_round_trip(tmp_path: Path) -> None:
    content = GenomeFile(
        name="found",
        genome=Genome.from_text("18.1.1.1.1-9.1.1.1.1", "extended"),
        notes="best of run 3",
        metrics={"validation_loss": 2.25},
        parents=["0123456789ab", "000000000000"],
    )
    write_genome_file(tmp_path / "g.yaml", content)
    assert read_genome_file(tmp_path / "g.yaml") == content


def test_single_liv_stays_text(tmp_path: Path) -> None:
    write_genome_file(tmp_path / "g.yaml", GenomeFile("one", Genome.from_text("91111"), pattern=True))
    assert read_genome_file(tmp_path / "g.yaml").genome.to_text() == "91111"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema: 1\ngenome: 91111-91111\nwidth: 3\n", "unknown key 'width'"),
        ("schema: 2\ngenome: 91111-91111\n", "'schema' is 2, but this version reads up to 1"),
        ("genome: 91111-91111\n", "'schema' is None"),
        ("schema: 1\n", "exactly one of the keys 'genome' and 'pattern'"),
        ("schema: 1\ngenome: 91111\n", "'genome' is 91111, expected str"),
        (
            "schema: 1\ngenome: 91114-91111\n",
            "LIV 0 gene feature_sharing: 4 is not allowed, expected 1, 2, 3",
        ),
        ("schema: 1\nalphabet: klingon\ngenome: 91111-91111\n", "alphabet 'klingon' is unknown"),
        ("- a\n", "expected a mapping"),
        ("a: [\n", "not readable as YAML"),
        ("schema: 1\ngenome: !!python/object/apply:os.system [true]\n", "not readable as YAML"),
    ],
)
def test_bad_files_are_named_with_their_fault(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(GenomeError) as caught:
        read_genome_file(path)
    assert message in str(caught.value) and "bad.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_library_designs_fit_any_depth() -> None:
    assert {"transformer_pp", "striped_mamba", "gqa_transformer", "lfm2", "mamba", "hyena"} <= set(library_names())
    for name in library_names():
        assert read_library(name).name == name
        for depth in (1, 8, 24, 33):
            genome, _, notices = load_genome(name, depth)
            assert genome.depth == depth and genome.validate() == [] and notices == []


def test_lfm2_has_its_layer_order() -> None:
    mixers = [liv.liv_class for liv in read_library("lfm2").genome.livs[::2]]
    assert mixers == [3 if n in LFM2_ATTENTION else 7 for n in range(16)]
    assert {liv.liv_class for liv in read_library("lfm2").genome.livs[1::2]} == {9}


def test_fixed_genome_is_fitted_with_a_notice(tmp_path: Path) -> None:
    write_genome_file(tmp_path / "g.yaml", GenomeFile("g", Genome.from_text("71111-91111")))
    genome, name, notices = load_genome(str(tmp_path / "g.yaml"), depth=3)
    assert genome.to_text() == "71111-91111-71111" and name == "g"
    assert notices == [f"{tmp_path / 'g.yaml'}: repeated from depth 2 to 3"]


@pytest.mark.parametrize("reference", ["no_such_design", "no/such/file.yaml", "12", "11116"])
def test_unknown_references_are_refused(reference: str) -> None:
    with pytest.raises(GenomeError):
        load_genome(reference)
