"""Bayesian searches: what they find, what they remember, and what they refuse."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from star.base.errors import UserError
from star.evaluation import Evaluation
from star.evaluation.executors import Task
from star.evaluation.ledger import Ledger
from star.genomes import Genome
from star.runs.columns import TIMING_COLUMNS
from star.runs.lineage import Lineage
from star.runs.run import Run
from star.search import EvolveConfig, Search, SearchConfig
from star.search.bayesian.guide import Guide
from tests.search.made_up import MadeUp, static_costs

pytest.importorskip("botorch")

SMALL: dict[str, Any] = {"rounds": 2, "pool": 24}
TARGET = "star.search.algorithms.bayesian.Bayesian"
RANDOM = {"_target_": "star.search.algorithms.random.RandomSearch"}
TIMING = list(TIMING_COLUMNS)


def loss(genome: Genome) -> float:
    """Falls with attention near the end."""
    weights = [n for n, c in enumerate(genome.classes(), 1) if c.name.startswith("SA")]
    return 3.0 - sum(weights) / 40 + (int(genome.id[1:5], 16) % 97) / 5000


def measure(task: Task) -> Evaluation:
    metrics = {**static_costs(task.genome), "validation_loss": loss(task.genome)}
    return Evaluation("ok", "", metrics, 0.1)


def config(run_dir: Path | None = None, own: dict[str, Any] | None = None, **given: Any) -> Any:
    algorithm = {"_target_": TARGET, **SMALL, **(own or {})}
    settings = {
        "objectives": ["validation_loss", "cache_bytes"], "population": 6, "generations": 5,
        "baselines": [], "algorithm": algorithm, **given,
    }  # fmt: skip
    search = SearchConfig(**settings)
    return EvolveConfig(depth=5, search=search, run_dir=None if run_dir is None else str(run_dir))


def searched(settings: EvolveConfig, made: MadeUp | None = None) -> Search:
    search = Search.from_config(settings, made or MadeUp(measure))
    for _ in search.generations():
        pass
    return search


@pytest.mark.slow
def test_it_finds_more_than_random_search() -> None:
    found = []
    for algorithm in ({"_target_": TARGET, **SMALL}, RANDOM):
        settings = config()
        settings.search.algorithm = algorithm
        found.append(searched(settings))
    reference = found[1].archive._reference
    found[0].archive._reference = reference
    assert len(found[0].archive) == 30
    assert found[0].archive.hypervolume() > found[1].archive.hypervolume()


@pytest.mark.slow
@pytest.mark.parametrize(
    "own", [{"kernel": "categorical"}, {"rounds": 1}, {"most_rows": 10}], ids=str
)
def test_its_settings(own: dict[str, Any]) -> None:
    search = searched(config(own=own, generations=4))
    assert len(search.archive) == 24 and len({e.genome_id for e in search.archive.all}) == 24


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"objectives": ["validation_loss"]},
        {"limits": {"validation_loss": 2.98}},
        {"limits": {"cache_bytes": 2e6}},
    ],
    ids=str,
)
def test_one_objective_and_limits(settings: dict[str, Any]) -> None:
    given = {name: value for name, value in settings.items() if name != "limits"}
    whole = replace(config(**{"generations": 4, **given}), constraints=settings.get("limits", {}))
    assert len(searched(whole).archive.feasible) >= 20


def test_costs_alone_need_no_process() -> None:
    with pytest.raises(UserError, match="known without training, so there is nothing to learn"):
        Search.from_config(config(objectives=["cache_bytes"]), MadeUp(measure))


def test_depths_motifs_and_genes_of_the_backbone() -> None:
    for space in ({"depths": [2, 5]}, {"motif": 2, "backbone_genes": True}):
        settings = config(generations=3)
        for name, value in space.items():
            setattr(settings.search.space, name, value)
        search = searched(settings)
        depths = {e.candidate.genome.depth for e in search.archive.all}
        assert depths <= {2, 3, 4, 5} if "depths" in space else depths == {5}
        backbones = {e.candidate.genome.backbone for e in search.archive.all}
        assert (len(backbones) > 3) == ("backbone_genes" in space)


@pytest.mark.slow
def test_parents_are_candidates_that_were_measured(tmp_path: Path) -> None:
    run = Search.from_config(config(tmp_path / "run"), MadeUp(measure)).run()
    seen: set[str] = set()
    children = 0
    for candidate in run.candidates.values():
        assert set(candidate.parents) <= seen
        seen.add(candidate.genome_id)
        children += bool(candidate.parents)
    assert children == 24
    varied = [c for c in run.candidates.values() if "rounds" in c.variation]
    assert varied
    assert "varied 2 times before it was measured" in str(Lineage(run)._label(varied[0]))


def test_nothing_measured_is_no_reason_to_stop() -> None:
    failing = MadeUp(lambda task: Evaluation("infeasible", "diverged: at step 1", {}, 0.1))
    assert len(searched(config(), failing).archive) == 30


def assert_equal(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(one.drop(columns=TIMING), other.drop(columns=TIMING))


@pytest.mark.slow
def test_limits_are_learnt_from_what_breaks_them() -> None:
    limited = replace(config(generations=6), constraints={"validation_loss": 2.75})
    search = searched(limited)
    assert search.guide is not None
    over = [e for e in search.archive.all if not e.evaluation.feasible]
    assert over and len(search.guide._evaluated) == 30  # all but the last batch
    random = replace(limited, search=replace(limited.search, algorithm=RANDOM))
    kept = [len(s.archive.feasible) for s in (search, searched(random))]
    assert kept[0] > kept[1]


@pytest.mark.slow
def test_what_a_gate_refused_teaches_too() -> None:
    """Of some candidates only the limited quantity was measured, as at a rung 0."""

    def gated(task: Task) -> Evaluation:
        whole, perplexity = measure(task), 10.0 * loss(task.genome)
        metrics = {**whole.metrics, "perplexity": perplexity}
        if perplexity <= 27.0:
            return replace(whole, metrics=metrics)
        del metrics["validation_loss"]
        return Evaluation("infeasible", "over_budget: perplexity", metrics, 0.1)

    search = searched(replace(config(), constraints={"perplexity": 27.0}), MadeUp(gated))
    assert search.guide is not None
    acquisition = search.guide.acquisition(0)
    assert acquisition is not None
    loss_process, _, perplexity_process = acquisition._function.model.models
    rows = [process.train_targets.shape[-1] for process in (loss_process, perplexity_process)]
    assert rows[0] < rows[1] == 24


@pytest.mark.slow
def test_static_limits_are_kept_by_what_is_proposed_while_backbones_grow() -> None:
    settings = config(generations=8)
    settings.search.space.mode, settings.search.space.stage_generations = "end_incremental", 2
    search = searched(replace(settings, constraints={"cache_bytes": 1.5e6}))
    children = [e for e in search.archive.all if "rounds" in e.candidate.variation]
    assert children and all(e.evaluation.feasible for e in children)


@pytest.mark.slow
def test_baselines_outside_of_the_space_are_no_rows() -> None:
    settings = replace(config(baselines=["gated_deltanet"]), depth=8)
    settings.search.space.depths = [2, 5]
    search = searched(settings)
    assert search.guide is not None and len(search.archive) == 31
    assert all(e.candidate.origin != "baseline" for e in search.guide._evaluated)


def test_costs_that_cannot_be_counted_are_no_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Guide._exact

    def exact(self: Guide, objective: Any, genome: Genome) -> float:
        assert not any(c.name.startswith("SA") for c in genome.classes()), "unaffordable"
        return original(self, objective, genome)

    def affordable(self: Guide, genome: Genome) -> bool:
        return not any(c.name.startswith("SA") for c in genome.classes())

    monkeypatch.setattr(Guide, "_exact", exact)
    monkeypatch.setattr(Guide, "affordable", affordable)
    assert len(searched(config(generations=3)).archive) == 18


def test_too_many_objectives_are_refused() -> None:
    names = ["validation_loss", "cache_bytes", "parameters", "perplexity", "bits_per_byte"]
    with pytest.raises(UserError, match="5 objectives are minimised, expected at most 4"):
        Search.from_config(config(objectives=names), MadeUp(measure))


@pytest.mark.slow
def test_proposals_of_other_settings_are_not_used(tmp_path: Path) -> None:
    """One ledger, one folder name, a run of before that was deleted."""
    shared = str(tmp_path / "shared.sqlite")
    runs = []
    for limit, path in ((None, "run"), (2.2e6, "run"), (2.2e6, "other")):
        given = {} if limit is None else {"cache_bytes": limit}
        settings = replace(config(tmp_path / path), ledger=shared, constraints=given)
        runs.append(Search.from_config(settings, MadeUp(measure)).run().population["genome_id"])
        shutil.rmtree(tmp_path / path)
    assert runs[1].tolist() == runs[2].tolist() != runs[0].tolist()


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Seeds of the acquisitions that are made from now on."""
    seeds: list[int] = []
    original = Guide.acquisition

    def acquisition(self: Guide, seed: int) -> Any:
        seeds.append(seed)
        return original(self, seed)

    monkeypatch.setattr(Guide, "acquisition", acquisition)
    return seeds


