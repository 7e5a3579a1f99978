"""Genome files and the library."""

import os
from pathlib import Path

import pytest

from star.genomes import (
    Genome,
    GenomeError,
    GenomeFile,
    add_library,
    library_names,
    load_genome,
    read_genome_file,
    read_library,
    write_genome_file,
)
from tests import registrations

LFM2_ATTENTION = [2, 5, 8, 10, 12, 14]  # positions of attention among LFM2's 16 mixers


def test_file_round_trip(tmp_path: Path) -> None:
    content = GenomeFile(
        name="found",
        genome=Genome.from_text("18.1.1.1.1-9.1.1.1.1", "extended"),
        notes="best of run 3",
        metrics={"validation_loss": 2.25},
        parents=["g123456789ab", "abcdef012345"],
    )
    write_genome_file(tmp_path / "g.yaml", content)
    assert read_genome_file(tmp_path / "g.yaml") == content


def test_parents_of_before_have_the_ids_of_now(tmp_path: Path) -> None:
    text = "schema: 1\ngenome: '11111-91111'\nparents: ['0123456789ab', 123456789012]\n"
    (tmp_path / "g.yaml").write_text(text)
    assert read_genome_file(tmp_path / "g.yaml").parents == ["g123456789ab", "h23456789012"]


def test_single_liv_stays_text(tmp_path: Path) -> None:
    write_genome_file(
        tmp_path / "g.yaml", GenomeFile("one", Genome.from_text("91111"), pattern=True)
    )
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
        ("schema: 1\noperators: [1]\ngenome: 91111-91111\n", "'operators' is [1], expected dict"),
        (
            "schema: 1\noperators: {23: 12213}\ngenome: 91111-91111\n",
            "'operators' has 23: 12213, expected a class id and a",
        ),
        (
            "schema: 1\noperators: {a: '12213'}\ngenome: 91111-91111\n",
            "'operators' has 'a': '12213', expected a class id",
        ),
        (
            "schema: 1\noperators: {5: '12213'}\ngenome: 91111-91111\n",
            "'operators' has 5, which is Rec-1 in alphabet star",
        ),
        (
            "schema: 1\noperators: {23: '12214'}\ngenome: 91111-91111\n",
            "operator genome '12214' is not valid",
        ),
        (
            "schema: 1\noperators: {23: '91112d'}\ngenome: 91111-91111\n",
            "diagonal operators of featurizer 9 have no differential form",
        ),
        (
            "schema: 1\noperators: {23: '12213'}\ngenome: 24.1.1.1.1\n",
            "LIV 0 gene liv_class: 24 is neither in alphabet star",
        ),
        (
            "schema: 1\noperators: {23: '12213'}\ngenome: 23.9.1.1.1\n",
            "LIV 0 gene featurizer_group: 9 is not allowed",
        ),
        (
            "schema: 1\noperators: {23: '12123'}\ngenome: 1.1.1.1.1-23.1.1.1.1\n",
            "23 and 1 are the same class",
        ),
        ("- a\n", "expected a mapping"),
        ("a: [\n", "not readable as YAML"),
        ("schema: 1\ngenome: !!python/object/apply:os.system [true]\n", "not readable as YAML"),
        ("schema: 1\ngenome: 91111-91111\ngenome: 11111-91111\n", "the key 'genome' occurs twice"),
        ("schema: 1\ngenome: &a [*a]\n", "'a' refers to itself"),
        (f"schema: 1\ngenome: [{'x, ' * 10_000}]\n", "'genome' is ['x', 'x',"),
        (f"schema: 1\n? {'k' * 10_000}\n: 1\n", "unknown key 'kkk"),
        (f"schema: 1\ngenome: {'9' * 5000}-91111\n", "LIV 0 is '999"),
        (f"schema: 1\ngenome: {'9' * 5000}.1.1.1.1\n", "expected five digits"),
        (f"schema: 1\noperators: {{23: '{'1' * 5000}'}}\ngenome: 23.1.1.1.1\n", "operator genome"),
        (
            f"schema: 1\ngenome: '91111{'-91111' * 100_000}'\n",
            "depth=100001: expected 1 to 10,000",
        ),
    ],
    ids=lambda text: text[:30],
)
def test_bad_files_are_named_with_their_fault(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(GenomeError) as caught:
        read_genome_file(path)
    assert message in str(caught.value) and "bad.yaml" in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 4000


@pytest.mark.parametrize("name", ["2024-13-01", "2024-01-13", "[bold]x", "1e5x"])
def test_names_are_taken_as_they_are(tmp_path: Path, name: str) -> None:
    quoted = f"'{name}'" if name.startswith("[") else name
    (tmp_path / "g.yaml").write_text(f"schema: 1\nname: {quoted}\ngenome: 91111-91111\n")
    assert read_genome_file(tmp_path / "g.yaml").name == name


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "folder").mkdir()
    refused = {
        "pipe.yaml": "is a named pipe, expected a file",
        "folder.yaml": "is a folder, expected a genome file",
        "folder": "is a folder, expected a genome file",
        "loop.yaml": "cannot be read (Too many levels of symbolic links)",
        "n" * 300 + ".yaml": "cannot be read (File name too long)",
        "missing.yaml": "cannot be read (No such file or directory)",
        "nul\0.yaml": "cannot be read (embedded null byte)",
    }
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    for name, message in refused.items():
        with pytest.raises(GenomeError) as caught:
            load_genome(str(tmp_path / name))
        assert message in str(caught.value), name
    with pytest.raises(GenomeError, match=r"/dev/zero: is a device, expected a file"):
        load_genome("/dev/zero")


