"""Figures: their rows against the archive, pymoo, scipy and counts by hand."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.stats import false_discovery_control, fisher_exact

from star.base.errors import UserError
from star.evaluation.statistics import rank_correlations
from star.runs.report import vega
from star.runs.report.content import Content, Quantity
from star.runs.report.figures import compare, front, motifs, progress, trust
from star.runs.report.figures.base import Figure, thinned
from star.runs.report.page import make_report
from star.runs.run import Run
from star.runs.validated import VALIDATED
from star.search import EvolveConfig, Search, SearchConfig
from tests.search.made_up import MadeUp

Made = Callable[..., tuple[Search, Run]]


def compiled(figure: Figure) -> dict[str, Any]:
    """The figure as Vega, which vl-convert refuses to make of what is no Vega-Lite."""
    import vl_convert

    return vl_convert.vegalite_to_vega({**figure.whole(), "config": vega.configuration()})


@pytest.mark.slow
def test_every_figure_is_vega_lite(made: Made) -> None:
    content = Content(made()[1])
    figures = [front.front_figure(content, content.rows), *make_report([content]).figures]
    names = [figure.name for figure in figures]
    assert len({*names}) == len(names) > 8
    for figure in figures:
        assert compiled(figure)["marks"]
        header, *lines = figure.csv().splitlines()
        assert header and len(lines) == len(figure.rows)


@pytest.mark.parametrize(
    ("more_is_better", "expected"),
    [(False, ("step-after", "ascending", "min")), (True, ("step-before", "descending", "max"))],
)
def test_a_front_is_a_staircase_of_what_is_attained(
    more_is_better: bool, expected: tuple[str, str, str]
) -> None:
    quantity = Quantity("q", "q", False, is_maximised=more_is_better)
    words = front.words(quantity, quantity)
    assert (words["@x-stairs"], words["@x-order"], words["@y-best"]) == expected


def test_the_hypervolume_grows_to_that_of_the_search(made: Made) -> None:
    search, run = made()
    content = Content(run)
    grown = progress.growth(content)
    volumes = [volume for _, _, volume, _ in grown]
    assert volumes == sorted(volumes) and len(volumes) > 2
    assert volumes[-1] == pytest.approx(search.archive.hypervolume())
    assert {candidate.genome_id for *_, candidate in grown} >= content.front_ids


def test_outcomes_count_every_candidate_but_baselines(made: Made) -> None:
    content = Content(made()[1])
    counted = sum(row["candidates"] for row in progress.outcomes(content).rows)
    assert counted == sum(c.origin != "baseline" for c in content.candidates)
    failed = sum(row["candidates"] for row in progress.failures(content).rows)
    assert failed == sum(c.status == "infeasible" for c in content.candidates) > 0
    assert {row["kind"] for row in progress.failures(content).rows} == {"diverged"}


def test_the_time_is_all_the_time(made: Made) -> None:
    content = Content(made()[1])
    total = sum(row["seconds"] for row in progress.time(content).rows)
    assert total == pytest.approx(content.run.population["train_seconds"].sum(), rel=1e-3)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["A"], {("A",)}),
        (["A", "B", "A"], {("A",), ("B",), ("A", "B"), ("B", "A"), ("A", "B", "A")}),
        (["A"] * 4, {("A",), ("A", "A"), ("A", "A", "A")}),
    ],
)
def test_sequences(names: Sequence[str], expected: set[tuple[str, ...]]) -> None:
    assert motifs.sequences(names) == expected


def test_motifs_are_counted_and_tested(made: Made) -> None:
    content = Content(made(generations=5)[1])
    found = motifs.motifs(content)
    designs = [c for c in content.candidates if c.origin != "baseline" and c.status == "ok"]
    on = [c for c in designs if c.genome_id in content.front_ids]
    off = [c for c in designs if c.genome_id not in content.front_ids]
    assert found

    def has(candidate: Any, classes: tuple[str, ...]) -> bool:
        names = [liv_class.name for liv_class in candidate.genome.classes()]
        return any(tuple(names[n : n + len(classes)]) == classes for n in range(len(names)))

    for motif in found:
        counts = [sum(has(c, motif.classes) for c in group) for group in (on, off)]
        assert [motif.front, motif.rest] == counts and sum(counts) >= motifs.LEAST
        table = [[counts[0], len(on) - counts[0]], [counts[1], len(off) - counts[1]]]
        assert motif.p_value == pytest.approx(fisher_exact(table)[1])
    q_values = false_discovery_control([motif.p_value for motif in found])
    assert [motif.q_value for motif in found] == pytest.approx(q_values.tolist())
    assert [motif.p_value for motif in found] == sorted(motif.p_value for motif in found)


def test_a_run_whose_front_is_everything_has_no_motifs(made: Made) -> None:
    content = Content(made()[1])
    object.__setattr__(content, "front_ids", {c.genome_id for c in content.candidates})
    assert motifs.motifs(content) == []
    assert motifs.motif_figure([]).is_empty


def test_sharing_is_counted_by_distance(made: Made) -> None:
    content = Content(made(generations=4)[1])
    rows = motifs.sharing(content).rows
    expected = sum(
        bool(s.borrowed)
        for c in content.candidates
        if c.status == "ok" and c.origin != "baseline"
        for s in c.genome.sharing
    )
    assert sum(row["pairs"] for row in rows if row["what"] == "features") == expected
    assert all(row["distance"] >= 1 for row in rows)


@pytest.mark.slow
def test_trust_correlates_the_search_with_its_validation(made: Made) -> None:
    _, run = made()
    content = Content(run)
    chosen = [c for c in content.candidates if c.status == "ok"][:8]
    rng = np.random.default_rng(0)
    lines = ["genome_id,role,status,seeds,steps,search_validation_loss,validation_loss,on_front"]
    after = [c.metrics["validation_loss"] + rng.normal(0, 0.3) for c in chosen]
    for candidate, loss in zip(chosen, after, strict=True):
        before = candidate.metrics["validation_loss"]
        lines.append(f"{candidate.genome_id},front,ok,1,99,{before!r},{loss!r},True")
    (run.path / VALIDATED).write_text("\n".join(lines) + "\n")
    content = Content(Run.open(run.path))
    (figure,) = trust.trust(content)
    before = np.array([c.metrics["validation_loss"] for c in chosen])
    assert str(rank_correlations(before, np.array(after))[0]) in figure.text
    assert len(figure.rows) == len(chosen) and compiled(figure)["marks"]


@pytest.mark.slow
def test_runs_of_other_seeds_are_one_group(tmp_path: Path) -> None:
    contents = [run_of(tmp_path / f"{seed}_{size}", seed, size)
                for seed, size in ((0, 6), (1, 6), (2, 6), (0, 8))]  # fmt: skip
    contents = compare.by_common_objectives(contents)
    names = [[objective.name for objective in content.minimised] for content in contents]
    assert names == [["validation_loss", "cache_bytes"]] * 4
    assert [len(group) for group in compare.groups(contents)] == [3, 1]
    curve, end = compare.hypervolumes(contents)
    assert compiled(curve)["marks"] and compiled(end)["marks"]
    first, other = end.rows
    assert (first["runs"], other["runs"]) == (3, 1)
    assert first["low"] < first["hypervolume"] < first["high"] and other["low"] is None
    reference = np.max([c.reference for c in contents if c.reference is not None], axis=0)
    last = [progress.growth(c, reference)[-1][2] for c in contents[:3]]
    assert first["hypervolume"] == pytest.approx(np.mean(last), abs=1e-5)
    half = 4.302652729749464 * np.std(last, ddof=1) / np.sqrt(3)  # Student's t, 2 degrees
    assert first["high"] - first["hypervolume"] == pytest.approx(half, rel=1e-3)


def test_a_run_of_before_settings_were_added_asks_the_same(tmp_path: Path) -> None:
    first, second = (run_of(tmp_path / str(seed), seed, 6) for seed in (0, 1))
    path = second.run.path / "config.yaml"
    settings = yaml.safe_load(path.read_text())
    del settings["loggers"], settings["model"]["norms"], settings["model"]["residual_scale"]
    path.write_text(yaml.safe_dump(settings))
    contents = [first, Content(Run.open(second.run.path))]
    assert [len(group) for group in compare.groups(contents)] == [2]
    assert compare.other_questions(contents) == []
    settings["model"]["norms"] = "post"
    path.write_text(yaml.safe_dump(settings))
    contents = [first, Content(Run.open(second.run.path))]
    assert [len(group) for group in compare.groups(contents)] == [1, 1]
    assert compare.other_questions(contents) == ["model.norms is pre there, post here"]


def test_runs_without_a_common_objective_are_refused(tmp_path: Path) -> None:
    contents = [run_of(tmp_path / name, 0, 6, [name]) for name in ("validation_loss", "parameters")]
    with pytest.raises(UserError, match="expected runs with an objective in common, found"):
        compare.by_common_objectives(contents)


def run_of(
    folder: Path, seed: int, population: int,
    objectives: Sequence[str] = ("validation_loss", "cache_bytes"),
) -> Content:  # fmt: skip
    search = SearchConfig(
        objectives=[*objectives], population=population, generations=3, baselines=["transformer_pp"]
    )
    config = EvolveConfig(depth=4, seed=seed, run_dir=str(folder), search=search, report=False)
    return Content(Search.from_config(config, MadeUp()).run())


@pytest.mark.parametrize(("length", "most"), [(0, 3), (1, 3), (3, 3), (100, 7), (5, 4)])
def test_thinning_keeps_both_ends(length: int, most: int) -> None:
    places = thinned(length, most)
    assert len(places) == min(length, most) and places == sorted({*places})
    assert not length or (places[0], places[-1]) == (0, length - 1)