@pytest.mark.slow
def test_a_finished_search_is_replayed_without_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Search.from_config(config(tmp_path / "run"), MadeUp(measure)).run()
    before = first.population
    made = counted(monkeypatch)
    again = Search.from_config(config(tmp_path / "run"), MadeUp(measure)).run()
    pd.testing.assert_frame_equal(
        again.population.drop(columns=TIMING), before.drop(columns=TIMING)
    )
    assert made == []


@pytest.mark.slow
@pytest.mark.parametrize("ended", [6, 8, 17, 29])
def test_an_interrupted_search_ends_as_one_left_alone(
    tmp_path: Path, ended: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Search.from_config(config(tmp_path / "whole"), MadeUp(measure)).run()
    finished: list[str] = []

    def interrupted(task: Task) -> Evaluation:
        if len(finished) == ended:
            raise KeyboardInterrupt
        finished.append(task.genome.id)
        return measure(task)

    path = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        Search.from_config(config(path), MadeUp(interrupted)).run()
    # Whatever a process would say now: what was proposed stays so.
    made = counted(monkeypatch)
    rest = MadeUp(measure)
    cut = Search.from_config(config(path), rest).run()
    assert len(rest.asked) == 30 - ended and len(made) == 4 - ended // 6
    assert_equal(cut.population, whole.population)


def test_damaged_and_foreign_proposals_are_not_used(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.propose("recipe", 0, "run", 1, "[1]")
        assert ledger.proposed("recipe", 0, "run", 1) == "[1]"
        for key in (("other", 0, "run", 1), ("recipe", 1, "run", 1), ("recipe", 0, "run", 2)):
            assert ledger.proposed(*key) is None
        ledger._connection.execute("UPDATE proposal SET content = '[2]'")
        assert ledger.proposed("recipe", 0, "run", 1) is None


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"kernel": "linear"}, "kernel=linear: expected one of rbf, categorical"),
        ({"pool": 1}, "pool=1: expected at least 2"),
        ({"rounds": 0}, "rounds=0: expected at least 1"),
        ({"most_rows": 5}, "most_rows=5: expected at least 10"),
        ({"rounds": 2.5}, "rounds=2.5: expected a whole number"),
    ],
)
def test_bad_settings(own: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Search.from_config(config(own=own), MadeUp(measure))


def test_a_missing_extra_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botorch", None)
    with pytest.raises(UserError, match=r"^search=bayes: .*pip install botorch$"):
        Search.from_config(config(), MadeUp(measure))


def command(run_dir: Path) -> list[str]:
    return [
        sys.executable, "-m", "star.evolve", "+experiment=tabular", "search=bayes",
        "search.generations=6", "search.algorithm.pool=32", "report=false", f"run_dir={run_dir}",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_killed_command_ends_as_one_left_alone(tmp_path: Path) -> None:
    subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True, timeout=600)
    run_dir = tmp_path / "killed"
    for rows in (9, 20):
        process = subprocess.Popen(
            command(run_dir), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + 300
        while process.poll() is None and rows_of(run_dir) < rows:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(command(run_dir), check=True, capture_output=True, timeout=600)
    assert_equal(Run.open(run_dir).population, Run.open(tmp_path / "whole").population)


def rows_of(run_dir: Path) -> int:
    path = run_dir / "population.csv"
    return len(path.read_text().splitlines()) if path.exists() else 0
