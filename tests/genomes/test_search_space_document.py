"""docs/search_space.md says what the code does."""

import re
from pathlib import Path

from star.genomes import BACKBONE_GENE_NAMES, get_alphabet, valid_operators
from star.genomes.backbone import VALUES, gene_words

TEXT = (Path(__file__).parents[2] / "docs" / "search_space.md").read_text(encoding="utf-8")
LETTERS = get_alphabet("extended+operators")


def test_the_table_of_classes_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| (\d+) \| ([\w-]+) \| ([\d.]+) \| ", TEXT, re.MULTILINE)
    named = [c for c in LETTERS.classes if c.id < 100 and not (10 <= c.id <= 17)]
    assert rows == [(str(c.id), c.name, c.code) for c in named]


def test_the_numbers_of_operators_classes_and_neighbours_are_true() -> None:
    assert f"All {len(valid_operators())} decode" in TEXT
    assert f"makes {len(LETTERS.ids)} classes" in TEXT
    counts = [len(LETTERS.neighbours(number)) for number in LETTERS.ids]
    assert f"A class has {min(counts)} to {max(counts)} neighbours" in TEXT


def test_the_sharing_of_each_structure_is_in_the_table() -> None:
    table = TEXT[TEXT.index("| `feature_sharing` (ours)") :].split("\n\n")[0]
    header, _, *lines = [line.strip("| ").split(" | ") for line in table.splitlines()]
    columns = [column.split(", ") for column in header[1:]]
    written = {name: {} for names in columns for name in names}
    for number, *cells in lines:
        for names, cell in zip(columns, cells, strict=True):
            for name in names:
                if cell != "-":
                    written[name][int(number)] = tuple(cell.split(", "))
    structures = {operator.structure.name: operator.structure for operator in valid_operators()}
    assert written == {name: dict(structure.sharing) for name, structure in structures.items()}


def test_the_values_of_the_genes_of_the_backbone_are_in_the_table() -> None:
    for name, values in zip(BACKBONE_GENE_NAMES, VALUES, strict=True):
        (row,) = re.findall(rf"^\| `{name}`[^|]*\| (.*) \|$", TEXT, re.MULTILINE)
        cells = [cell.split(":")[0].strip("`") for cell in row.split(" | ")]
        assert cells == [gene_words(name, value) for value in values]