def test_a_text_longer_than_any_file_name_is_a_genome() -> None:
    genome, name, _ = load_genome("-".join(["11111"] * 48))
    assert genome.depth == 48 and name == "genome"


def test_a_file_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_genome_file(tmp_path / "g.yaml", GenomeFile("g", Genome.from_text("71111-91111")))
    assert load_genome("~/g.yaml")[1] == "g"
    with pytest.raises(GenomeError, match="no_such_user/g.yaml: cannot be read"):
        load_genome("~no_such_user/g.yaml")


def test_library_designs_fit_any_depth() -> None:
    assert {"transformer_pp", "striped_mamba", "gqa_transformer", "lfm2", "mamba", "hyena"} <= set(
        library_names()
    )
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


def test_a_file_holds_the_operators_that_its_alphabet_lacks(tmp_path: Path) -> None:
    found = Genome.from_text("150.1.1.1.2-150.1.1.1.2-179.1.1.1.1-9.1.1.1.1", "star+operators")
    write_genome_file(tmp_path / "g.yaml", GenomeFile("found", found))
    text = (tmp_path / "g.yaml").read_text()
    assert "schema: 1\n" in text and "alphabet: star\n" in text
    assert "operators:\n  150: '32233'\n  179: 10.4.1.1.3d\ngenome:" in text
    assert read_genome_file(tmp_path / "g.yaml").genome == found


def test_a_genome_without_other_operators_is_written_over_the_named_alphabet(
    tmp_path: Path,
) -> None:
    write_genome_file(
        tmp_path / "g.yaml", GenomeFile("g", Genome.from_text("91111-11111", "star+operators"))
    )
    assert "operators" not in (tmp_path / "g.yaml").read_text()
    assert read_genome_file(tmp_path / "g.yaml").genome == Genome.from_text("91111-11111", "star")


def test_ids_of_operators_are_those_of_the_file(tmp_path: Path) -> None:
    operators, livs = "{18: '32233', 300: '12123'}", "18.1.1.1.1-300.1.1.1.1-9.1.1.1.1"
    content = f"schema: 1\noperators: {operators}\ngenome: {livs}\n"
    (tmp_path / "g.yaml").write_text(content)
    genome = read_genome_file(tmp_path / "g.yaml").genome
    assert [liv_class.name for liv_class in genome.classes()] == ["Op-32233", "SA-1", "GMemless"]
    assert genome.id == Genome.from_text("150.1.1.1.1-1.1.1.1.1-9.1.1.1.1", "star+operators").id


def test_a_folder_of_users_is_part_of_the_library(tmp_path: Path) -> None:
    design = GenomeFile("mine", Genome.from_text("71111-91111"), pattern=True)
    write_genome_file(tmp_path / "mine.yaml", design)
    with registrations.temporary():
        add_library(tmp_path)
        add_library(str(tmp_path))
        assert "mine" in library_names() and read_library("mine") == design
        assert load_genome("mine", 5)[0].to_text() == "71111-91111-71111-91111-71111"
        (tmp_path / "lfm2.yaml").write_text("")
        with pytest.raises(GenomeError, match="'lfm2' is the name of .*lfm2.yaml already"):
            add_library(tmp_path)
        (tmp_path / "mine.yaml").write_text("schema: 1")
        with pytest.raises(GenomeError, match=r"mine.yaml: expected exactly one of the keys"):
            read_library("mine")
    assert "mine" not in library_names()


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_library_without_genome_files_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(GenomeError, match=r"expected a folder with genome files"):
        add_library(tmp_path / name)
