"""Pre-screening in a search: when it acts, that it helps, and that a killed search goes on."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from star.base.command_line import compose_config
from star.base.errors import UserError
from star.evaluation import Evaluation
from star.evaluation.executors import Task
from star.genomes import Genome, parameter_count
from star.runs.columns import TIMING_COLUMNS
from star.search import EvolveConfig, Search, SearchConfig
from star.search.halving import HalvingConfig
from star.search.prescreening.config import PrescreenConfig
from tests.search.made_up import RECIPE, MadeUp, static_costs

ALGORITHMS = {
    "nsga2": {"_target_": "pymoo.algorithms.moo.nsga2.NSGA2"},
    "ga": {"_target_": "star.search.algorithms.scalarised.ScalarisedGA"},
    "random": {"_target_": "star.search.algorithms.random.RandomSearch"},
    "firefly": {"_target_": "star.search.algorithms.firefly.Firefly"},
}


def late_attention(genome: Genome) -> float:
    """A loss that falls with attention near the end, and not with parameters."""
    weights = [n for n, c in enumerate(genome.classes(), 1) if c.name.startswith("SA")]
    return 3.0 - sum(weights) / 40 + (int(genome.id[1:5], 16) % 97) / 5000


def by_parameters(genome: Genome) -> float:
    return 1e6 / parameter_count(genome, RECIPE.model).non_embedding


def executor(loss: Callable[[Genome], float] = late_attention) -> MadeUp:
    def measure(task: Task) -> Evaluation:
        metrics = {**static_costs(task.genome), "validation_loss": loss(task.genome)}
        return Evaluation("ok", "", metrics, 0.1)

    return MadeUp(measure)


def config(
    run_dir: Path | None = None, prescreen: Mapping[str, Any] | None = None, **settings: Any
) -> EvolveConfig:
    given = {
        "objectives": ["validation_loss", "cache_bytes"], "population": 12, "generations": 6,
        "baselines": [], **settings,
    }  # fmt: skip
    wanted = PrescreenConfig(**{"kind": "surrogate", "minimum_rows": 12, **(prescreen or {})})
    search = SearchConfig(prescreen=wanted, **given)
    return EvolveConfig(depth=5, search=search, run_dir=None if run_dir is None else str(run_dir))


def searched(settings: EvolveConfig, made: MadeUp | None = None) -> Search:
    search = Search.from_config(settings, made or executor())
    for _ in search.generations():
        pass
    return search


def ids(search: Search, generation: int) -> list[str]:
    return [e.genome_id for e in search.archive.all if e.candidate.generation == generation]


def test_it_acts_where_it_predicts_better_than_the_number_of_parameters() -> None:
    search = searched(config())
    assert search.prescreen is not None
    rounds = search.prescreen.rounds
    assert [r.generation for r in rounds] == [1, 2, 3, 4, 5]
    assert [r.rows for r in rounds] == [12, 24, 36, 48, 60]
    assert all(r.acts == (r.spearman > r.spearman_of_parameters) for r in rounds)
    assert rounds[-1].acts and rounds[-1].spearman > 0.8 and rounds[-1].surplus == 8
    assert len(search.archive) == 72


def test_it_finds_better_children_than_the_plain_search() -> None:
    with_it, without = searched(config()), searched(config(prescreen={"kind": "none"}))
    assert without.prescreen is None
    first = ids(with_it, 0)
    assert first == ids(without, 0)  # nothing is known yet
    reference = searched(config(generations=20, prescreen={"kind": "none"}))
    reference.archive.fix_reference()
    point = reference.archive._reference
    for search in (with_it, without):
        search.archive._reference = point
    assert with_it.archive.hypervolume() > without.archive.hypervolume()


def test_it_leaves_the_search_as_it_was_where_parameters_say_as_much() -> None:
    search = searched(config(), executor(by_parameters))
    plain = searched(config(prescreen={"kind": "none"}), executor(by_parameters))
    assert search.prescreen is not None and not any(r.acts for r in search.prescreen.rounds)
    assert [r.surplus for r in search.prescreen.rounds] == [1] * 5
    assert search.prescreen.state.endswith(": off")
    assert [e.genome_id for e in search.archive.all] == [e.genome_id for e in plain.archive.all]


def test_it_waits_for_enough_rows() -> None:
    search = searched(config(prescreen={"minimum_rows": 40}))
    assert search.prescreen is not None
    rounds = search.prescreen.rounds
    assert [r.acts for r in rounds][:3] == [False] * 3 and rounds[3].rows == 48
    assert [r.spearman for r in rounds[:3]] == [0, 0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("ended", [3, 12, 30, 47])
def test_a_killed_search_goes_on_as_if_it_had_not_been(tmp_path: Path, ended: int) -> None:
    whole = Search.from_config(config(tmp_path / "whole"), executor()).run()

    made = executor()

    def measure(task: Task) -> Evaluation:
        if len(finished) == ended:
            raise KeyboardInterrupt
        finished.append(task.genome.id)
        return made.result(task)

    finished: list[str] = []
    path = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        Search.from_config(config(path), MadeUp(measure)).run()
    again = executor()
    cut = Search.from_config(config(path), again).run()
    assert len(again.asked) == 72 - ended
    timing = list(TIMING_COLUMNS)
    pd.testing.assert_frame_equal(
        cut.population.drop(columns=timing), whole.population.drop(columns=timing)
    )
    logs = [(run.path / "prescreen.csv").read_text() for run in (cut, whole)]
    assert logs[0] == logs[1] and logs[0].startswith("generation,acts,surplus,objective,rows,spear")


def test_with_halving_it_learns_from_the_rung_that_has_enough() -> None:
    search = searched(config(halving=HalvingConfig([10]), prescreen={"minimum_rows": 20}))
    assert search.prescreen is not None
    assert [r.rows for r in search.prescreen.rounds] == [6, 24, 36, 24, 30]


def test_limits_on_what_is_predicted_count() -> None:
    limited = replace(config(objectives=["cache_bytes"]), constraints={"validation_loss": 2.8})
    search = searched(limited)
    assert search.prescreen is not None and {*search.prescreen.predicted} == {"validation_loss"}
    plain = searched(replace(limited, search=replace(limited.search, prescreen=PrescreenConfig())))
    kept = [len(s.archive.feasible) for s in (search, plain)]
    assert kept[0] > kept[1]


def test_baselines_outside_of_the_space_are_not_learnt_from() -> None:
    search = searched(config(baselines=["gated_deltanet"]))
    assert search.prescreen is not None
    assert [r.rows for r in search.prescreen.rounds] == [12, 24, 36, 48, 60]


def test_proxies_rank_children_too() -> None:
    search = Search.from_config(config(prescreen={"kind": "proxy"}), executor())
    assert search.prescreen is not None
    for predictor in search.prescreen._predictors.values():
        predictor._scores = lambda genome: -late_attention(genome)  # type: ignore[attr-defined]
    for _ in search.generations():
        pass
    assert search.prescreen.acts and search.prescreen.rounds[-1].spearman > 0.99


@pytest.mark.parametrize("algorithm", ["nsga2", "ga"])
def test_algorithms_that_mate_may_have_it(algorithm: str) -> None:
    search = searched(config(algorithm=ALGORITHMS[algorithm]))
    assert len(search.archive) == 72 and search.prescreen is not None
    assert any(r.acts for r in search.prescreen.rounds)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"prescreen": {"kind": "magic"}}, "kind=magic: expected one of none, surrogate, proxy"),
        ({"prescreen": {"proxy": "x"}}, "search.prescreen.proxy=x: expected one of zico, grad"),
        ({"prescreen": {"surplus": 1}}, "search.prescreen.surplus=1: expected "),
        ({"prescreen": {"minimum_rows": 3}}, "search.prescreen.minimum_rows=3: expected "),
    ],
)
def test_what_could_never_act_is_refused(settings: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        Search.from_config(config(**settings), executor())


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"algorithm": ALGORITHMS["random"]}, "kind=surrogate: not used, since star."),
        ({"algorithm": ALGORITHMS["firefly"]}, "makes no children by mating; search=nsga2 and"),
        ({"objectives": ["parameters", "cache_bytes"]}, "not used, since all objectives and limi"),
        ({"prescreen": {"minimum_rows": 61}}, "minimum_rows=61: pre-screening will not act, since"),
    ],
)
def test_a_search_that_cannot_have_it_says_so(settings: dict[str, Any], expected: str) -> None:
    (notice,) = Search.from_config(config(**settings), executor()).notices
    assert expected in notice
    assert not Search.from_config(config(), executor()).notices


def test_a_run_of_before_goes_on_without_it(tmp_path: Path) -> None:
    plain = config(tmp_path / "run")
    plain.search.prescreen = PrescreenConfig()
    Search.from_config(plain, executor()).run()
    file = tmp_path / "run" / "config.yaml"
    settings = yaml.safe_load(file.read_text())
    del settings["search"]["prescreen"]
    file.write_text(yaml.safe_dump(settings))
    again = executor()
    Search.from_config(plain, again).run()
    assert not again.asked and not (tmp_path / "run" / "prescreen.csv").exists()


def test_the_command_line_has_it() -> None:
    found = compose_config("evolve", ["search.prescreen.kind=surrogate"]).search.prescreen
    assert found == PrescreenConfig(kind="surrogate")
