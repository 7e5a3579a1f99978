"""Backbones that grow while they are searched: what is fixed stays, and every genome is valid."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from star.base.errors import UserError
from star.evaluation import Evaluation
from star.evaluation.executors import Task
from star.genomes import GENES_PER_LIV, Genome, arrays
from star.search import EvolveConfig, Search, SearchConfig
from star.search.config import END_INCREMENTAL, MIDDLE_INCREMENTAL, MODES, SpaceConfig
from star.search.space.growing import Growing, stage_depths
from star.search.space.problem import GenomeProblem
from tests.search.made_up import MadeUp, static_costs

GROWING = (END_INCREMENTAL, MIDDLE_INCREMENTAL)


@given(
    mode=st.sampled_from(GROWING), fixed=st.integers(0, 6), added=st.integers(1, 4),
    given_depth=st.integers(1, 10), seed=st.integers(0, 10**6),
)  # fmt: skip
def test_what_is_fixed_stays_and_the_rest_is_valid(
    mode: str, fixed: int, added: int, given_depth: int, seed: int
) -> None:
    rng, depth, most = np.random.default_rng(seed), fixed + added, 10
    problem = GenomeProblem(most, 2, depths=[1, most])
    growing = Growing(mode, [depth], 1)
    if fixed:
        growing.fixed = arrays.sample(1, fixed, rng, problem.alphabet, 0.6)[0]
    livs = np.zeros((4, most, GENES_PER_LIV), dtype=np.int64)
    livs[:, :given_depth] = arrays.sample(4, given_depth, rng, problem.alphabet, 0.6)
    grown = growing.grown(livs, problem, rng)
    start, behind = growing.before, fixed - growing.before
    for genome in grown:
        assert not genome[depth:].any()
        Genome.from_array(genome[:depth].reshape(-1), problem.alphabet).check()
        np.testing.assert_array_equal(genome[:start], growing.fixed[:start])
        np.testing.assert_array_equal(genome[depth - behind : depth], growing.fixed[start:])


def test_own_livs_are_kept_where_there_are_enough() -> None:
    problem, rng = GenomeProblem(6, 2, depths=[2, 6]), np.random.default_rng(0)
    own = np.zeros((1, 6, GENES_PER_LIV), dtype=np.int64)
    own[0, :5] = Genome.from_text("91111-31111-11111-71111-51111").to_array().reshape(5, -1)
    growing = Growing(MIDDLE_INCREMENTAL, [5], 1)
    growing.fixed = own[0, [1, 0]]
    kept = growing.grown(own, problem, rng)[0, :5, 0].tolist()
    assert kept == [3, 3, 1, 7, 9]  # the fixed ones, and between them LIVs 1, 2, 3 of its own


def test_stages() -> None:
    assert stage_depths(7, 2) == [2, 4, 6, 7] and stage_depths(6, 3) == [3, 6]


def loss(genome: Genome) -> float:
    return 4.0 - sum(0.3 for c in genome.classes() if c.name.startswith("SA")) - 0.1 * genome.depth


def measure(task: Task) -> Evaluation:
    metrics = {**static_costs(task.genome), "validation_loss": loss(task.genome)}
    return Evaluation("ok", "", metrics, 0.1)


def config(mode: str, generations: int = 7, **given: Any) -> EvolveConfig:
    space = SpaceConfig(mode=mode, step=2, stage_generations=2, **given.pop("space", {}))
    settings = {
        "objectives": ["validation_loss", "cache_bytes"], "population": 6, "baselines": [],
        "generations": generations, "space": space, **given,
    }  # fmt: skip
    return EvolveConfig(depth=6, search=SearchConfig(**settings))


BAYES = {"_target_": "star.search.algorithms.bayesian.Bayesian", "rounds": 2, "pool": 20}
ALGORITHMS = (
    pytest.param(None, id="nsga2"), pytest.param(BAYES, id="bayes", marks=pytest.mark.slow)
)  # fmt: skip


@pytest.mark.parametrize("mode", GROWING)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_search_grows_from_the_best_of_each_stage(mode: str, algorithm: Any) -> None:
    if algorithm is not None:
        pytest.importorskip("botorch")
    given = {} if algorithm is None else {"algorithm": algorithm}
    search = Search.from_config(config(mode, **given), MadeUp(measure))
    for _ in search.generations():
        pass
    found = search.archive.all
    assert len(found) == 42
    best: Genome | None = None
    for stage, depth in enumerate((2, 4, 6)):
        last = 7 if stage == 2 else 2 * stage + 2
        own = [e.candidate.genome for e in found if 2 * stage <= e.candidate.generation < last]
        assert {genome.depth for genome in own} == {depth}
        if best is not None:
            start = best.depth if mode == END_INCREMENTAL else (best.depth + 1) // 2
            names = [c.id for c in best.classes()]
            for genome in own:
                there = [c.id for c in genome.classes()]
                assert there[:start] == names[:start]
                assert there[depth - (best.depth - start) :] == names[start:]
        best = min(own, key=loss)


def test_children_of_an_earlier_stage_come_from_what_is_fixed() -> None:
    search = Search.from_config(config(END_INCREMENTAL), MadeUp(measure))
    for _ in search.generations():
        pass
    own = [e.candidate for e in search.archive.all if e.candidate.generation == 2]
    assert {candidate.parents for candidate in own} == {(search_best(search, 2),)}
    assert all(candidate.variation == {"grown": [0, 1]} for candidate in own)
    for e in search.archive.all:
        assert set(e.candidate.parents) <= {other.genome_id for other in search.archive.all}


def search_best(search: Search, depth: int) -> str:
    """The id of the best of a depth."""
    of_depth = [e for e in search.archive.all if e.candidate.genome.depth == depth]
    return min(of_depth, key=lambda e: e.evaluation.metrics["validation_loss"]).genome_id


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_stage_without_new_genomes_goes_on_to_the_next(algorithm: Any) -> None:
    if algorithm is not None:
        pytest.importorskip("botorch")
    given = {} if algorithm is None else {"algorithm": algorithm}
    space = {"classes": ["GMemless", "SA-1"], "step": 1, "stage_generations": 4}
    settings = config(END_INCREMENTAL, generations=24, **given)
    for name, value in space.items():
        setattr(settings.search.space, name, value)
    search = Search.from_config(settings, MadeUp(measure))
    for _ in search.generations():
        pass
    assert {e.candidate.genome.depth for e in search.archive.all} == {1, 2, 3, 4, 5, 6}


def test_what_does_not_act_is_said() -> None:
    search = Search.from_config(config(END_INCREMENTAL, seeds=["lfm2"]), MadeUp(measure))
    assert search.seeds == [] and not any("LIVs, with" in notice for notice in search.notices)
    assert any("search.seeds are left out" in notice for notice in search.notices)
    short = Search.from_config(config(END_INCREMENTAL, generations=3), MadeUp(measure))
    assert any("generations=3 may end at 4 of 6 LIVs" in notice for notice in short.notices)


def test_the_same_seed_gives_the_same_search() -> None:
    runs = []
    for _ in range(2):
        search = Search.from_config(config(END_INCREMENTAL), MadeUp(measure))
        for _ in search.generations():
            pass
        runs.append([e.genome_id for e in search.archive.all])
    assert runs[0] == runs[1]


def test_more_generations_leave_the_first_ones_as_they_were() -> None:
    found = []
    for generations in (3, 6):
        search = Search.from_config(config(MIDDLE_INCREMENTAL, generations), MadeUp(measure))
        for _ in search.generations():
            pass
        found.append([e.genome_id for e in search.archive.all])
    assert found[1][: len(found[0])] == found[0]


def test_a_stage_without_any_result_fixes_nothing() -> None:
    failing = MadeUp(lambda task: Evaluation("infeasible", "diverged: at step 1", {}, 0.1))
    search = Search.from_config(config(END_INCREMENTAL), failing)
    for _ in search.generations():
        pass
    growing = search.built.growing
    assert growing is not None and growing.stage == 2 and not len(growing.fixed)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"space": {"motif": 2}}, "search.space.motif=2: not together with search.space.mode=end"),
        ({"space": {"depths": [2, 4]}}, r"search.space.depths=\[2, 4\]: not together with"),
    ],
)
def test_what_sets_the_depth_otherwise_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        config(END_INCREMENTAL, **given).search.check(6)


def test_bad_modes_and_steps() -> None:
    with pytest.raises(UserError, match="search.space.mode=grow: expected one of one_shot"):
        SpaceConfig(mode="grow").check(6)
    with pytest.raises(UserError, match="search.space.step=6: expected below depth=6"):
        SpaceConfig(mode=MODES[1], step=6).check(6)
    with pytest.raises(UserError, match="search.space.stage_generations=0: expected at least 1"):
        SpaceConfig(mode=MODES[1], stage_generations=0).check(6)
