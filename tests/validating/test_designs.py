"""Which designs of a run are validated."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from star.base.errors import UserError
from star.genomes import load_genome
from star.runs.run import Run, RunCandidate
from star.validating.designs import choose_designs, spread_sample
from tests.search.made_up import MadeUp, infeasible


def candidate(number: int, rank: int | None) -> RunCandidate:
    genome = load_genome("lfm2", 4)[0]
    loss = {"validation_loss": float(number)}
    return RunCandidate(f"g{number:02}", genome, "random", 0, (), "ok", "", loss, {}, rank)


def test_the_sample_is_spread_over_the_order_and_a_larger_one_holds_it() -> None:
    rest = [candidate(n, n // 4) for n in range(20)]
    chosen = spread_sample(rest[::-1], 4)
    assert [c.genome_id for c in chosen] == ["g00", "g05", "g10", "g15"]
    assert spread_sample(rest, 4) == chosen
    sizes = [spread_sample(rest, count) for count in range(22)]
    assert [len(sample) for sample in sizes] == [*range(21), 20]
    for smaller, larger in pairwise(sizes):
        assert all(one in larger for one in smaller)
    assert spread_sample([], 3) == []


def test_a_better_rank_counts_before_a_better_loss() -> None:
    first, second = candidate(9, 0), candidate(1, 2)
    assert spread_sample([second, first, candidate(0, None)], 3)[0] == first


def test_front_baselines_and_others_are_chosen_once_each(searched: Callable[..., Run]) -> None:
    run = searched()
    names = {load_genome(name, 4)[0].canonical().id: name for name in ("transformer_pp", "mamba")}
    designs = choose_designs(run, names, 5)
    ids = [design.genome_id for design in designs]
    assert len(set(ids)) == len(ids)
    front = [design.genome_id for design in designs if design.role == "front"]
    assert front == list(run.front["genome_id"])
    assert names.keys() <= set(ids) and set(names.values()) <= {d.name for d in designs}
    assert sum(design.role == "sample" for design in designs) == 5
    assert choose_designs(run, names, 5) == designs


def test_a_baseline_above_a_constraint_is_chosen_and_the_others_are_not(
    searched: Callable[..., Run],
) -> None:
    run = searched(whole={"constraints": {"cache_bytes": "300kB"}})
    designs = choose_designs(run, {}, 100)
    above = [d for d in designs if d.candidate.metrics["cache_bytes"] > 3e5]
    assert above and {design.role for design in above} == {"baseline"}


def test_a_run_in_which_nothing_was_measured_is_refused(searched: Callable[..., Run]) -> None:
    run = searched(MadeUp(lambda task: infeasible("diverged", "loss is nan")))
    with pytest.raises(UserError, match=r"run: no candidate was trained .* says why"):
        choose_designs(run, {}, 3)
