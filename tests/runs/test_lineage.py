"""Lineage of a genome of a run, and what it says of each step."""

from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from star.base.errors import UserError
from star.genomes import Genome
from star.runs.lineage import Lineage, changes, variation_text
from star.runs.run import Run

HEADER = (
    "genome_id,generation,origin,parents,variation,genome,validation_loss,parameters,cache_bytes\n"
)
MADE_C = '"{""crossover"": [0, 1], ""mutation"": [[1, ""liv_class"", 9, 1]]}"'
ROWS = f"""aaaaaaaaaaaa,0,random,,,11111-91111,3.0,100,1000
bbbbbbbbbbbb,0,seed,,,71111-91111,2.5,90,10
cccccccccccc,1,offspring,aaaaaaaaaaaa bbbbbbbbbbbb,{MADE_C},71111-11111,2.4,95,900
dddddddddddd,2,offspring,cccccccccccc aaaaaaaaaaaa,,71112-71112,,,
eeeeeeeeeeee,2,offspring,dddddddddddd ffffffffffff,,71112-71112,2.0,50,20
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "population.csv").write_text(HEADER + ROWS)
    (tmp_path / "config.yaml").write_text(
        "search: {objectives: [validation_loss, cache_bytes], space: {alphabet: star}}\n"
    )
    return tmp_path


def shown(folder: Path, genome_id: str) -> str:
    run, stream = Run.open(folder), StringIO()
    Console(file=stream, width=200).print(Lineage(run).tree(run.candidate(genome_id)))
    return stream.getvalue()


def test_the_tree_names_every_ancestor_change_and_gain(folder: Path) -> None:
    text = shown(folder, "eeeeeeeeeeee")
    assert "eeeeeeeeeeee  generation 2, offspring  loss 2, cache 20, params 50" in text
    assert "dddddddddddd  generation 2, offspring  not measured" in text
    assert "changed LIV 0 feature_sharing 1 -> 2; LIV 1 SA-1 -> GConv-1  (not comparable)" in text
    assert "changed LIV 1 GMemless -> SA-1  (loss -0.1, cache +890, params +5)" in text
    assert (
        "aaaaaaaaaaaa  see above; changed" in text and text.count("aaaaaaaaaaaa  generation") == 1
    )
    assert "bbbbbbbbbbbb  generation 0, seed, no parents" in text
    assert "ffffffffffff  not among the candidates of this run" in text


def test_the_tree_says_what_made_each_genome(folder: Path) -> None:
    lines = [line.strip(" │├└─") for line in shown(folder, "cccccccccccc").splitlines()]
    assert lines[0].startswith("cccccccccccc  generation 1, offspring")
    assert lines[1] == "crossed at 1; mutated LIV 1 liv_class 9 -> 1"
    assert "crossed" not in shown(folder, "dddddddddddd").splitlines()[1]


@pytest.mark.parametrize(
    ("variation", "text"),
    [
        ({}, ""),
        ({"crossover": [3, 6]}, "crossed at 3, 6"),
        ({"crossover": [0]}, "copied from the second parent"),
        ({"movement": [[0, 2], [4, 1]]}, "took LIV 0 of parent 2, LIV 4 of parent 1"),
        (
            {"depth": [["insert", 2, [9, 1, 1, 1, 1]], ["duplicate", 0], ["delete", 5]]},
            "inserted LIV 2, duplicated LIV 0, deleted LIV 5",
        ),
        (
            {
                "mutation": [[2, "liv_class", 1, 7], [3, "feature_group", 2, 1]],
                "repair": [[2, "feature_sharing", 4, 1]],
            },
            "mutated LIV 2 liv_class 1 -> 7, LIV 3 feature_group 2 -> 1; repaired LIV 2 "
            "feature_sharing 4 -> 1",
        ),
    ],
)
def test_variation_in_words(variation: dict, text: str) -> None:
    assert variation_text(variation) == text


def test_runs_without_recorded_variation_are_read(folder: Path) -> None:
    table = pd.read_csv(folder / "population.csv", dtype=str, keep_default_na=False)
    table.drop(columns="variation").to_csv(folder / "population.csv", index=False)
    assert Run.open(folder).candidate("cccccccccccc").variation == {}
    assert "crossed" not in shown(folder, "cccccccccccc")


def test_changes_of_depth_are_said() -> None:
    assert list(changes(Genome.from_text("91111-91111"), Genome.from_text("91111"))) == [
        "depth 1 -> 2"
    ]
    assert list(changes(Genome.from_text("91111"), Genome.from_text("91111"))) == []


def test_what_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(UserError, match="zzz: no candidate of that id"):
        shown(folder, "zzz")


def with_column(folder: Path, name: str, values: list[str]) -> None:
    table = pd.read_csv(folder / "population.csv", dtype=str, keep_default_na=False)
    table[name] = values
    table.to_csv(folder / "population.csv", index=False)


def test_another_objective_is_shown_when_the_search_minimised_it(folder: Path) -> None:
    with_column(folder, "perplexity", ["9", "8", "7", "", "6"])
    assert "perplexity" not in shown(folder, "cccccccccccc")
    (folder / "config.yaml").write_text(
        "search: {objectives: [perplexity], space: {alphabet: star}}\n"
    )
    text = shown(folder, "cccccccccccc")
    assert "loss 2.4, cache 900, params 95, perplexity 7" in text and "perplexity -2" in text


def test_an_objective_of_a_users_own_is_shown(folder: Path) -> None:
    """Settings hold its import path, the columns its name."""
    with_column(folder, "attention", ["2", "1", "0", "", "0"])
    text = shown(folder, "cccccccccccc")
    assert "loss 2.4, cache 900, params 95, attention 0" in text and "attention -2" in text


def test_losses_after_trainings_of_different_lengths_are_not_compared(folder: Path) -> None:
    reason = '"after 2 of 8 steps, for better ones"'
    rows = f"""aaaaaaaaaaaa,0,random,,,11111-91111,3.0,100,1000,stopped,{reason}
bbbbbbbbbbbb,0,random,,,71111-91111,2.9,90,10,stopped,{reason}
cccccccccccc,1,offspring,aaaaaaaaaaaa,,71111-11111,2.4,95,900,ok,
dddddddddddd,1,offspring,bbbbbbbbbbbb,,71111-11112,3.1,95,900,stopped,{reason}
"""
    (folder / "population.csv").write_text(HEADER.strip() + ",status,reason\n" + rows)
    text = shown(folder, "cccccccccccc")
    assert "loss 3, cache 1,000, params 100 (stopped after 2 of 8 steps, for better ones)" in text
    assert "(cache -100, params -5)" in text
    assert "(loss +0.2, cache +890, params +5)" in shown(folder, "dddddddddddd")
