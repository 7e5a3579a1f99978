"""What a report reads of a run: states, the front, quantities, and texts that steer nothing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from star.base.errors import UserError
from star.evaluation.recipe import DEVIATION
from star.genomes import Genome, load_genome
from star.runs.report.content import FRONT, INFEASIBLE, Content, visible
from star.runs.report.families import (
    ATTENTION,
    BACKBONES,
    CONVOLUTION,
    DELTA_RULE,
    FEED_FORWARD,
    LINEAR_ATTENTION,
    STATE_SPACE,
    backbone_family,
    liv_family,
)
from star.runs.report.page import make_report, page
from star.runs.report.words import summary
from star.runs.run import Run
from star.runs.validated import VALIDATED
from star.search import Search

Made = Callable[..., tuple[Search, Run]]


def test_states_are_those_of_the_run(made: Made) -> None:
    search, run = made()
    content = Content(run)
    states = {row["id"]: row["state"] for row in content.rows}
    assert {name for name, state in states.items() if state == FRONT} == {*run.front["genome_id"]}
    population = run.population
    failed = population["genome_id"][population["status"] == "infeasible"]
    assert {name for name, state in states.items() if state == INFEASIBLE} == {*failed}
    assert [row["id"] for row in content.rows] == population["genome_id"].tolist()
    assert search.archive.all[0].genome_id in content.designs


def test_the_front_is_over_the_objectives_of_the_run(made: Made) -> None:
    _, run = made(objectives=["validation_loss", "parameters", "cache_bytes"])
    content = Content(run)
    assert [o.name for o in content.minimised] == ["validation_loss", "parameters", "cache_bytes"]
    assert content.front_ids == {*run.front["genome_id"]}
    content = Content(run, only=["validation_loss"])
    losses = {c.genome_id: c.metrics["validation_loss"] for c in run.candidates.values()
              if c.status == "ok"}  # fmt: skip
    assert content.front_ids == {min(losses, key=lambda name: losses[name])}


def test_a_candidate_is_on_the_front_until_a_better_one_is_known(made: Made) -> None:
    _, run = made(generations=6)
    content = Content(run)
    expected: set[str] = set()
    values = {c.genome_id: content.values([c])[0] for c in content.competing}
    for last in range(6):
        known = [c for c in content.competing if c.generation <= last]
        expected = {
            c.genome_id
            for c in known
            if not any(
                (values[o.genome_id] <= values[c.genome_id]).all()
                and (values[o.genome_id] < values[c.genome_id]).any()
                for o in known
            )
        }
        found = {c.genome_id for c in known if content.dominated_since.get(c.genome_id, 9) > last}
        assert found == expected
    assert content.front_ids == expected


def test_quantities_begin_with_the_objectives(made: Made) -> None:
    _, run = made()
    quantities = {quantity.name: quantity for quantity in Content(run).quantities}
    assert [*quantities][:2] == ["validation_loss", "cache_bytes"]
    assert quantities["cache_bytes"].is_logarithmic and quantities["cache_bytes"].is_minimised
    assert quantities["cache_bytes"].label == "cache bytes"
    assert quantities["validation_loss"].label == "validation loss (nats/token)"
    assert not quantities["parameters"].is_minimised


def test_what_a_longer_training_found_is_a_quantity_of_its_own(made: Made) -> None:
    _, run = made()
    chosen = run.front["genome_id"].iloc[0]
    rows = [
        {"genome_id": chosen, "role": "front", "origin": "offspring", "status": "ok", "seeds": 3,
         "steps": 2000, "search_validation_loss": 2.5, "validation_loss": 1.5,
         "validation_loss_low": 1.4, "validation_loss_high": 1.6, "on_front": True},
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(run.path / VALIDATED, index=False)
    content = Content(Run.open(run.path))
    row = next(row for row in content.rows if row["id"] == chosen)
    assert row["validated_validation_loss"] == 1.5
    assert row["validated_validation_loss_low"] == 1.4
    names = [quantity.name for quantity in content.quantities]
    assert "validated_validation_loss" in names and "validated_cache_bytes" not in names


def test_several_seeds_of_the_search_give_an_interval(made: Made) -> None:
    _, run = made()
    frame = pd.read_csv(run.path / "population.csv")
    frame[DEVIATION] = [0.3, 0.1, *[float("nan")] * (len(frame) - 2)]
    frame["seeds"] = [3, 3, *[1] * (len(frame) - 2)]
    frame.to_csv(run.path / "population.csv", index=False)
    rows = Content(Run.open(run.path)).rows
    spread = np.sqrt((2 * 0.3**2 + 2 * 0.1**2) / 4)
    half = 2.7764451051977987 * spread / np.sqrt(3)  # Student's t, 4 degrees
    first, second, *rest = rows
    for row in (first, second):
        assert row["validation_loss_high"] - row["validation_loss"] == pytest.approx(half)
        assert row["validation_loss"] - row["validation_loss_low"] == pytest.approx(half)
    assert not any("validation_loss_low" in row for row in rest)


@pytest.mark.parametrize("name", ["trained", "table"])
def test_runs_of_before_have_a_page(name: str) -> None:
    content = Content(Run.open(Path(__file__).parents[1] / "before" / name))
    assert content.front_ids and page(make_report([content]))


def test_an_objective_that_cannot_be_loaded_is_a_column(made: Made) -> None:
    _, run = made()
    path = run.path / "config.yaml"
    text = path.read_text().replace("- validation_loss\n", "- not_there.at_all:Loss\n")
    path.write_text(text)
    content = Content(Run.open(run.path))
    assert [objective.name for objective in content.minimised] == ["cache_bytes"]
    assert content.unknown == ["not_there.at_all:Loss"]
    assert content.front_ids == {*run.front["genome_id"]}  # as the search ranked them
    assert "Not known here: not_there.at_all:Loss" in summary(content)
    assert "validation_loss" in [quantity.name for quantity in content.quantities]


def test_a_damaged_run_is_one_line(made: Made) -> None:
    _, run = made()
    (run.path / "population.csv").write_text("genome_id,genome\nabc,not a genome\n")
    with pytest.raises(UserError, match="not a readable run"):
        Content(Run.open(run.path))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\u202eb", r"a\u202eb"),
        ("\u200f\x1b[31m", r"\u200f\u001b[31m"),
        ("</script>", "</script>"),
        ("\ud800", r"\ud800"),
        ("x" * 500, "x" * 400 + " ..."),
    ],
)
def test_what_would_steer_a_page_is_seen(text: str, expected: str) -> None:
    assert visible(text) == expected


def test_families() -> None:
    extended = Genome.from_text("18.1.1.1.1-22.1.1.1.1-23.1.1.1.1-10.1.1.1.1", "extended")
    kinds = [liv_family(liv_class) for liv_class in extended.classes()]
    assert kinds == [LINEAR_ATTENTION, DELTA_RULE, STATE_SPACE, ATTENTION]
    plain = Genome.from_text("11111-51111-71111-91111")
    kinds = [liv_family(liv_class) for liv_class in plain.classes()]
    assert kinds == [ATTENTION, STATE_SPACE, CONVOLUTION, FEED_FORWARD]


@pytest.mark.parametrize(
    ("design", "family"),
    [
        ("transformer_pp", "attention"),
        ("lfm2", "attention"),
        ("striped_mamba", "attention + recurrence"),
        ("gated_deltanet", "recurrence"),
        ("mamba", "recurrence"),
        ("hyena", "convolution"),
    ],
)
def test_a_backbone_is_named_by_how_it_remembers(design: str, family: str) -> None:
    assert backbone_family(load_genome(design)[0]) == family
    assert family in BACKBONES


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run, it has no population.csv"):
        Run.open(tmp_path)
