"""star.mad as a user runs it: files, resuming, one-line errors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from star.base.errors import UserError
from star.evaluation.mad.rows import read_rows, write_rows

Command = Callable[..., Any]
SMALL = ("steps=2", "tasks=[memorization]", "vocabulary=16", "length=8", "width=32", "batch_size=8")


@pytest.mark.slow
def test_it_goes_on_where_it_was_and_shows_published_scores(
    command: Command, tmp_path: Path
) -> None:
    arguments = (*SMALL, "genome=[mamba,11111-91111]", "run_dir=run", "learning_rates=[1e-3,1e-2]")
    first = command("mad", *arguments)
    assert first.returncode == 0, first.stderr
    assert "4/4 " in first.stdout and "mamba" in first.stdout
    assert "published" in first.stdout and "89.5" in first.stdout  # Mamba's memorization
    path = tmp_path / "run" / "runs.csv"
    text = path.read_text()
    path.write_text("\n".join(text.splitlines()[:-1]) + "\n")  # as if it had been interrupted
    again = command("mad", *arguments)
    assert "1/1 " in again.stdout and "2/2 " not in again.stdout
    rows = pd.read_csv(path)
    assert len(rows) == 4 and set(rows["learning_rate"]) == {1e-3, 1e-2}
    write_rows(tmp_path / "copy.csv", read_rows(path))
    assert (tmp_path / "copy.csv").read_text() == path.read_text()
    scores = pd.read_csv(tmp_path / "run" / "scores.csv")
    assert list(scores["task"]) == ["memorization"] * 2 and list(scores["settings"]) == [1, 1]


def test_other_settings_do_not_go_into_the_same_folder(command: Command) -> None:
    assert command("mad", *SMALL, "genome=mamba", "run_dir=run").returncode == 0
    more = command("mad", *SMALL, "genome=lfm2", "seeds=[1]", "run_dir=run")  # only more rows
    assert more.returncode == 0 and "1/1 lfm2" in more.stdout
    other = command("mad", *SMALL, "genome=mamba", "run_dir=run", "protocol=code")
    assert other.returncode == 2
    assert "protocol is star there, code here" in other.stderr and other.stderr.count("\n") == 1


def test_protocols_of_others_show_what_mad_lab_would_count(command: Command) -> None:
    shown = command("mad", *SMALL, "genome=mamba", "protocol=paper", "run_dir=run").stdout
    assert "as mad-lab counts" in shown


def test_genomes_are_matched_in_size(command: Command) -> None:
    shown = command("mad", *SMALL, "genome=mamba", "model.match=state:4096", "run_dir=run").stdout
    assert "note: mamba: width 64 for model.match=state:4096" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "genome: a value is required"),
        (["genome=nope"], "library genome 'nope' is unknown"),
        (["genome=mamba", "preset=all"], "preset=all: expected one of quick, baseline, full"),
        (["genome=mamba", "tasks=[recall]"], "tasks=recall: expected one of compression"),
        (["genome=mamba", "protocol=mine"], "protocol=mine: expected one of star, paper, code"),
        (["genome=mamba", "length=15"], "in_context_recall: length=15: expected an even number"),
        (["genome=mamba", "vocabulary=4"], "fuzzy_recall: vocabulary=4: expected at least 7"),
        (["genome=mamba", "steps=0"], "steps=0: expected at least 1"),
        (["genome=mamba", "optimizer=sgd"], "optimizer=sgd: expected one of adamw, muon"),
        (
            ["genome=mamba", "learning_rates=[-1]"],
            "learning_rates=[-1.0]: expected numbers, each above 0",
        ),
        (["genome=mamba", "seeds=[]"], "seeds=[]: expected one seed or more"),
        (["genome=mamba", "model.match=4096"], "model.match=4096: expected state:<elements>"),
        (
            ["genome=transformer_pp", "model.match=state:4096"],
            "has 8,192 at width 16, the nearest that fits",
        ),
        (["genome=mamba", "width=40"], "width=40: expected a multiple of 16"),
    ],
)
def test_mistakes_end_with_one_line(
    arguments: list[str], message: str, command: Command, tmp_path: Path
) -> None:
    result = command("mad", *arguments)
    assert result.returncode == 2 and message in result.stderr
    assert result.stderr.count("\n") == 1 and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["genome\n1\n", "name,genome_id,width,task\nmamba,a,64,recall\n", "\0\n"]
)
def test_a_file_of_something_else_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=r"runs\.csv: not readable as runs of star\.mad"):
        read_rows(path)
